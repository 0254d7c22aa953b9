package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestChildDiesWithAKilledParent(t *testing.T) {
	out := newOutput(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env, parent.Stdout = []string{modeKey + "=parent"}, out.File
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	out.handedOver()
	out.want(t, "ready") // the child says so
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed", as ordered
	out.wantEOF(t)
}

// A child forked from the caller's own thread would die with that thread.
func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	l := newLauncher(t)
	thread := make(chan int, 1)
	var p *Process
	var out *output
	started := make(chan struct{})
	go func() {
		defer close(started)
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		thread <- unix.Gettid()
		p, out = launch(t, l, "serve")
	}()
	<-started
	if p == nil {
		t.FailNow()
	}
	if id := <-thread; id != os.Getpid() { // the main thread never ends
		awaitThreadEnd(t, id)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	out.want(t, "alive")
}

func awaitThreadEnd(t *testing.T, id int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id))
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("thread %d does not end", id)
		}
		runtime.Gosched()
	}
}

func TestParseStat(t *testing.T) {
	// Field 2 is the program's name, which may hold anything.
	const stat = "77 (a) b (c d) %s 1 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 %d 0 4711 99 98"
	for _, c := range []struct {
		state   string
		threads int
		ended   bool
	}{
		{"S", 9, false},
		{"Z", 9, false}, // the main thread has ended, others have not
		{"Z", 1, true},
		{"X", 0, true},
	} {
		ticks, ended, err := parseStat(fmt.Appendf(nil, stat, c.state, c.threads))
		if ticks != "4711" || ended != c.ended || err != nil {
			t.Errorf("parseStat of state %s with %d threads = %q, %t, %v, want 4711, %t", c.state, c.threads, ticks, ended, err, c.ended)
		}
	}
	for _, stat := range []string{"", "77", "77 (a) S 1"} {
		if ticks, _, err := parseStat([]byte(stat)); err == nil {
			t.Errorf("parseStat(%q) = %q, want an error", stat, ticks)
		}
	}
}

// An upgrade that removes the executable must not make the process a stranger.
func TestRecordOutlivesTheExecutable(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "program")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, text, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := helper("serve", nil)
	spec.Path = copied
	p, err := newLauncher(t).Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	if !p.Record().Ours() {
		t.Errorf("%+v is not ours once its file is gone", p.Record())
	}
}

// The kernel takes a process's memory first and its files, with the locks on them, later: a lab's folder can be locked anew
// only once its supervisor has lost both.
func TestAnEndingProcessIsOursUntilItsFilesAreClosed(t *testing.T) {
	p, out := launch(t, newLauncher(t), "large")
	pipe, err := out.readEnd.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Record().Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); p.Record().Ours(); {
		if time.Now().After(deadline) {
			t.Fatalf("%+v does not end", p.Record())
		}
	}
	var n int
	var readErr error
	if err := pipe.Control(func(fd uintptr) { n, readErr = unix.Read(int(fd), make([]byte, 1)) }); err != nil {
		t.Fatal(err)
	}
	if n != 0 || readErr != nil {
		t.Errorf("read of a pipe that only a process held that has ended = %d, %v, want its end", n, readErr)
	}
}
