package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChildGetsWhatTheSpecSaysAndNothingElse(t *testing.T) {
	t.Setenv("PROC_TEST_SECRET", "of the parent")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spec := helper("print", nil)
	spec.Args, spec.Dir, spec.Log = []string{"--flag", "two words"}, dir, filepath.Join(dir, "log")

	l := newLauncher(t)
	for range 2 { // the second run is appended
		p, err := l.Start(spec)
		if err != nil {
			t.Fatal(err)
		}
		waitDone(t, p)
		var exit *exec.ExitError
		if !errors.As(p.Err(), &exit) || exit.ExitCode() != 3 {
			t.Errorf("Err = %v, want exit code 3", p.Err())
		}
		if want := fmt.Sprintf("print: exit status 3 (its log: %s)", spec.Log); p.Err().Error() != want {
			t.Errorf("Err = %q, want %q", p.Err(), want)
		}
	}
	got, err := os.ReadFile(spec.Log)
	if err != nil {
		t.Fatal(err)
	}
	once := fmt.Sprintf("args [\"--flag\" \"two words\"]\nenv [\"%s=print\"]\ndir %s\non stderr\n", modeKey, dir)
	if diff := cmp.Diff(once+once, string(got)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(spec.Log); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log's mode is %v, %v, want 0600", info.Mode(), err)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	l := newLauncher(t)
	missing := filepath.Join(t.TempDir(), "missing")
	for name, spec := range map[string]Spec{
		"no program":      {Name: "etcd", Path: missing},
		"no folder":       {Name: "etcd", Path: os.Args[0], Dir: missing},
		"no log folder":   {Name: "etcd", Path: os.Args[0], Log: filepath.Join(missing, "log")},
		"log is a folder": {Name: "etcd", Path: os.Args[0], Log: t.TempDir()},
	} {
		if p, err := l.Start(spec); err == nil || !strings.HasPrefix(err.Error(), "start etcd: ") {
			t.Errorf("%s: Start = %v, %v", name, p, err)
		}
	}
}

func TestChildIsItsOwnGroupAndLeavesNoZombie(t *testing.T) {
	p, _ := launch(t, newLauncher(t), "serve")
	if group, err := syscall.Getpgid(p.PID()); err != nil || group != p.PID() {
		t.Errorf("process group %d, %v, want the child's own, %d", group, err, p.PID())
	}
	if p.Err() != nil {
		t.Errorf("Err = %v while it runs", p.Err())
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitDone(t, p) // nobody called Stop, so it was reaped unasked
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the pid is still taken: %v", err)
	}
	if want := "serve: signal: killed"; p.Err() == nil || p.Err().Error() != want {
		t.Errorf("Err = %v, want %q", p.Err(), want)
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal after the end = %v, want os.ErrProcessDone", err)
	}
}

func TestStop(t *testing.T) {
	for _, tc := range []struct{ name, mode string }{
		{"goes at the first SIGTERM", "serve"},
		{"goes at the second", "stubborn"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, out := launch(t, newLauncher(t), tc.mode)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := p.Stop(ctx); err != nil {
				t.Errorf("Stop = %v", err)
			}
			out.want(t, "bye")
			if err := p.Err(); err != nil {
				t.Errorf("Err = %v, want a clean exit", err)
			}
			if err := p.Stop(ctx); err != nil {
				t.Errorf("Stop of what is gone = %v", err)
			}
		})
	}
}

func TestStopReachesAFrozenProcess(t *testing.T) {
	p, out := launch(t, newLauncher(t), "serve")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Errorf("Stop = %v", err)
	}
	out.want(t, "bye")
}

func TestStopKillsTheWholeGroupInTheEnd(t *testing.T) {
	p, out := launch(t, newLauncher(t), "family") // and its child, both deaf to SIGTERM
	late := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, late)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, late) || err.Error() != "stop family: killed: late" {
		t.Errorf("Stop = %v", err)
	}
	waitDone(t, p)
	out.wantEOF(t)
}

func TestWhatADeadChildLeftBehindIsKilled(t *testing.T) {
	p, out := launch(t, newLauncher(t), "family")
	if err := p.Signal(syscall.SIGKILL); err != nil { // the leader alone
		t.Fatal(err)
	}
	waitDone(t, p)
	out.wantEOF(t)
}

func TestCloseLeavesNobody(t *testing.T) {
	l := NewLauncher()
	deaf, deafOut := launch(t, l, "deaf")
	_, familyOut := launch(t, l, "family")
	l.Close()
	deafOut.wantEOF(t)
	familyOut.wantEOF(t)
	waitDone(t, deaf)
	l.Close()
	if _, err := l.Start(helper("serve", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
}
