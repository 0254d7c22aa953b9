//go:build lab

package gates

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/test/rig"
)

const port = "3000"

// jobRow is a gate that asks the service itself, and two versions of the service: one that it must bear, one that it must not.
type jobRow struct {
	template, metric, fault string
	inside, outside         image.Behaviour
}

func jobRows() []jobRow {
	return []jobRow{
		{"smoke-test-analysis", "smoke-test", "answers with errors", image.Behaviour{Latency: 20}, image.Behaviour{Errors: 1}},
		{"smoke-test-analysis", "smoke-test", "answers too late (2 s)", image.Behaviour{Latency: 60}, image.Behaviour{Latency: 3000}},
		{"genai-smoke-analysis", "genai-smoke", "answers without a choice", image.Behaviour{}, image.Behaviour{Garbled: true}},
		{"genai-smoke-analysis", "genai-smoke", "first token too late (2 s)", image.Behaviour{Latency: 100}, image.Behaviour{Latency: 3000}},
		{"genai-smoke-analysis", "genai-smoke", "too many tokens (512)", image.Behaviour{Tokens: 4}, image.Behaviour{Tokens: 9}},
		{"visual-regression-analysis", "visual-regression", "a button has moved", image.Behaviour{}, image.Behaviour{Page: "moved"}},
		{"visual-regression-analysis", "visual-regression", "a colour has changed", image.Behaviour{Latency: 20}, image.Behaviour{Page: "recoloured"}},
	}
}

// jobCell is a column of the table of Jobs.
type jobCell struct {
	title, want string
	does        func(jobRow) image.Behaviour
	nobody      bool // the Service leads to no pod
}

func jobCells() []jobCell {
	return []jobCell{
		{title: "healthy", want: "Successful", does: func(jobRow) image.Behaviour { return image.Behaviour{} }},
		{title: "bearable", want: "Successful", does: func(r jobRow) image.Behaviour { return r.inside }},
		{title: "faulty", want: "Failed", does: func(r jobRow) image.Behaviour { return r.outside }},
		{title: "nobody answers", want: "Failed", does: func(jobRow) image.Behaviour { return image.Behaviour{} }, nobody: true},
	}
}

// TestEachJobBites is the table of the gates that run as Jobs, in the lab as processes: of Chromium, too.
func TestEachJobBites(t *testing.T) {
	rig.NeedBrowser(t)
	all := templates(t)
	serve(t, "active", image.Behaviour{}, false)
	var runs []*unstructured.Unstructured
	for i, r := range jobRows() {
		for j, c := range jobCells() {
			serve(t, name(i, j), c.does(r), c.nobody)
			runs = append(runs, r.run(t, name(i, j), all))
		}
	}
	verdicts := judge(t, "jobs", runs)
	var table strings.Builder
	table.WriteString("| metric | fault |")
	for _, c := range jobCells() {
		fmt.Fprintf(&table, " %s |", c.title)
	}
	table.WriteString("\n|---|---|" + strings.Repeat("---|", len(jobCells())) + "\n")
	for i, r := range jobRows() {
		fmt.Fprintf(&table, "| `%s` | %s |", r.metric, r.fault)
		for j, c := range jobCells() {
			verdicts["jobs-"+name(i, j)].enter(t, &table, fmt.Sprintf("%s (%s), %s", r.metric, r.fault, c.title), c.want)
		}
		table.WriteString("\n")
	}
	t.Logf("\n%s", table.String())
	inDocs(t, "jobs", table.String())
}

func (r jobRow) run(t *testing.T, service string, all map[string]*unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	template := all[r.template]
	if template == nil {
		t.Fatalf("no template %s in k8s/rollouts/analysis", r.template)
	}
	metric := metricsOf(template)[r.metric]
	if metric == nil {
		t.Fatalf("template %s has no metric %s", r.template, r.metric)
	}
	return analysisRun("jobs-"+service, "jobs", template, metric, map[string]string{
		"namespace": namespace, "port": port, "service": service, "preview-service": service, "active-service": "active",
	})
}

// serve puts a version behind a Service of its own, and waits until it is ready.
func serve(t *testing.T, name string, does image.Behaviour, nobody bool) {
	t.Helper()
	img := "ghcr.io/henrigkroine/case:" + name
	fleet.Behave(t, img, does)
	labels := map[string]any{"case": name}
	create(t, rig.ServicesGVR, map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"selector": labels, "ports": []any{map[string]any{"name": "http", "port": int64(3000), "targetPort": "http"}}},
	})
	if nobody {
		return
	}
	probe := map[string]any{"httpGet": map[string]any{"path": "/readyz", "port": "http"}, "periodSeconds": int64(1)}
	create(t, rig.PodsGVR, map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "labels": maps.Clone(labels)},
		"spec": map[string]any{"containers": []any{map[string]any{
			"name": "case", "image": img, "readinessProbe": probe,
			"ports": []any{map[string]any{"name": "http", "containerPort": int64(3000)}},
		}}},
	})
	err := fleet.Follow(t.Context(), region, rig.PodsGVR, name, time.Minute, func(pod *unstructured.Unstructured) bool {
		conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
		return strings.Contains(fmt.Sprint(conditions), "status:True type:Ready")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// create makes an object that goes with the test.
func create(t *testing.T, gvr schema.GroupVersionResource, object map[string]any) {
	t.Helper()
	client := fleet.Clients[region].Resource(gvr).Namespace(namespace)
	made, err := client.Create(t.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)} // the next test may use the name
		if err := client.Delete(context.Background(), made.GetName(), now); err != nil {
			t.Error(err)
		}
	})
}
