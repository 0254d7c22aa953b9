package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container runs one container of a pod, life after life, and keeps its status.
type container struct {
	pod    *pod
	spec   *v1.Container
	init   bool // runs before the others, and to its end
	policy v1.RestartPolicy
	runner runner

	// stopping ends when the pod is being deleted; stop ends it.
	stopping context.Context
	stop     context.CancelFunc

	mu       sync.Mutex
	status   v1.ContainerStatus
	lives    int32
	before   *exit // how it ended under an earlier node; nil for a container that never ran
	drainFor time.Duration
	logs     *logBuffer // of the life that runs, or of the last one
	previous *logBuffer
}

// run lives until the policy wants no other life, the container is stopped or ctx ends.
func (c *container) run(ctx context.Context) {
	if c.before != nil && !c.before.restarts(c.policy) {
		return
	}
	timing := c.pod.node.timing
	for pause := timing.crashMin; c.stopping.Err() == nil; pause = min(2*pause, timing.crashMax) {
		begun := time.Now()
		e := c.live(ctx)
		if ctx.Err() != nil || c.stopping.Err() != nil || !e.restarts(c.policy) {
			c.ended(e)
			return
		}
		// Like a kubelet: one that ran for long enough begins anew.
		if time.Since(begun) >= 2*timing.crashMax {
			pause = timing.crashMin
		}
		c.backingOff(e, pause)
		if !c.rest(ctx, pause) {
			c.ended(e)
			return
		}
	}
}

// rest is the pause between two lives; it reports false if there is to be no other.
func (c *container) rest(ctx context.Context, pause time.Duration) bool {
	ctx, cancel := both(ctx, c.stopping)
	defer cancel()
	return sleep(ctx, pause)
}

// both is a context that ends with the first of two.
func both(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

// live is one life, probes and log included.
func (c *container) live(ctx context.Context) exit {
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	probing, quiet := both(ctx, c.stopping)
	defer quiet()
	var probes sync.WaitGroup
	l := &life{log: &logBuffer{}, term: c.stopping.Done(), drain: c.drain, unhealthy: make(chan struct{})}
	l.up = func(healthy func() error) {
		c.running()
		probes.Go(func() { c.watch(probing, l, healthy) })
	}
	logs, previous := c.rotate(l.log)

	ended := make(chan struct{})
	var overdue sync.WaitGroup
	overdue.Go(func() { c.killUnhealthy(l, ended, kill) })
	e := c.runner.run(ctx, l)
	close(ended)
	quiet()
	probes.Wait()
	overdue.Wait()
	l.log.close()
	if e.unstarted != "" {
		c.unrotate(logs, previous)
	}
	if c.stopping.Err() == nil && l.diagnosis != "" {
		return exit{code: codeTerminated, message: l.diagnosis}
	}
	return e
}

// killUnhealthy gives a life that a probe has condemned its grace period, then ends it.
func (c *container) killUnhealthy(l *life, ended <-chan struct{}, kill context.CancelFunc) {
	select {
	case <-ended:
		return
	case <-l.unhealthy:
	}
	grace := time.NewTimer(c.pod.grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		kill()
	}
}

// terminate stops the container for good: it goes on answering for drain, then ends.
func (c *container) terminate(drain time.Duration) {
	c.mu.Lock()
	c.drainFor = drain
	c.mu.Unlock()
	c.stop()
}

func (c *container) drain() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drainFor
}

// rotate begins the log of a new life.
func (c *container) rotate(log *logBuffer) (logs, previous *logBuffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	logs, previous = c.logs, c.previous
	c.logs, c.previous = log, c.logs
	return logs, previous
}

func (c *container) unrotate(logs, previous *logBuffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logs, c.previous = logs, previous
}

// openLog finds the log that a kubelet would show, or says why there is none.
func (c *container) openLog(previous bool) (*logBuffer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.status.State.Waiting
	log := c.logs
	if previous && waiting == nil {
		log = c.previous
	}
	switch {
	case previous && (c.status.LastTerminationState.Terminated == nil || log == nil):
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", c.spec.Name, c.pod.name.Name)
	case log == nil && waiting != nil:
		return nil, fmt.Errorf("container %q in pod %q is waiting to start: %s", c.spec.Name, c.pod.name.Name, waiting.Reason)
	case log == nil:
		return nil, fmt.Errorf("container %q in pod %q ended before the lab was restarted: its log is gone", c.spec.Name, c.pod.name.Name)
	}
	return log, nil
}

func (c *container) terminated(e exit) *v1.ContainerStateTerminated {
	t := &v1.ContainerStateTerminated{
		ExitCode: e.code, Reason: e.because(), Message: e.message,
		FinishedAt: metav1.Now(), ContainerID: c.status.ContainerID,
	}
	if running := c.status.State.Running; running != nil {
		t.StartedAt = running.StartedAt
	} else {
		t.StartedAt = t.FinishedAt
	}
	return t
}
