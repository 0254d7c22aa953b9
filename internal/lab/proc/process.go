package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// insistAfter is how long Stop waits before it sends SIGTERM again: an API server with live watchers drains for a
	// minute after one SIGTERM, and leaves at once after two. Unhindered it is gone well before.
	insistAfter = time.Second
	// reapWithin is how long the kernel may take to end a killed process: freeing a gigabyte on a busy machine takes
	// a moment; beyond this it hangs in a system call, and waiting does not help.
	reapWithin = 10 * time.Second
)

// Process is a child that was started. It is reaped as soon as it exits, whether anybody waits or not.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	record Record
	done   chan struct{}
	err    error // set before done is closed

	mu     sync.Mutex
	reaped bool // the pid is no longer ours to signal
}

// start must run on the Launcher's thread.
func start(spec Spec) (*Process, error) {
	output := spec.Output
	if output == nil && spec.Log != "" {
		file, err := os.OpenFile(spec.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", spec.Name, err)
		}
		defer file.Close()
		output = file
	}
	cmd := &exec.Cmd{
		Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...),
		Env: append([]string{}, spec.Env...), // not nil, which would mean the parent's
		Dir: spec.Dir, SysProcAttr: attributes(),
	}
	if output != nil { // a nil *os.File in the interface would not be a nil interface
		cmd.Stdout, cmd.Stderr = output, output
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Process{name: spec.Name, log: spec.Log, cmd: cmd, done: make(chan struct{})}
	p.record = recordOf(cmd.Process.Pid) // before anybody reaps it
	go p.reap()
	return p, nil
}

// Done is closed once the process has exited and is reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID returns the process's id. After Done it may be somebody else's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Record returns what finds the process again, from another process and later.
func (p *Process) Record() Record { return p.record }

// Err says how the process ended, with the log to read: nil while it runs, and if it exited with code 0.
// It wraps *exec.ExitError.
func (p *Process) Err() error {
	if !p.gone() {
		return nil
	}
	return p.err
}

// Signal sends sig to the process alone, not to its group. Once it is reaped the error is os.ErrProcessDone.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock() // holds back the reaper, so that the pid cannot have become somebody else's
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.PID(), sig)
}

// Stop asks the process to end with SIGTERM, asks once more, and kills it when ctx ends. Its group goes with it. It
// returns once the process is reaped: nil if it went by itself, else an error that wraps the cause of ctx.
func (p *Process) Stop(ctx context.Context) error {
	insist := time.NewTimer(insistAfter)
	defer insist.Stop()
	p.terminate()
	for {
		select {
		case <-p.done:
			return nil
		case <-insist.C:
			p.terminate()
		case <-ctx.Done():
			return p.kill(context.Cause(ctx))
		}
	}
}

func (p *Process) kill(cause error) error {
	_ = p.Signal(syscall.SIGKILL) // the reaper sees to the rest of its group
	deadline := time.NewTimer(reapWithin)
	defer deadline.Stop()
	select {
	case <-p.done:
		return fmt.Errorf("stop %s: killed: %w", p.name, cause)
	case <-deadline.C:
		return fmt.Errorf("stop %s: pid %d is still there %v after SIGKILL: %w", p.name, p.PID(), reapWithin, cause)
	}
}

func (p *Process) terminate() {
	// Errors mean that it is gone, which done tells better.
	_ = p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT) // a frozen process would not hear SIGTERM
}

func (p *Process) reap() {
	zombie := awaitExit(p.PID()) == nil
	if zombie {
		p.mu.Lock()
		// As long as the leader is a zombie its group's number is taken: what it left behind can be killed safely.
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	err := p.cmd.Wait()
	if !zombie {
		p.mu.Lock()
	}
	p.reaped = true
	p.mu.Unlock()
	p.err = p.describe(err)
	close(p.done)
}

func (p *Process) describe(err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && p.log != "":
		return fmt.Errorf("%s: %w (its log: %s)", p.name, err, p.log)
	default:
		return fmt.Errorf("%s: %w", p.name, err)
	}
}

func (p *Process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
