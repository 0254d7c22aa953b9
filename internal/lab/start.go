package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"tidegate.io/tidegate/internal/lab/build"
)

// Command is how the executable is called as a supervisor, followed by the state folder for people who look at ps.
func Command() []string { return []string{"lab", "supervise"} }

// Lab is a lab that this process started and holds on its leash: when the process ends, however it ends, so does the lab.
// Stop takes it down; Release lets it live on.
type Lab struct {
	*Client
	leash  io.WriteCloser
	exited chan struct{} // closed once the supervisor is reaped
	once   sync.Once
}

// Start builds what is needed, starts a lab and returns once all of it is ready: every component works, and unless
// Options.Empty every Rollout is Healthy. Where ctx ends earlier, or anything fails, nothing is left behind.
func Start(ctx context.Context, options Options) (*Lab, error) {
	o, err := options.Complete()
	if err != nil {
		return nil, err
	}
	// Looked at before the build, which may take minutes. The lock that counts is taken after it.
	if held, err := claim(o.Dir, false); err != nil {
		return nil, err
	} else if held != nil {
		if err := sweep(o.Dir, held); err != nil {
			return nil, err
		}
	}
	if err := checkSpace(o.Dir, len(o.Regions)); err != nil {
		return nil, err
	}
	binaries, err := Build(ctx, o.Cache, o.Progress)
	if err != nil {
		return nil, err
	}
	held, err := claim(o.Dir, true)
	if err != nil {
		return nil, err
	}
	defer held.Close() // the supervisor has it, too
	l, events, err := spawn(o, binaries, held)
	if err != nil {
		return nil, errors.Join(err, remove(o.Dir))
	}
	if err := l.await(ctx, events, o); err != nil {
		return nil, err
	}
	return l, nil
}

// claim takes the lock. Without create, a folder without a lab gives none.
func claim(dir string, create bool) (*os.File, error) {
	held, err := lock(dir, create)
	switch foreign := (foreignError{}); {
	case errors.As(err, &foreign):
		return nil, foreign // before the build, which may take minutes
	case errors.Is(err, errHeld):
		return nil, fmt.Errorf("there is a lab in %s already", dir)
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil, nil
	}
	return held, err
}

// spawn starts the supervisor, in a session of its own so that no terminal's signal reaches it.
func spawn(o Options, binaries build.Binaries, held *os.File) (*Lab, *os.File, error) {
	log, err := os.OpenFile(filepath.Join(o.Dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("log of the supervisor: %w", err)
	}
	defer log.Close()
	events, tell, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("start the supervisor: %w", err)
	}
	defer tell.Close()
	cmd := exec.Command(o.Executable, append(Command(), o.Dir)...)
	cmd.Dir = "/" // a working folder keeps its disk busy
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{held, tell} // lockFD, eventsFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_ = events.Close()
		return nil, nil, fmt.Errorf("start the supervisor: %w", err)
	}
	l := &Lab{leash: leash, exited: make(chan struct{})}
	go func() {
		defer close(l.exited)
		_ = cmd.Wait() // how it ended is in its events and its log
	}()
	line, err := json.Marshal(order{
		Dir: o.Dir, Regions: o.Regions, Speed: o.Speed, Load: o.Load, Services: o.Services, Empty: o.Empty, Binaries: binaries,
	})
	if err == nil {
		_, err = leash.Write(append(line, '\n'))
	}
	if err != nil {
		_ = events.Close()
		return nil, nil, errors.Join(fmt.Errorf("start the supervisor: %w", err), l.end())
	}
	return l, events, nil
}

// await passes the supervisor's events on until the lab is ready.
func (l *Lab) await(ctx context.Context, events *os.File, o Options) error {
	defer events.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.leash.Close() }) // the supervisor ends, and with it its events
	defer stop()
	lines := bufio.NewReader(events)
	for {
		var event Event
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &event)
		}
		switch {
		case err != nil:
			err = fmt.Errorf("the supervisor ended early; see %s", filepath.Join(o.Dir, logFile))
		case event.Failed != "":
			err = errors.New(event.Failed)
		case event.Ready:
			var s stored
			if s, err = read(o.Dir); err == nil && stop() {
				l.Client = newClient(o.Dir, s)
				return nil
			}
		default:
			o.Progress(event)
		}
		if err != nil || ctx.Err() != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return errors.Join(fmt.Errorf("start the lab: %w", err), l.end())
		}
	}
}

// end lets go of the leash and waits until the supervisor has cleaned up.
func (l *Lab) end() error {
	_ = l.leash.Close()
	deadline := time.NewTimer(downWithin)
	defer deadline.Stop()
	select {
	case <-l.exited:
		return nil
	case <-deadline.C:
		return fmt.Errorf("the supervisor is still there after %s", downWithin)
	}
}

// Release lets the lab live on without this process.
func (l *Lab) Release() error {
	_, err := io.WriteString(l.leash, releaseWord+"\n")
	if err = errors.Join(err, l.leash.Close()); err != nil {
		return fmt.Errorf("release the lab: %w", err)
	}
	return nil
}

// Stop takes the lab down, and returns once neither a process nor a file of it is left. It may be called more than once.
func (l *Lab) Stop(ctx context.Context) error {
	var err error
	l.once.Do(func() {
		_ = l.leash.Close()
		err = l.Down(ctx)
	})
	return err
}
