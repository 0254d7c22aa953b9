//go:build lab

package gates

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"tidegate.io/tidegate/test/rig"
)

var runsGVR = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "analysisruns"}

// verdictWithin is the most that all runs together may take. The slowest are those whose Prometheus is down: five errors,
// and the controller waits ten seconds after each.
const verdictWithin = 4 * time.Minute

// templates are the analysis templates as they stand in k8s/rollouts/analysis, at the lab's speed.
func templates(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	objs, err := fleet.Lab.Manifests("../../k8s/rollouts/analysis", "")
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*unstructured.Unstructured{}
	for _, o := range objs {
		byName[o.GetName()] = o
	}
	return byName
}

// metricsOf are a template's metrics by name.
func metricsOf(template *unstructured.Unstructured) map[string]map[string]any {
	list, _, _ := unstructured.NestedSlice(template.Object, "spec", "metrics")
	byName := map[string]map[string]any{}
	for _, item := range list {
		metric, _ := item.(map[string]any)
		name, _ := metric["name"].(string)
		byName[name] = metric
	}
	return byName
}

// analysisRun is what a Rollout would make of a template with these arguments, with one metric alone: when one fails,
// Argo calls its siblings Successful.
func analysisRun(name, suite string, template *unstructured.Unstructured, metric map[string]any, args map[string]string) *unstructured.Unstructured {
	values := map[string]string{}
	list, _, _ := unstructured.NestedSlice(template.Object, "spec", "args")
	for _, item := range list {
		arg, _ := item.(map[string]any)
		key, _ := arg["name"].(string)
		values[key], _ = arg["value"].(string)
	}
	maps.Copy(values, args)
	var given []any
	for key, value := range values {
		given = append(given, map[string]any{"name": key, "value": value})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisRun",
		"metadata": map[string]any{"name": name, "labels": map[string]any{"suite": suite}},
		"spec":     map[string]any{"args": given, "metrics": []any{metric}},
	}}
}

// verdict is how a run ended.
type verdict struct{ phase, why string }

// enter puts the verdict on a case into a table, and fails the test if it is not the one wanted.
func (v verdict) enter(t *testing.T, table *strings.Builder, what, want string) {
	t.Helper()
	if v.phase != want {
		t.Errorf("%s: %s, want %s\n%s", what, v.phase, want, v.why)
	}
	fmt.Fprintf(table, " %s |", v.phase)
}

// judge creates the runs, waits until the controller has judged each, deletes them, and returns the verdicts by name.
func judge(t *testing.T, suite string, runs []*unstructured.Unstructured) map[string]verdict {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), verdictWithin, errors.New("no verdict within "+verdictWithin.String()))
	defer cancel()
	client := fleet.Clients[region].Resource(runsGVR).Namespace(namespace)
	for _, run := range runs {
		if _, err := client.Create(ctx, run, metav1.CreateOptions{}); err != nil {
			t.Fatalf("create run %s: %v", run.GetName(), err)
		}
	}
	t.Cleanup(func() {
		err := client.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "suite=" + suite})
		if err != nil {
			t.Error(err)
		}
	})
	verdicts := map[string]verdict{}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = "suite=" + suite
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = "suite=" + suite
			return client.Watch(ctx, o)
		},
	}
	_, err := watchtools.UntilWithSync(ctx, source, &unstructured.Unstructured{}, nil, func(e watch.Event) (bool, error) {
		run, ok := e.Object.(*unstructured.Unstructured)
		if phase := rig.Str(run, "status", "phase"); ok && phase != "" && phase != "Pending" && phase != "Running" {
			verdicts[run.GetName()] = verdict{phase, reason(run)}
		}
		return len(verdicts) == len(runs), nil
	})
	if err != nil {
		t.Fatalf("%d of %d runs were judged: %v (%v)", len(verdicts), len(runs), err, context.Cause(ctx))
	}
	return verdicts
}

// reason is what a run says of its verdict, and what it measured last.
func reason(run *unstructured.Unstructured) string {
	results, _, _ := unstructured.NestedSlice(run.Object, "status", "metricResults")
	text := rig.Str(run, "status", "message")
	for _, item := range results {
		result, _ := item.(map[string]any)
		measurements, _ := result["measurements"].([]any)
		for _, m := range measurements {
			measurement, _ := m.(map[string]any)
			text += fmt.Sprintf("; %v %v %v", measurement["phase"], measurement["value"], measurement["message"])
		}
	}
	return text
}
