package region

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/proc"
)

// shell starts a process that runs a script, and reaps it with the test.
func shell(t *testing.T, script string) (*proc.Process, proc.Spec) {
	t.Helper()
	launcher := proc.NewLauncher()
	t.Cleanup(launcher.Close)
	spec := proc.Spec{Name: "thing", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "thing.log")}
	p, err := launcher.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p, spec
}

func TestPollEndsWithTheProcess(t *testing.T) {
	p, spec := shell(t, "echo one; echo cannot bind port >&2; exit 3")
	err := poll(t.Context(), p, spec, func(context.Context) error { return errors.New("no answer") })
	for _, want := range []string{"start thing: exited", "exit status 3", "thing says (" + spec.Log + ")", "  one\n  cannot bind port"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nlacks %q", err, want)
		}
	}
}

func TestPollAsksAgainUntilReady(t *testing.T) {
	p, spec := shell(t, "sleep 60")
	asked := 0
	err := poll(t.Context(), p, spec, func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 3 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	p, spec := shell(t, "echo still warming up; exec sleep 60")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("told to stop"))
	defer cancel()
	err := poll(ctx, p, spec, func(context.Context) error { return errors.New("no answer") })
	if err == nil || !strings.Contains(err.Error(), "start thing: told to stop: no answer") {
		t.Errorf("error %v", err)
	}
}

func TestTail(t *testing.T) {
	var long strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&long, "line %d of a long log\n", i)
	}
	crash := "starting\ndisk is full\npanic: cannot write\n\ngoroutine 1 [running]:\n" + strings.Repeat("stack\n", 50)
	for name, tc := range map[string]struct{ log, want string }{
		"short":    {"a\nb\n", "  a\n  b"},
		"empty":    {"\n \n", ""},
		"long":     {long.String(), "  line 4996 of a long log\n  line 4997 of a long log\n  line 4998 of a long log\n  line 4999 of a long log"},
		"two more": {"1\n2\n3\n4\n5\n6\n", "  3\n  4\n  5\n  6"},
		"crash":    {crash, "  starting\n  disk is full\n  panic: cannot write\n  "},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(tc.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := tail(path, 4); got != tc.want {
			t.Errorf("%s: tail is %q, want %q", name, got, tc.want)
		}
	}
	if got := tail("/nowhere", 4); got != "" {
		t.Errorf("tail of no file is %q", got)
	}
}

func TestHealth(t *testing.T) {
	for _, tc := range []struct {
		observed, phase string
		said            string
		healthy         bool
	}{
		{"2", "Healthy", "Healthy", true},
		{"1", "Healthy", "the controller has not seen it yet", false}, // says so of what was there before
		{"", "", "the controller has not seen it yet", false},
		{"2", "Degraded", "Degraded: no pod starts", false},
	} {
		status := map[string]any{"observedGeneration": tc.observed, "phase": tc.phase}
		if tc.phase == "Degraded" {
			status["message"] = "no pod starts"
		}
		said, healthy := health(&unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"generation": int64(2)}, "status": status,
		}})
		if said != tc.said || healthy != tc.healthy {
			t.Errorf("%v: %q, %v", tc, said, healthy)
		}
	}
}
