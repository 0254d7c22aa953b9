//go:build lab

package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/region"
)

func TestKilledSupervisorLeavesNothingRunning(t *testing.T) {
	o := empty(t)
	l := start(t, o)
	tr := traceOf(t, status(t, l))
	if err := tr.records["supervisor"].Kill(); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" { // elsewhere it takes a look at the lab, as below
		eventually(t, within(t, soon, "the kernel ends what the supervisor ran"), tr.alive)
	}
	if _, err := lab.Open(o.Dir); !errors.Is(err, lab.ErrDied) {
		t.Errorf("a look at a lab whose supervisor was killed: %v, want %v", err, lab.ErrDied)
	}
	eventually(t, within(t, soon, "nothing is left"), tr.left)
	if _, err := lab.Open(o.Dir); !errors.Is(err, lab.ErrNone) {
		t.Errorf("a second look: %v, want %v", err, lab.ErrNone)
	}
	if err := running(status(t, start(t, o))); err != nil {
		t.Errorf("a new lab in the same folder: %v", err)
	}
}

func TestKilledStarterLeavesNothing(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		code   int
	}{
		{syscall.SIGKILL, -1}, // no code: ended by a signal
		{syscall.SIGINT, 130},
	} {
		t.Run(c.signal.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "lab")
			up := exec.Command(os.Getenv(binary), "lab", "up", "--empty", "--regions", "one", "--dir", dir)
			var said bytes.Buffer
			up.Stdout, up.Stderr = &said, &said
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = up.Wait() // its code is read below
			}()
			t.Cleanup(func() {
				_ = up.Process.Kill()
				<-ended
				_ = lab.Down(context.Background(), dir) // should this test fail, it is not to leave a lab either
			})
			tr := traceOf(t, half(t, dir, ended, &said))
			if err := up.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			ctx := within(t, goneWithin, "lab up ends")
			select {
			case <-ended:
			case <-ctx.Done():
				t.Fatal(context.Cause(ctx))
			}
			if code := up.ProcessState.ExitCode(); code != c.code {
				t.Errorf("lab up ended with code %d, want %d; it said:\n%s", code, c.code, &said)
			}
			if c.signal == syscall.SIGINT { // it could wait, so it must have
				if err := tr.left(); err != nil {
					t.Errorf("lab up ended before its lab: %v", err)
				}
			}
			eventually(t, within(t, goneWithin, "nothing is left"), tr.left)
		})
	}
}

// half waits until a lab has got as far as a running etcd.
func half(t *testing.T, dir string, ended <-chan struct{}, said *bytes.Buffer) lab.State {
	t.Helper()
	var state lab.State
	eventually(t, within(t, upWithin, "the lab has a running etcd"), func() error {
		select {
		case <-ended:
			t.Fatalf("lab up ended early; it said:\n%s", said)
		default:
		}
		content, err := os.ReadFile(filepath.Join(dir, "lab.json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(content, &state); err != nil {
			t.Fatalf("half a lab.json: %v\n%s", err, content)
		}
		etcd, err := state.Regions[0].Component(region.Etcd)
		if err == nil && etcd.State != region.StateRunning {
			err = fmt.Errorf("etcd is %s", etcd.State)
		}
		return err
	})
	if state.Phase != lab.PhaseStarting {
		t.Fatalf("the lab is %s already, too far for this test", state.Phase)
	}
	return state
}
