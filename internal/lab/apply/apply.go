package apply

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Manager is the field manager that Apply owns fields as.
const Manager = "tidegate-lab"

const (
	qps, burst = 200, 400 // client-go's own 5 and 10 would make a hundred objects take twenty seconds
	width      = 8        // requests in flight: past this, a small API server only queues them
)

// Apply applies objects server-side and takes over every field that they set. CustomResourceDefinitions go first
// and must be established, then Namespaces, then all the rest at once. An object of a namespaced kind that names
// no namespace goes to "default". objs are not changed.
//
// It retries what a young API server answers while it settles: too many requests, conflicts, kinds that it does
// not know yet. All objects of a stage are tried; the error joins one for each that failed, with kind, namespace
// and name, and a failed stage is the last.
func Apply(ctx context.Context, cfg *rest.Config, objs []*unstructured.Unstructured) error {
	a, err := newApplier(cfg)
	if err != nil {
		return err
	}
	var definitions, namespaces, others []*unstructured.Unstructured
	for _, obj := range objs {
		switch gvk := obj.GroupVersionKind(); {
		case gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition":
			definitions = append(definitions, obj)
		case gvk.Group == "" && gvk.Kind == "Namespace":
			namespaces = append(namespaces, obj)
		default:
			others = append(others, obj)
		}
	}
	if err := each(ctx, definitions, a.define); err != nil {
		return err
	}
	if err := each(ctx, namespaces, a.apply); err != nil {
		return err
	}
	return each(ctx, others, a.apply)
}

// each runs do for all objects, some at a time, and joins the errors in the objects' order.
func each(ctx context.Context, objs []*unstructured.Unstructured, do func(context.Context, *unstructured.Unstructured) error) error {
	errs := make([]error, len(objs))
	var group errgroup.Group
	group.SetLimit(width)
	for i, obj := range objs {
		group.Go(func() error {
			if err := do(ctx, obj); err != nil {
				errs[i] = fmt.Errorf("apply %s: %w", title(obj), err)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs, every one of them
	return errors.Join(errs...)
}

// title names an object in errors as "Kind namespace/name".
func title(obj *unstructured.Unstructured) string {
	if ns := obj.GetNamespace(); ns != "" {
		return fmt.Sprintf("%s %s/%s", obj.GetKind(), ns, obj.GetName())
	}
	return fmt.Sprintf("%s %s", obj.GetKind(), obj.GetName())
}

type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newApplier(cfg *rest.Config) (*applier, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = qps, burst
	if cfg.WarningHandler == nil && cfg.WarningHandlerWithContext == nil {
		cfg.WarningHandler = rest.NoWarnings{} // else client-go writes to the terminal whatever the server dislikes
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", cfg.Host, err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("discovery client for %s: %w", cfg.Host, err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return &applier{client: client, mapper: mapper}, nil
}

// apply applies one object, wherever its kind lives.
func (a *applier) apply(ctx context.Context, obj *unstructured.Unstructured) error {
	return persist(ctx, func(ctx context.Context) error {
		gvk := obj.GroupVersionKind()
		mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			if meta.IsNoMatchError(err) {
				a.mapper.Reset() // what was discovered may be older than the CRD
			}
			return err
		}
		resource := dynamic.ResourceInterface(a.client.Resource(mapping.Resource))
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			namespace := obj.GetNamespace()
			if namespace == "" {
				namespace = metav1.NamespaceDefault
			}
			resource = a.client.Resource(mapping.Resource).Namespace(namespace)
		}
		_, err = resource.Apply(ctx, obj.GetName(), obj, options())
		return err
	})
}

func options() metav1.ApplyOptions {
	return metav1.ApplyOptions{FieldManager: Manager, Force: true}
}
