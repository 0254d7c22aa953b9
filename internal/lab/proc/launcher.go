// Package proc runs child processes that cannot be left behind: each is reaped, each can be stopped within a
// deadline, and none outlives its parent, not even one that is killed.
//
// On Linux the kernel sees to the last of these (Pdeathsig). Elsewhere a Record on disk lets the next run find what
// an earlier one left, and kill it without ever touching a stranger's process.
package proc

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// ErrClosed is what Start says once the Launcher is closed.
var ErrClosed = errors.New("launcher is closed")

// Spec describes a child process.
type Spec struct {
	Name string   // what errors call it
	Path string   // executable; nothing is searched
	Args []string // arguments, without the name of the program
	Env  []string // the whole environment as KEY=value: nothing is inherited
	Dir  string   // working folder; "" is the parent's
	Log  string   // file that takes stdout and stderr: appended to, 0600 if new; "" discards them
	// Output takes stdout and stderr instead of Log. It stays the caller's to close.
	Output *os.File
}

// Launcher starts child processes, and owns them until it is closed.
//
// All are forked from one goroutine on a thread of its own: Linux delivers Pdeathsig when the thread that forked
// ends, not the process, and Go ends threads as it likes (https://go.dev/issue/27505).
type Launcher struct {
	requests chan request
	quit     chan struct{}
	closed   chan struct{}
	once     sync.Once
}

type request struct {
	spec   Spec
	answer chan<- result
}

type result struct {
	process *Process
	err     error
}

// NewLauncher returns a Launcher. It holds an OS thread until Close.
func NewLauncher() *Launcher {
	l := &Launcher{requests: make(chan request), quit: make(chan struct{}), closed: make(chan struct{})}
	go l.run()
	return l
}

// Start starts a child in a process group of its own, so that a terminal's Ctrl-C does not reach it: whoever started
// it stops it, in order. It returns as soon as the program is loaded.
func (l *Launcher) Start(spec Spec) (*Process, error) {
	answer := make(chan result, 1)
	select {
	case l.requests <- request{spec, answer}:
		r := <-answer
		return r.process, r.err
	case <-l.quit:
		return nil, ErrClosed
	}
}

// Close kills every child that still runs, with its group, and returns when all are reaped. It may be called more
// than once.
func (l *Launcher) Close() {
	l.once.Do(func() { close(l.quit) })
	<-l.closed
}

func (l *Launcher) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // harmless: nobody lives any more whom the thread's end would kill
	defer close(l.closed)
	var children []*Process
	for {
		select {
		case r := <-l.requests:
			p, err := start(r.spec)
			if err == nil {
				children = append(slices.DeleteFunc(children, (*Process).gone), p)
			}
			r.answer <- result{p, err}
		case <-l.quit:
			for _, p := range children {
				_ = p.Signal(syscall.SIGKILL) // all at once
			}
			for _, p := range children {
				_ = p.kill(ErrClosed) // waits; says no more than that it killed
			}
			return
		}
	}
}
