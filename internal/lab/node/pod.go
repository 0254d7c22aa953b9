package node

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// hashLabel is how Argo Rollouts marks the pods of one version.
const hashLabel = "rollouts-pod-template-hash"

// defaultGrace is what the API server gives a pod whose manifest names no grace period.
const defaultGrace = 30 * time.Second

// pod is one Pod object that this node runs. Its worker, run, is the only one that talks to the API about it.
type pod struct {
	node  *Node
	name  types.NamespacedName
	uid   types.UID
	hash  string
	born  *v1.Pod // the object as first seen; never changed
	grace time.Duration
	log   *slog.Logger

	mail    chan *v1.Pod // the newest object; what nobody read is replaced
	changed chan struct{}
	gone    context.CancelFunc // the object is no more

	inits, mains []*container
	ip           netip.Addr // set before any container runs

	// Of the worker alone:
	started metav1.Time
	sent    v1.PodStatus
}

func newPod(n *Node, object *v1.Pod) *pod {
	p := &pod{
		node: n, name: types.NamespacedName{Namespace: object.Namespace, Name: object.Name}, uid: object.UID,
		hash: object.Labels[hashLabel], born: object, grace: defaultGrace,
		log:  n.cfg.Log.With("pod", object.Namespace+"/"+object.Name),
		mail: make(chan *v1.Pod, 1), changed: make(chan struct{}, 1),
		started: metav1.Now(),
		sent:    object.Status,
	}
	if seconds := object.Spec.TerminationGracePeriodSeconds; seconds != nil {
		p.grace = time.Duration(*seconds) * time.Second
	}
	if object.Status.StartTime != nil {
		p.started = *object.Status.StartTime
	}
	if addr, err := netip.ParseAddr(object.Status.PodIP); err == nil && n.addresses.reserve(addr) {
		p.ip = addr
	}
	p.describe()
	return p
}

// describe makes the containers, without starting any.
func (p *pod) describe() {
	spec, status := &p.born.Spec, &p.born.Status
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		init := !isSidecar(c)
		p.inits = append(p.inits, newContainer(p, c, init, p.runner(c, init), find(status.InitContainerStatuses, c.Name)))
	}
	for i := range spec.Containers {
		c := &spec.Containers[i]
		p.mains = append(p.mains, newContainer(p, c, false, p.runner(c, false), find(status.ContainerStatuses, c.Name)))
	}
}

func find(statuses []v1.ContainerStatus, name string) *v1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

// runner decides what a container does, by its image.
func (p *pod) runner(c *v1.Container, init bool) runner {
	path, own := p.node.cfg.Own(c.Image)
	switch {
	case own:
		return process{pod: p, spec: c, path: path}
	case slices.ContainsFunc(p.born.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Job" }):
		return refused{}
	case init:
		return completed{}
	default:
		return server{pod: p, spec: c}
	}
}

// policy is the pod's, but that an init container is to succeed once, and a sidecar to run on.
func (p *pod) policy(c *v1.Container, init bool) v1.RestartPolicy {
	switch policy := p.born.Spec.RestartPolicy; {
	case isSidecar(c):
		return v1.RestartPolicyAlways
	case init && policy != v1.RestartPolicyNever:
		return v1.RestartPolicyOnFailure
	default:
		return policy
	}
}

// tell passes on the newest object. Only the informer's handler calls it.
func (p *pod) tell(object *v1.Pod) {
	select {
	case <-p.mail:
	default:
	}
	p.mail <- object
}

// poke says that a container's status has changed.
func (p *pod) poke() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
