package region

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// courtesy is what a process may take from the request to end until it is killed: its data is thrown away anyway.
const courtesy = 2 * time.Second

// Stop ends the region: first those who talk to the API server, which would wait for them, then the API server, then
// etcd. It returns once nothing is left. Where ctx ends earlier, what is left is killed.
func (r *Region) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stopping) })
	var errs errorList
	if r.parts != nil {
		r.parts.stopLoad()
		r.parts.stopRest()
	}
	var clients sync.WaitGroup
	for _, name := range []string{ControllerManager, Rollouts, Prometheus} {
		clients.Go(func() { errs.add(r.stopProcess(ctx, name)) })
	}
	clients.Wait()
	if r.parts != nil {
		r.parts.wg.Wait()
	}
	errs.add(r.stopProcess(ctx, APIServer))
	errs.add(r.stopProcess(ctx, Etcd))
	for _, server := range r.servers {
		errs.add(server.Close())
	}
	r.watchers.Wait()
	errs.add(r.opts.Reservation.Close())
	if err := errs.join(); err != nil {
		return fmt.Errorf("stop region %s: %w", r.opts.Config.Name, err)
	}
	return nil
}

func (r *Region) stopProcess(ctx context.Context, name string) error {
	p := r.process(name)
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, courtesy, fmt.Errorf("still there after %s", courtesy))
	defer cancel()
	err := p.Stop(ctx)
	select {
	case <-p.Done():
		return nil // by force or not: nothing that it could have saved is kept
	default:
		return err
	}
}

// errorList collects errors from several goroutines.
type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorList) join() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
