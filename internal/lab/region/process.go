package region

import (
	"context"
	"errors"
	"fmt"

	"tidegate.io/tidegate/internal/lab/proc"
)

// run starts a process of the description and waits until ready has no error; nil waits for nothing.
func (r *Region) run(ctx context.Context, name string, ready func(context.Context) error, ports ...int) error {
	select {
	case <-r.stopping:
		return errors.New("the region is being stopped")
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
	}
	if err := r.opts.Reservation.Free(ports...); err != nil {
		return err
	}
	spec := r.files.Processes[name]
	p, err := r.opts.Launcher.Start(spec)
	if err != nil {
		return err
	}
	r.processMu.Lock()
	r.processes[name] = p
	r.processMu.Unlock()
	record := p.Record()
	r.roll.set(Component{Name: name, State: StateStarting, PID: p.PID(), Log: spec.Log, Record: &record})
	r.watchers.Go(func() {
		<-p.Done()
		select {
		case <-r.stopping:
		default:
			r.roll.mark(name, StateExited, exitError(p))
		}
	})
	if ready != nil {
		if err := poll(ctx, p, spec, ready); err != nil {
			return err
		}
	}
	r.roll.mark(name, StateRunning, nil)
	return nil
}

// prove waits, for as long as a component may take, until watch has seen what only that component does.
func (r *Region) prove(ctx context.Context, name string, watch func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not working after %s", patience))
	defer cancel()
	p := r.process(name)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-p.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := watch(ctx)
	cancel()
	<-gone
	if err == nil {
		return nil
	}
	select {
	case <-p.Done():
		err = fmt.Errorf("exited: %w", exitError(p))
	default:
	}
	return spoken(r.files.Processes[name], fmt.Errorf("start %s: %w", name, err))
}

func (r *Region) process(name string) *proc.Process {
	r.processMu.Lock()
	defer r.processMu.Unlock()
	return r.processes[name]
}
