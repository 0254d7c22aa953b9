package mesh

import (
	"context"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Routes of VirtualServices come and go with the definition of their kind, while the mesh runs.
func TestDefinitionComesAndGoes(t *testing.T) {
	r := newRig(t, nil, svc("q2q", "q2q", "v1"), svc("q2q-stable", "q2q", "v1"), svc("q2q-canary", "q2q", "v2"))
	r.runs("q2q", 1, "v1")
	r.run(readyPod("canary", "q2q", "v2", "198.18.2.1"))
	if a := r.get("q2q", "/"); a.body != "v1" {
		t.Fatalf("without VirtualServices: %d %q %s", a.code, a.body, a.reason)
	}
	ctx, crds := context.Background(), r.dyn.Resource(crdResource)
	pending := crd(virtualResource, "VirtualService")
	unstructured.RemoveNestedField(pending.Object, "status")
	if _, err := crds.Create(ctx, pending, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := crds.Update(ctx, crd(virtualResource, "VirtualService"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.awaitWatch("virtualservices")
	_, err := r.dyn.Resource(virtualResource).Namespace("default").Create(ctx, vsvc("q2q", 0, 100), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.until("the route", func(t *table) bool { return t.hosts["q2q"].virtual && t.hosts["q2q"].routable() })
	if a := r.get("q2q", "/"); a.body != "v2" {
		t.Errorf("with a VirtualService: %d %q %s", a.code, a.body, a.reason)
	}
	if err := crds.Delete(ctx, virtualResource.GroupResource().String(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the end of the route", func(t *table) bool { return !t.hosts["q2q"].virtual })
	if a := r.get("q2q", "/"); a.code != http.StatusOK || a.body != "v1" {
		t.Errorf("without them again: %d %q %s", a.code, a.body, a.reason)
	}
}

func TestServedVersion(t *testing.T) {
	old := crd(virtualResource, "VirtualService")
	versions := []any{
		map[string]any{"name": "v1alpha3", "served": true},
		map[string]any{"name": "v1beta1", "served": true},
		map[string]any{"name": "v1", "served": false},
	}
	if err := unstructured.SetNestedSlice(old.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if got, ok := served(old, []string{"v1", "v1beta1", "v1alpha3"}); got != "v1beta1" || !ok {
		t.Errorf("got %q, %v", got, ok)
	}
	if got, ok := served(old, []string{"v1"}); ok {
		t.Errorf("got %q", got)
	}
}
