package node

import (
	"context"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
)

// runner is what a container does: serve HTTP, run a process, or nothing at all.
type runner interface {
	// run is one life of the container. It calls l.up once when the container runs, heeds l.term and
	// l.unhealthy, dies at once when ctx ends, and returns when nothing of it is left.
	run(ctx context.Context, l *life) exit
}

// life is one run of a container, from start to exit.
type life struct {
	log       *logBuffer
	up        func(healthy func() error)
	term      <-chan struct{} // closed when the pod is being deleted: SIGTERM
	drain     func() time.Duration
	unhealthy chan struct{} // closed when a probe asks for a restart
	fail      sync.Once
	diagnosis string // why unhealthy was closed
}

// restart asks for the end of this life because of what a probe found.
func (l *life) restart(diagnosis string) {
	l.fail.Do(func() {
		l.diagnosis = diagnosis
		close(l.unhealthy)
	})
}

// exit is how a life ended.
type exit struct {
	code    int32
	reason  string // "" is Completed for code 0, else Error
	message string
	// final marks what no restart can mend: the pod fails.
	final bool
	// unstarted is the waiting reason of a container that could not even be created; the rest of exit but for
	// message is then without meaning.
	unstarted string
}

// Exit codes as a shell and a container runtime report them.
const (
	codeCannotStart = 128
	codeKilled      = 128 + 9
	codeTerminated  = 128 + 15
)

// restarts reports whether policy wants another life after e.
func (e exit) restarts(policy v1.RestartPolicy) bool {
	switch {
	case e.final:
		return false
	case e.unstarted != "":
		return true
	case policy == v1.RestartPolicyNever:
		return false
	case policy == v1.RestartPolicyOnFailure:
		return e.code != 0
	default:
		return true
	}
}

func (e exit) because() string {
	switch {
	case e.reason != "":
		return e.reason
	case e.code == 0:
		return "Completed"
	default:
		return "Error"
	}
}

// completed is an init container of an image that the lab does not run: it is done at once.
type completed struct{}

func (completed) run(_ context.Context, l *life) exit {
	l.up(nil)
	return exit{}
}

const (
	reasonRefused  = "UnsupportedImage"
	messageRefused = "the lab runs only Tidegate's own image as a process"
)

// refused is a Job's container that the lab cannot run. It must not look as if it had succeeded.
type refused struct{}

func (refused) run(_ context.Context, l *life) exit {
	l.up(nil)
	_, _ = l.log.Write([]byte(messageRefused + "\n"))
	return exit{code: 1, reason: reasonRefused, message: messageRefused, final: true}
}
