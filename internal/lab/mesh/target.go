package mesh

import (
	"cmp"
	"context"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// target is a Rollout under load.
type target struct {
	wish     wish
	stop     context.CancelFunc
	flying   chan struct{}
	inFlight sync.WaitGroup
}

// wish is what a Rollout says about where its users are.
type wish struct {
	namespace, rollout    string
	active                string // Service of a blue/green
	virtualSpace, virtual string // VirtualService of a routed canary
	stable                string // Service of a canary
}

// rollout is what is kept of a Rollout.
type rollout struct {
	metav1.ObjectMeta
	wish wish
}

func readRollout(u *unstructured.Unstructured) any {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec", "strategy"}, path...)...)
		return s
	}
	w := wish{
		namespace: u.GetNamespace(), rollout: u.GetName(),
		active:  text("blueGreen", "activeService"),
		stable:  text("canary", "stableService"),
		virtual: text("canary", "trafficRouting", "istio", "virtualService", "name"),
	}
	if many, _, _ := unstructured.NestedSlice(u.Object,
		"spec", "strategy", "canary", "trafficRouting", "istio", "virtualServices"); w.virtual == "" && len(many) > 0 {
		first, _ := many[0].(map[string]any)
		w.virtual, _ = first["name"].(string)
	}
	// Argo takes name.namespace too.
	w.virtual, w.virtualSpace, _ = strings.Cut(w.virtual, ".")
	w.virtualSpace = cmp.Or(w.virtualSpace, w.namespace)
	return &rollout{wish: w, ObjectMeta: metav1.ObjectMeta{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
	}}
}

// hosts are where the Rollout's users may be, best first.
func (w wish) hosts(mesh Router) []string {
	if w.active != "" {
		return []string{qualify(w.namespace, w.active)}
	}
	if w.virtual != "" {
		if host, ok := mesh.VirtualHost(w.virtualSpace, w.virtual); ok {
			return []string{host}
		}
		return nil
	}
	hosts := []string{qualify(w.namespace, w.rollout)}
	if w.stable != "" {
		hosts = append(hosts, qualify(w.namespace, w.stable))
	}
	return hosts
}

// aim begins to load a Rollout, or begins anew where its users have moved.
func (l *Load) aim(ctx context.Context, sending *sync.WaitGroup, o any) {
	r, ok := o.(*rollout)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := r.Namespace + "/" + r.Name
	if old := l.targets[key]; old != nil {
		if old.wish == r.wish {
			return
		}
		old.stop()
	}
	ctx, stop := context.WithCancel(ctx)
	t := &target{wish: r.wish, stop: stop, flying: make(chan struct{}, inFlight)}
	l.targets[key] = t
	sending.Go(func() { l.load(ctx, t) })
}

// drop ends the load on a Rollout that is gone.
func (l *Load) drop(o any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.targets[key]; t != nil {
		t.stop()
		delete(l.targets, key)
	}
}

// load waits until the target has its first ready pod and then sends until ctx ends, whatever comes back.
func (l *Load) load(ctx context.Context, t *target) {
	defer t.stop()
	host, ok := l.await(ctx, t.wish)
	if !ok {
		return
	}
	l.books.name(t.wish, strings.TrimSuffix(host, "."+t.wish.namespace+"."+clusterDomain))
	template := l.request(host)
	l.rate.pace(ctx, func() { l.fire(ctx, t, template) }, func(n int) { l.books.dropped(t.wish, n) })
	t.inFlight.Wait()
}

func (l *Load) await(ctx context.Context, w wish) (string, bool) {
	for {
		changed := l.mesh.Changed()
		for _, host := range w.hosts(l.mesh) {
			if l.mesh.Routable(host) {
				return host, true
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false
		}
	}
}
