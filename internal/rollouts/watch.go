package rollouts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"tidegate.io/tidegate/internal/release"
)

// ErrUnread says that the region has had no time to answer.
var ErrUnread = errors.New(release.Unread)

const (
	pulseEvery   = 5 * time.Second // a frozen API server closes no watch: only asking shows it
	pulseTimeout = 3 * time.Second
)

// Watcher keeps the objects of a snapshot current by watching them. A region that stops answering turns its snapshots
// into errors; what was known of it is not passed off as what is.
type Watcher struct {
	region    *Region
	informers []cache.SharedInformer
	changed   chan struct{}
	running   sync.WaitGroup

	mu       sync.Mutex
	failures map[string]failing // by source
}

// failing is what a source last failed with, and since when it has.
type failing struct {
	err   error
	since time.Time
}

// Watch starts watching until ctx ends.
func (r *Region) Watch(ctx context.Context) *Watcher {
	w := &Watcher{region: r, changed: make(chan struct{}, 1), failures: map[string]failing{}}
	for _, gvr := range kinds {
		informer := cache.NewSharedInformer(w.source(ctx, gvr), &unstructured.Unstructured{}, 0)
		// Neither call fails on an informer that has not started.
		_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { w.signal() },
			UpdateFunc: func(_, _ any) { w.signal() },
			DeleteFunc: func(any) { w.signal() },
		})
		w.informers = append(w.informers, informer)
		w.running.Go(func() {
			informer.RunWithContext(ctx)
		})
		w.running.Go(func() {
			if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				w.signal() // an empty list makes no event
			}
		})
	}
	w.running.Go(func() { w.pulse(ctx) })
	return w
}

// Changed is signalled when a new snapshot may differ from the last. Signals that nobody takes are merged into one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Wait returns once everything that Watch started has ended.
func (w *Watcher) Wait() { w.running.Wait() }

func (w *Watcher) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Snapshot is what the watches know now. It makes no request.
func (w *Watcher) Snapshot() (*Snapshot, error) {
	if err := w.failure(); err != nil {
		return nil, err
	}
	lists := make([][]*unstructured.Unstructured, len(w.informers))
	for i, informer := range w.informers {
		if !informer.HasSynced() {
			return nil, ErrUnread
		}
		for _, object := range informer.GetStore().List() {
			if u, ok := object.(*unstructured.Unstructured); ok {
				lists[i] = append(lists[i], u)
			}
		}
	}
	return w.region.assemble(lists)
}

func (w *Watcher) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.failures {
		if errors.Is(f.err, ErrDenied) && time.Since(f.since) >= DeniedFor {
			return fmt.Errorf("%w: %w", ErrRefused, f.err)
		}
		if f.err != nil {
			return f.err
		}
	}
	return nil
}

// report records the outcome of asking source, and signals where it changed.
func (w *Watcher) report(source string, err error) {
	w.mu.Lock()
	before := w.failures[source]
	// A denial after an outage is news, and has lasted for no time yet.
	changed := (before.err == nil) != (err == nil) || errors.Is(before.err, ErrDenied) != errors.Is(err, ErrDenied)
	since := before.since
	if changed {
		since = time.Now()
	}
	w.failures[source] = failing{err: err, since: since}
	w.mu.Unlock()
	if changed {
		w.signal()
	}
	if changed && errors.Is(err, ErrDenied) {
		time.AfterFunc(DeniedFor, w.signal)
	}
}

// source lists and watches one resource, and reports each failure and each recovery.
func (w *Watcher) source(ctx context.Context, gvr schema.GroupVersionResource) *cache.ListWatch {
	client := w.region.client.Resource(gvr).Namespace(w.region.namespace)
	selection := w.region.selection(gvr)
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		o.FieldSelector, o.LabelSelector = selection.FieldSelector, selection.LabelSelector
		return o
	}
	settle := func(err error) {
		switch {
		case ctx.Err() != nil:
		case err == nil || absent(gvr, err):
			w.report(gvr.Resource, nil)
		default:
			w.report(gvr.Resource, w.region.readError(gvr, err))
		}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, narrow(o))
			settle(err)
			if absent(gvr, err) {
				return &unstructured.UnstructuredList{}, nil
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			events, err := client.Watch(ctx, narrow(o))
			settle(err)
			return events, err
		},
	}
}

// pulse asks the API server for the rollout now and then, for a server that has frozen says nothing of it.
func (w *Watcher) pulse(ctx context.Context) {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			asked, cancel := context.WithTimeoutCause(ctx, pulseTimeout, fmt.Errorf("no answer within %s", pulseTimeout))
			_, err := w.region.client.Resource(rolloutsGVR).Namespace(w.region.namespace).Get(asked, w.region.rollout, metav1.GetOptions{})
			if err != nil && asked.Err() != nil {
				err = context.Cause(asked)
			}
			cancel()
			if ctx.Err() == nil {
				if err != nil {
					err = w.region.readError(rolloutsGVR, err)
				}
				w.report("pulse", err)
			}
		}
	}
}
