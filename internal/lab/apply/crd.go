package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// establishing is how long a CRD may take: milliseconds on an idle machine, seconds where several API servers start
// on two cores. Past this its names are taken or the server is stuck.
const establishing = time.Minute

// define applies a CRD and waits until the server has established it.
func (a *applier) define(ctx context.Context, crd *unstructured.Unstructured) error {
	resource := a.client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: crd.GroupVersionKind().Version, Resource: "customresourcedefinitions",
	})
	var applied *unstructured.Unstructured
	err := persist(ctx, func(ctx context.Context) error {
		var err error
		applied, err = resource.Apply(ctx, crd.GetName(), crd, options())
		return err
	})
	if err != nil {
		return err
	}
	state := conditions(applied)
	if state.established {
		return nil
	}

	ctx, cancel := context.WithTimeoutCause(ctx, establishing, fmt.Errorf("waited %s", establishing))
	defer cancel()
	watcher := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, crd.GetName()).String()
		return resource.Watch(ctx, o)
	}}
	_, err = watchtools.Until(ctx, applied.GetResourceVersion(), watcher, func(event watch.Event) (bool, error) {
		obj, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Error {
			return false, fmt.Errorf("watch: %v", event.Object)
		}
		if event.Type == watch.Deleted {
			return false, errors.New("deleted by someone else")
		}
		state = conditions(obj)
		return state.established, nil
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("not established%s: %w", state.reason, err)
	}
	return nil
}

// crdState is what a CRD's conditions say.
type crdState struct {
	established bool
	reason      string // why not, when the server says so
}

func conditions(crd *unstructured.Unstructured) crdState {
	var state crdState
	list, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, item := range list {
		condition, _ := item.(map[string]any)
		switch {
		case condition["type"] == "Established" && condition["status"] == "True":
			state.established = true
		case condition["type"] == "NamesAccepted" && condition["status"] == "False":
			state.reason = fmt.Sprintf(" (%v)", condition["message"])
		}
	}
	return state
}
