package mesh

import (
	"context"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	coreinformers "k8s.io/client-go/informers/core/v1"
	discoveryinformers "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// sources are the watches that routes are made of. changed holds one token while there is news.
type sources struct {
	services, pods, slices cache.SharedIndexInformer
	virtuals               *custom
	changed                chan struct{}
}

func newSources(cfg Config, log *slog.Logger) (*sources, error) {
	s := &sources{changed: make(chan struct{}, 1)}
	all := metav1.NamespaceAll
	s.services = coreinformers.NewServiceInformer(cfg.Client, all, 0, cache.Indexers{})
	s.pods = coreinformers.NewPodInformer(cfg.Client, all, 0, cache.Indexers{})
	s.slices = discoveryinformers.NewFilteredEndpointSliceInformer(cfg.Client, all, 0, cache.Indexers{}, handMade)
	news := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.note() },
		UpdateFunc: func(any, any) { s.note() },
		DeleteFunc: func(any) { s.note() },
	}
	s.virtuals = &custom{
		client: cfg.Dynamic, log: log, handler: news,
		resource: schema.GroupResource{Group: "networking.istio.io", Resource: "virtualservices"},
		versions: []string{"v1", "v1beta1", "v1alpha3"},
		convert:  readVirtualService,
	}
	for _, informer := range []cache.SharedIndexInformer{s.services, s.pods, s.slices} {
		if _, err := prepare(informer, news, log); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// handMade leaves out the slices that the controller-manager makes of selectors: for those the mesh looks at the pods.
func handMade(o *metav1.ListOptions) {
	o.LabelSelector = discoveryv1.LabelManagedBy + "!=endpointslice-controller.k8s.io"
}

// prepare attaches what every informer of this package has: its handler, and a log for the watch's troubles.
func prepare(
	informer cache.SharedIndexInformer, h cache.ResourceEventHandler, log *slog.Logger,
) (cache.ResourceEventHandlerRegistration, error) {
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		// It is tried again, and at the end of a region it is how the end looks.
		log.DebugContext(ctx, "watch broke off", "error", err)
	})
	if err != nil {
		return nil, err
	}
	return informer.AddEventHandler(h)
}

// note leaves a token for whoever makes the tables; one is enough, since a table is made of everything.
func (s *sources) note() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run watches until ctx ends and every watch has.
func (s *sources) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.services.RunWithContext(ctx) })
	wg.Go(func() { s.pods.RunWithContext(ctx) })
	wg.Go(func() { s.slices.RunWithContext(ctx) })
	err := s.virtuals.run(ctx)
	wg.Wait()
	return err
}

func (s *sources) synced() bool {
	return s.services.HasSynced() && s.pods.HasSynced() && s.slices.HasSynced() && s.virtuals.synced()
}

// objects are the current state. What it points to is shared, and never written to.
func (s *sources) objects() objects {
	return objects{
		services: typed[*corev1.Service](s.services.GetStore().List()),
		pods:     typed[*corev1.Pod](s.pods.GetStore().List()),
		slices:   typed[*discoveryv1.EndpointSlice](s.slices.GetStore().List()),
		virtuals: typed[*virtualService](s.virtuals.list()),
	}
}

func typed[T any](objs []any) []T {
	out := make([]T, 0, len(objs))
	for _, o := range objs {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}
