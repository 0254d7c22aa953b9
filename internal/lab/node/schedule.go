package node

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// follow keeps one worker for each pod that is ours or could be, until ctx ends.
func (n *Node) follow(ctx context.Context) error {
	informer := n.factory.Core().V1().Pods().Informer()
	if err := informer.SetTransform(withoutManagedFields); err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		n.cfg.Log.Debug("follow pods", "error", err)
	}); err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	n.factory.Start(ctx.Done())
	defer n.factory.Shutdown()

	starting, cancel := context.WithTimeoutCause(ctx, startTimeout, errSlowServer)
	defer cancel()
	if !cache.WaitForCacheSync(starting.Done(), informer.HasSynced) {
		return fmt.Errorf("follow pods: %w", context.Cause(starting))
	}
	if err := n.adopt(ctx); err != nil {
		return err
	}
	if _, err := informer.AddEventHandler(n.handler(ctx)); err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	n.forgetMissing()
	<-ctx.Done()
	return nil
}

// withoutManagedFields halves the cache: nobody reads them.
func withoutManagedFields(object any) (any, error) {
	if pod, ok := object.(*v1.Pod); ok {
		pod.ManagedFields = nil
	}
	return object, nil
}

// adopt takes up the pods that have an address before any pod is given one.
func (n *Node) adopt(ctx context.Context) error {
	all, err := n.factory.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return fmt.Errorf("adopt pods: %w", err)
	}
	for _, object := range all {
		if object.Status.PodIP != "" {
			n.see(ctx, object)
		}
	}
	return nil
}

func (n *Node) handler(ctx context.Context) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { n.see(ctx, object.(*v1.Pod)) },
		UpdateFunc: func(_, now any) { n.see(ctx, now.(*v1.Pod)) },
		DeleteFunc: func(object any) {
			if last, unknown := object.(cache.DeletedFinalStateUnknown); unknown {
				object = last.Obj
			}
			n.forget(object.(*v1.Pod))
		},
	}
}

// see starts a worker for a new pod, and tells the worker of a known one.
func (n *Node) see(ctx context.Context, object *v1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	if known := n.pods[name]; known != nil {
		if known.uid == object.UID {
			known.tell(object)
			return
		}
		// Between two looks one pod went and another came under its name.
		known.gone()
		delete(n.pods, name)
	}
	if n.stopped || !n.wants(object) {
		return
	}
	p := newPod(n, object)
	ctx, p.gone = context.WithCancel(ctx)
	n.pods[name] = p
	n.workers.Go(func() { p.run(ctx) })
}

// forget ends what is left of a pod whose object is gone. A worker that has finished stays known until then, so
// that a late event does not bring the pod back.
func (n *Node) forget(object *v1.Pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	if known := n.pods[name]; known != nil && known.uid == object.UID {
		known.gone()
		delete(n.pods, name)
	}
}

// forgetMissing forgets the pods whose objects went after they were adopted and before anybody listened.
func (n *Node) forgetMissing() {
	n.mu.Lock()
	defer n.mu.Unlock()
	lister := n.factory.Core().V1().Pods().Lister()
	for name, known := range n.pods {
		if _, err := lister.Pods(name.Namespace).Get(name.Name); apierrors.IsNotFound(err) {
			known.gone()
			delete(n.pods, name)
		}
	}
}

// wants reports whether a pod is this node's, or may become so. There is no other node and no scheduler.
func (n *Node) wants(object *v1.Pod) bool {
	if object.Spec.NodeName != "" {
		return object.Spec.NodeName == n.cfg.Name
	}
	scheduler := object.Spec.SchedulerName
	return (scheduler == "" || scheduler == v1.DefaultSchedulerName) &&
		len(object.Spec.SchedulingGates) == 0 && object.DeletionTimestamp == nil
}

// bind assigns the pod to this node unless it is, and reports false if it went elsewhere or is gone.
func (p *pod) bind(ctx context.Context) (*v1.Pod, bool) {
	object, pause := p.born, retryMin
	for object.Spec.NodeName == "" {
		err := call(ctx, func(ctx context.Context) error {
			return p.node.cfg.Client.CoreV1().Pods(p.name.Namespace).Bind(ctx, &v1.Binding{
				ObjectMeta: metav1.ObjectMeta{Namespace: p.name.Namespace, Name: p.name.Name, UID: p.uid},
				Target:     v1.ObjectReference{Kind: "Node", Name: p.node.cfg.Name},
			}, metav1.CreateOptions{})
		})
		switch {
		case err == nil:
			return object, true
		case apierrors.IsNotFound(err):
			return nil, false
		case !apierrors.IsConflict(err):
			p.log.Warn("bind the pod", "error", err, "retryIn", pause)
		}
		// A conflict says that the object has changed: the next one tells how.
		wait := time.NewTimer(pause)
		pause = min(2*pause, retryMax)
		select {
		case object = <-p.mail:
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil || object.DeletionTimestamp != nil && object.Spec.NodeName == "" {
			return nil, false
		}
	}
	return object, object.Spec.NodeName == p.node.cfg.Name
}
