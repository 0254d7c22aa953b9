//go:build lab

// Package lab_test proves the lab on the real components: go test -tags lab ./internal/lab
package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/region"
)

// binary names the environment variable with the tidegate to test; without it one is built.
const binary = "TIDEGATE_TEST_BINARY"

const (
	// upWithin is what a lab with one region may take to start: seconds, ten times that beside other work.
	upWithin = 2 * time.Minute
	// goneWithin is what everything may take to be gone. A supervisor gives up after half a minute.
	goneWithin = 40 * time.Second
	// soon is for what takes a second or two on an idle machine.
	soon = 30 * time.Second
	// again is the pause between two looks at what offers nothing to watch.
	again = 50 * time.Millisecond
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(binary) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tidegate-lab-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tidegate")
	if out, err := exec.Command("go", "build", "-o", path, "tidegate.io/tidegate/cmd/tidegate").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build tidegate: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binary, path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// within bounds a wait; reason is what a failure says.
func within(t *testing.T, d time.Duration, reason string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("%s: not within %s", reason, d))
	t.Cleanup(cancel)
	return ctx
}

// eventually looks until there is nothing to complain about.
func eventually(t *testing.T, ctx context.Context, look func() error) {
	t.Helper()
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v; last seen: %v", context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// empty is a lab of one region without services, in a folder of the test's own.
func empty(t *testing.T) lab.Options {
	return lab.Options{Dir: filepath.Join(t.TempDir(), "lab"), Regions: []string{"one"}, Empty: true, Executable: os.Getenv(binary)}
}

// start starts a lab, and takes it down with the test.
func start(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	l, err := lab.Start(within(t, upWithin, "the lab is ready"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, l) })
	return l
}

// stop takes a lab down, unless that was done before.
func stop(t *testing.T, l *lab.Lab) {
	t.Helper()
	// The test's own context has ended by the time of its cleanup.
	ctx, cancel := context.WithTimeoutCause(context.Background(), goneWithin, fmt.Errorf("the lab is not down after %s", goneWithin))
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func status(t *testing.T, l *lab.Lab) lab.State {
	t.Helper()
	state, err := l.Status(within(t, soon, "the lab says how it is"))
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// running complains of every component that does not run, and of those that are missing.
func running(s lab.State, but ...string) error {
	except := map[string]bool{}
	for _, name := range but {
		except[name] = true
	}
	for _, r := range s.Regions {
		for _, name := range []string{region.Etcd, region.APIServer, region.ControllerManager, region.Rollouts, region.Prometheus, "node", "mesh", "load"} {
			c, err := r.Component(name)
			if err != nil {
				return err
			}
			if c.State != region.StateRunning && !except[name] {
				return fmt.Errorf("region %s: %s is %s: %s", r.Name, name, c.State, c.Error)
			}
		}
	}
	return nil
}
