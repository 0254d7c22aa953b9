package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// timing is how the lab's node differs from a kubelet, which is slower on purpose.
type timing struct {
	// drain is how long a pod that is being deleted goes on answering, so that whoever routes to it can first
	// learn that it is going. It takes half the grace period at most.
	drain time.Duration
	// crashMin and crashMax bound the pause before a restart, which doubles each time (a kubelet: 10 s to 5 min).
	crashMin, crashMax time.Duration
	// quickMin and quickMax bound the pause between the first probes of a container, until one succeeds (a
	// kubelet waits the whole period each time).
	quickMin, quickMax time.Duration
	// settle is how long the first status of a pod may wait for the pod to become ready: one write, not two.
	settle time.Duration
}

func defaultTiming() timing {
	return timing{
		drain:    2 * time.Second,
		crashMin: time.Second, crashMax: 30 * time.Second,
		quickMin: 10 * time.Millisecond, quickMax: 100 * time.Millisecond,
		settle: 25 * time.Millisecond,
	}
}

// Bounds on talking to the API server.
const (
	callTimeout  = 10 * time.Second // one call; a healthy server takes 10 ms
	startTimeout = 30 * time.Second // the first calls of a node: the server may still be starting
	retryMin     = 50 * time.Millisecond
	retryMax     = 5 * time.Second
)

var errSlowServer = errors.New("the API server did not answer in time")

// retry calls try until it succeeds or ctx ends, and then returns the last error with ctx's cause.
func retry(ctx context.Context, try func(context.Context) error) error {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		err := call(ctx, try)
		if err == nil {
			return nil
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
	}
}

func call(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errSlowServer)
	defer cancel()
	return try(ctx)
}
