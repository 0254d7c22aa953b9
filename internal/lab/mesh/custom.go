package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// custom follows the objects of a custom resource for as long as the resource is defined, in whichever of versions (best
// first) is served. It watches the definition itself: a plain informer that starts before the definition is there backs
// off for up to half a minute.
type custom struct {
	client   dynamic.Interface
	resource schema.GroupResource
	versions []string
	// convert makes what is kept and handed to handler out of each object.
	convert func(*unstructured.Unstructured) any
	handler cache.ResourceEventHandler
	log     *slog.Logger

	mu         sync.Mutex
	considered func() bool               // whether the definition, if there is one, has been looked at
	current    cache.SharedIndexInformer // nil while the resource is not defined
	stop       func()
}

// run follows until ctx ends and every watch has.
func (c *custom) run(ctx context.Context) error {
	only := func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + c.resource.String() }
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	definitions := dynamicinformer.NewFilteredDynamicInformer(
		c.client, crds, metav1.NamespaceAll, 0, cache.Indexers{}, only).Informer()
	looking, err := prepare(definitions, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { c.consider(ctx, o) },
		UpdateFunc: func(_, o any) { c.consider(ctx, o) },
		DeleteFunc: func(o any) { c.forget(o) },
	}, c.log)
	if err != nil {
		return fmt.Errorf("watch the definition of %s: %w", c.resource, err)
	}
	c.mu.Lock()
	c.considered = looking.HasSynced
	c.mu.Unlock()
	definitions.RunWithContext(ctx)
	c.end()
	return nil
}

// synced says whether list is complete: either there is no definition, or its objects have been read.
func (c *custom) synced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.considered != nil && c.considered() && (c.current == nil || c.current.HasSynced())
}

// list returns the objects as convert made them.
func (c *custom) list() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil
	}
	return c.current.GetStore().List()
}

// consider starts to follow the objects once their definition is served.
func (c *custom) consider(ctx context.Context, o any) {
	crd, ok := o.(*unstructured.Unstructured)
	if !ok || crd.GetName() != c.resource.String() {
		return
	}
	version, ok := served(crd, c.versions)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || c.current != nil || ctx.Err() != nil {
		return
	}
	informer := dynamicinformer.NewFilteredDynamicInformer(c.client, c.resource.WithVersion(version),
		metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	if err := c.equip(informer); err != nil {
		c.log.ErrorContext(ctx, "watch custom resource", "resource", c.resource.String(), "error", err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { informer.RunWithContext(ctx) })
	c.current, c.stop = informer, func() { cancel(); wg.Wait() }
}

func (c *custom) equip(informer cache.SharedIndexInformer) error {
	err := informer.SetTransform(func(o any) (any, error) {
		// It may see what it made already.
		if u, ok := o.(*unstructured.Unstructured); ok {
			return c.convert(u), nil
		}
		return o, nil
	})
	if err != nil {
		return err
	}
	_, err = prepare(informer, c.handler, c.log)
	return err
}

// forget stops following: without the definition there are no objects either, whether their ends were seen or not.
func (c *custom) forget(o any) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	if err != nil || name != c.resource.String() {
		return
	}
	for _, gone := range c.end() {
		c.handler.OnDelete(gone)
	}
}

// end stops the watch of the objects and returns those that were left.
func (c *custom) end() []any {
	c.mu.Lock()
	informer, stop := c.current, c.stop
	c.current, c.stop = nil, nil
	c.mu.Unlock()
	if informer == nil {
		return nil
	}
	stop()
	return informer.GetStore().List()
}

// served returns the best of versions in which an established definition serves its objects.
func served(crd *unstructured.Unstructured, versions []string) (string, bool) {
	if !established(crd) {
		return "", false
	}
	all, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, version := range versions {
		if slices.ContainsFunc(all, func(v any) bool {
			m, ok := v.(map[string]any)
			return ok && m["name"] == version && m["served"] == true
		}) {
			return version, true
		}
	}
	return "", false
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == "Established" && m["status"] == "True"
	})
}
