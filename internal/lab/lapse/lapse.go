// Package lapse is the lab's time lapse. It divides every pause, interval, delay and PromQL range of a set of
// manifests by the same number, so that a canary of half an hour can be watched in a minute and still takes the same
// decisions on the same share of its time.
//
// Deadlines and time-outs (progressDeadlineSeconds, a probe's timeoutSeconds, terminationGracePeriodSeconds, …) stay
// as they are: they say when to give up, and what they wait for is not faster in a lapse. So do durations that
// PromQL uses as plain numbers (`increase(x[5m]) / 5m`), and everything that asks another source than Prometheus.
package lapse

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// MinRange is the shortest PromQL range that Shorten makes: Prometheus scrapes each second, and rate() over
	// fewer than a few points is noise or nothing. A range that was shorter to begin with stays as it is.
	MinRange = 4 * time.Second

	// MinStep is the finest subquery step that Shorten makes: one scrape.
	MinStep = time.Second
)

// Shorten divides the durations of Rollouts, AnalysisTemplates, ClusterAnalysisTemplates, AnalysisRuns, Experiments
// and HorizontalPodAutoscalers by n, in place; other objects are not touched. Fields that count whole seconds are
// rounded up, so that no pause vanishes; PromQL ranges stop at MinRange.
//
// Where an argument of an analysis stands for a duration, its values are divided instead: the template's own and
// those that objects of the same list pass to it. n = 1 leaves everything untouched; n < 1 is an error. On an
// error, which names object, metric and position, nothing has been changed.
func Shorten(objs []*unstructured.Unstructured, n int) error {
	if n < 1 {
		return fmt.Errorf("speed %d: must be 1 or more", n)
	}
	if n == 1 {
		return nil
	}
	l := &lapse{n: int64(n), templates: map[ref]*template{}}
	shortened := make([]*unstructured.Unstructured, len(objs))
	for i, obj := range objs {
		shortened[i] = obj.DeepCopy()
		if err := l.object(shortened[i]); err != nil {
			return fmt.Errorf("%s: %w", title(obj), err)
		}
	}
	if err := l.arguments(); err != nil {
		return err
	}
	for i, obj := range objs {
		obj.Object = shortened[i].Object
	}
	return nil
}

// lapse is one run of Shorten. Arguments are dealt with last, for only the whole list tells what they stand for.
type lapse struct {
	n         int64
	templates map[ref]*template
	calls     []call
	args      []*argument
}

func (l *lapse) object(obj *unstructured.Unstructured) error {
	spec := child(obj.Object, "spec")
	gvk := obj.GroupVersionKind()
	switch gvk.Group + "/" + gvk.Kind {
	case "argoproj.io/Rollout":
		return l.rollout(obj, spec)
	case "argoproj.io/Experiment":
		return l.experiment(obj, spec)
	case "argoproj.io/AnalysisTemplate", "argoproj.io/ClusterAnalysisTemplate", "argoproj.io/AnalysisRun":
		return l.template(obj, spec)
	case "autoscaling/HorizontalPodAutoscaler":
		l.autoscaler(spec)
	}
	return nil
}

// title names an object in errors as "Kind namespace/name".
func title(obj *unstructured.Unstructured) string {
	if ns := obj.GetNamespace(); ns != "" {
		return fmt.Sprintf("%s %s/%s", obj.GetKind(), ns, obj.GetName())
	}
	return fmt.Sprintf("%s %s", obj.GetKind(), obj.GetName())
}

// child follows keys into nested maps; nil where there is none, which reads like an empty map.
func child(m map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		m, _ = m[key].(map[string]any)
	}
	return m
}

// items are the maps in the list at key.
func items(m map[string]any, key string) []map[string]any {
	list, _ := m[key].([]any)
	maps := make([]map[string]any, 0, len(list))
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			maps = append(maps, m)
		}
	}
	return maps
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}
