package region

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// await watches the objects of a kind, those that are there first, until seen says so. A watch that breaks off is
// taken up again. name restricts it to one object; "" is all of them.
func await(ctx context.Context, kind dynamic.ResourceInterface, name string, seen func(*unstructured.Unstructured) bool) error {
	var options metav1.ListOptions
	if name != "" {
		options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	}
	for {
		watcher, err := kind.Watch(ctx, options)
		if err == nil {
			if follow(watcher, seen) {
				return nil
			}
			err = fmt.Errorf("the watch broke off")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

func follow(watcher watch.Interface, seen func(*unstructured.Unstructured) bool) bool {
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		obj, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Error {
			return false
		}
		if event.Type != watch.Deleted && event.Type != watch.Bookmark && seen(obj) {
			return true
		}
	}
	return false
}
