package region

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/apply"
	"tidegate.io/tidegate/k8s"
)

func title(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

// What is read without kustomize must be what kustomize would make of it.
func TestReadTreeIsWhatKustomizeBuilds(t *testing.T) {
	for _, dir := range []string{
		"base/argo-rollouts", "components/istio-crds", "rollouts/analysis", "rollouts/blue-green", "rollouts/canary",
	} {
		got, err := ReadTree(k8s.FS, dir)
		if err != nil {
			t.Fatal(err)
		}
		want, err := apply.Kustomize(k8s.FS, dir)
		if err != nil {
			t.Fatal(err)
		}
		sorted := cmpopts.SortSlices(func(a, b *unstructured.Unstructured) bool { return title(a) < title(b) })
		if diff := cmp.Diff(want, got, sorted); diff != "" {
			t.Errorf("%s (-kustomize +read):\n%s", dir, diff)
		}
	}
}

func TestReadTreeLeavesToKustomizeWhatItCannotDo(t *testing.T) {
	tree := fstest.MapFS{
		"over/kustomization.yaml": {Data: []byte("resources: [../base]\nnamePrefix: my-\n")},
		"base/kustomization.yaml": {Data: []byte("resources: [a.yaml]\n")},
		"base/a.yaml":             {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")},
	}
	objs, err := ReadTree(fs.FS(tree), "base", "over")
	if err != nil {
		t.Fatal(err)
	}
	if len(objs) != 2 || objs[0].GetName() != "a" || objs[1].GetName() != "my-a" {
		t.Errorf("got %v", objs)
	}
}

// The controller is run as a process, so nothing may run it as a pod as well; all the rest of the installation is there.
func TestBaseLeavesOutTheControllersDeploymentAlone(t *testing.T) {
	base, err := ReadBase(k8s.FS)
	if err != nil {
		t.Fatal(err)
	}
	all, err := apply.Kustomize(k8s.FS, "base/argo-rollouts")
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for _, o := range append(slices.Clone(base.objects), base.late...) {
		has[title(o)] = true
	}
	for _, r := range base.stored {
		has["CustomResourceDefinition /"+strings.TrimPrefix(string(r.Key), crdPrefix)] = true
	}
	for _, o := range all {
		want := o.GetKind() != "Deployment" && o.GetKind() != "PodDisruptionBudget"
		if has[title(o)] != want {
			t.Errorf("%s: in the base: %v, want %v", title(o), has[title(o)], want)
		}
	}
	for _, name := range []string{
		"CustomResourceDefinition /virtualservices.networking.istio.io", "Service monitoring/prometheus-server", "Pod monitoring/prometheus-server",
	} {
		if !has[name] {
			t.Errorf("the base lacks %s", name)
		}
	}
}

func TestSeedWritesEstablishedDefinitions(t *testing.T) {
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "tides.example.io"},
		"spec": map[string]any{
			"group": "example.io", "names": map[string]any{"kind": "Tide", "plural": "tides"},
			"versions": []any{
				map[string]any{"name": "v1", "served": true, "storage": true},
				map[string]any{"name": "v1beta1", "served": true, "storage": false},
			},
		},
	}}
	before := crd.DeepCopy()
	r, err := established(crd, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, crd); diff != "" {
		t.Errorf("the manifest was changed:\n%s", diff)
	}
	var puts []record
	etcd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var put record // decodes base64, as etcd does
		if err := json.NewDecoder(req.Body).Decode(&put); err != nil || req.URL.Path != "/v3/kv/put" {
			http.Error(w, "no such thing", http.StatusBadRequest)
			return
		}
		puts = append(puts, put)
	}))
	defer etcd.Close()
	if err := seed(t.Context(), etcd.URL, []record{r}); err != nil {
		t.Fatal(err)
	}
	if len(puts) != 1 || string(puts[0].Key) != "/registry/apiextensions.k8s.io/customresourcedefinitions/tides.example.io" {
		t.Fatalf("etcd was told %s", puts)
	}
	var stored struct {
		Metadata struct{ UID, CreationTimestamp string }
		Spec     struct{ Names map[string]string }
		Status   struct {
			AcceptedNames  map[string]string
			StoredVersions []string
			Conditions     []struct{ Type, Status string }
		}
	}
	if err := json.Unmarshal(puts[0].Value, &stored); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"kind": "Tide", "plural": "tides", "singular": "tide", "listKind": "TideList"}
	if stored.Metadata.UID == "" || stored.Metadata.CreationTimestamp != "2026-11-24T12:00:00Z" ||
		!cmp.Equal(stored.Spec.Names, names) || !cmp.Equal(stored.Status.AcceptedNames, names) ||
		!cmp.Equal(stored.Status.StoredVersions, []string{"v1"}) ||
		!slices.Contains(stored.Status.Conditions, struct{ Type, Status string }{"Established", "True"}) {
		t.Errorf("stored %s", puts[0].Value)
	}
}

func TestSeedSaysWhatEtcdSaid(t *testing.T) {
	etcd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "mvcc: database space exceeded", http.StatusInternalServerError)
	}))
	defer etcd.Close()
	err := seed(t.Context(), etcd.URL, []record{{Key: []byte("k")}})
	if err == nil || !strings.Contains(err.Error(), "write k to etcd: 500") || !strings.Contains(err.Error(), "space exceeded") {
		t.Errorf("error %v", err)
	}
}
