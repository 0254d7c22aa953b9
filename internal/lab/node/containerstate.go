package node

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newContainer describes a container that does not run yet. prior is its status in the API, if the pod ran
// under an earlier node: that life was lost with the node.
func newContainer(p *pod, spec *v1.Container, init bool, run runner, prior *v1.ContainerStatus) *container {
	c := &container{pod: p, spec: spec, init: init, policy: p.policy(spec, init), runner: run}
	waiting := "ContainerCreating"
	if len(p.born.Spec.InitContainers) > 0 {
		waiting = "PodInitializing"
	}
	c.stopping, c.stop = context.WithCancel(context.Background())
	c.status = v1.ContainerStatus{
		Name: spec.Name, Image: spec.Image, Started: new(false),
		State: v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: waiting}},
	}
	if prior == nil || prior.ContainerID == "" {
		return c
	}
	c.status.ContainerID, c.status.ImageID = prior.ContainerID, prior.ImageID
	c.status.RestartCount, c.lives = prior.RestartCount, prior.RestartCount+1
	c.status.LastTerminationState = prior.LastTerminationState
	switch {
	case prior.State.Running != nil:
		c.status.State.Running = prior.State.Running // for its start time
		lost := exit{code: codeKilled, reason: "ContainerStatusUnknown", message: "the lab was restarted"}
		c.resume(lost, c.terminated(lost))
	case prior.State.Terminated != nil:
		c.resume(exit{code: prior.State.Terminated.ExitCode}, prior.State.Terminated)
	}
	return c
}

// resume takes up a container where an earlier node left it.
func (c *container) resume(e exit, t *v1.ContainerStateTerminated) {
	c.before = &e
	if e.restarts(c.policy) {
		c.status.LastTerminationState = v1.ContainerState{Terminated: t}
		c.status.State.Running = nil
	} else {
		c.status.State = v1.ContainerState{Terminated: t}
	}
}

// update changes the status and has the pod report it.
func (c *container) update(change func(*v1.ContainerStatus)) {
	c.mu.Lock()
	change(&c.status)
	c.mu.Unlock()
	c.pod.poke()
}

func (c *container) snapshot() v1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.status.DeepCopy()
}

// running is the start of a life.
func (c *container) running() {
	started := c.spec.StartupProbe == nil
	ready := started && c.spec.ReadinessProbe == nil
	c.update(func(s *v1.ContainerStatus) {
		s.RestartCount = c.lives
		c.lives++
		s.ContainerID = fmt.Sprintf("lab://%s/%s/%d", c.pod.uid, c.spec.Name, s.RestartCount)
		s.ImageID = "lab://" + c.spec.Image
		s.State = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}
		s.Started, s.Ready = new(started), ready
	})
}

func (c *container) startedUp() {
	c.update(func(s *v1.ContainerStatus) {
		s.Started = new(true)
		s.Ready = c.spec.ReadinessProbe == nil
	})
}

func (c *container) setReady(ready bool) {
	c.update(func(s *v1.ContainerStatus) { s.Ready = ready })
}

// ended is the end of the last life.
func (c *container) ended(e exit) {
	c.update(func(s *v1.ContainerStatus) {
		if e.unstarted != "" {
			return // it never ran: the waiting reason says why
		}
		if last := s.LastTerminationState.Terminated; s.State.Waiting != nil && last != nil && last.ContainerID == s.ContainerID {
			// Stopped while it backed off: its last life is what it ended with.
			s.State = v1.ContainerState{Terminated: last}
		} else {
			s.State = v1.ContainerState{Terminated: c.terminated(e)}
		}
		// An init container that has done its work counts as ready.
		s.Started, s.Ready = new(false), c.init && e.code == 0
	})
}

// backingOff is the time between two lives.
func (c *container) backingOff(e exit, pause time.Duration) {
	c.update(func(s *v1.ContainerStatus) {
		s.Started, s.Ready = new(false), false
		if e.unstarted != "" {
			s.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: e.unstarted, Message: e.message}}
			return
		}
		s.LastTerminationState = v1.ContainerState{Terminated: c.terminated(e)}
		s.State = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %v restarting failed container=%s pod=%s(%s)", pause, c.spec.Name, c.pod.name, c.pod.uid),
		}}
	})
}
