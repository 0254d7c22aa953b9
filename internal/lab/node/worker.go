package node

import (
	"context"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// run is the pod's worker, from binding to deletion. When ctx ends, because the object or the node is gone, it
// kills what runs and writes nothing.
func (p *pod) run(ctx context.Context) {
	defer func() { p.node.addresses.release(p.ip) }()
	object, bound := p.bind(ctx)
	if !bound {
		return
	}
	if object.DeletionTimestamp == nil && !terminal(object.Status.Phase) {
		if object = p.live(ctx); object == nil {
			return
		}
	}
	for object.DeletionTimestamp == nil {
		select {
		case object = <-p.mail:
		case <-ctx.Done():
			return
		}
	}
	p.remove(ctx)
}

func terminal(phase v1.PodPhase) bool {
	return phase == v1.PodSucceeded || phase == v1.PodFailed
}

// live runs the containers until the pod is being deleted, and returns the object that says so.
func (p *pod) live(ctx context.Context) *v1.Pod {
	if !p.ip.IsValid() {
		if err := retry(ctx, func(context.Context) (err error) {
			p.ip, err = p.node.addresses.take()
			return err
		}); err != nil {
			return nil
		}
	}
	running, kill := context.WithCancel(ctx)
	var launched sync.WaitGroup
	defer launched.Wait()
	defer kill()
	launched.Go(func() { p.launch(running) })

	object := p.report(ctx)
	if object == nil {
		return nil
	}
	grace := p.grace
	if seconds := object.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	for _, c := range slices.Concat(p.inits, p.mains) {
		c.terminate(min(p.node.timing.drain, grace/2))
	}
	defer time.AfterFunc(grace, kill).Stop()
	launched.Wait()
	if err := call(ctx, p.patch); err != nil && ctx.Err() == nil {
		p.log.Warn("report the end of the pod", "error", err)
	}
	return object
}

// launch runs the init containers one by one, then the others together, and stops the sidecars last.
func (p *pod) launch(ctx context.Context) {
	var mains, sidecars sync.WaitGroup
	defer sidecars.Wait()
	defer func() {
		for _, c := range p.inits {
			c.terminate(0)
		}
	}()
	for _, c := range p.inits {
		if isSidecar(c.spec) {
			sidecars.Go(func() { c.run(ctx) })
			continue
		}
		c.run(ctx)
		if t := c.snapshot().State.Terminated; t == nil || t.ExitCode != 0 {
			return
		}
	}
	for _, c := range p.mains {
		mains.Go(func() { c.run(ctx) })
	}
	mains.Wait()
}
