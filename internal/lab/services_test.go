package lab

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"tidegate.io/tidegate/k8s"
)

// shop is a tree laid out as k8s/: three services in two kustomizations.
func shop() fstest.MapFS {
	tree := fstest.MapFS{}
	put := func(folder string, documents ...string) {
		tree[folder+"/kustomization.yaml"] = &fstest.MapFile{
			Data: []byte("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [all.yaml]\n")}
		tree[folder+"/all.yaml"] = &fstest.MapFile{Data: []byte(strings.Join(documents, "\n---\n"))}
	}
	object := func(kind, name, labels string) string {
		return "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + ", labels: {" + labels + "}}"
	}
	put("rollouts/analysis", object("AnalysisTemplate", "success", ""), object("AnalysisTemplate", "latency", "app: checkout"))
	put("rollouts/blue-green",
		object("Rollout", "checkout", "app: checkout"), object("Service", "checkout", "app: checkout"),
		object("Rollout", "search", "part-of: shop"), object("Service", "search-preview", "app: search"),
		object("ConfigMap", "shared", "app: shop"))
	// A label is about its own kustomization: there is no Rollout search in this one.
	put("rollouts/canary",
		object("Rollout", "advice", "app: advice"), object("VirtualService", "advice-vsvc", "app: advice"),
		object("Service", "found", "app: search"))
	return tree
}

func TestWorkloads(t *testing.T) {
	templates := []string{"AnalysisTemplate success", "AnalysisTemplate latency"}
	for name, tc := range map[string]struct {
		services, want []string
	}{
		"all": {nil, []string{"Rollout checkout", "Service checkout", "Rollout search", "Service search-preview",
			"ConfigMap shared", "Rollout advice", "VirtualService advice-vsvc", "Service found"}},
		"one": {[]string{"search"}, []string{"Rollout search", "Service search-preview", "ConfigMap shared", "Service found"}},
		"one of each": {[]string{"advice", "checkout"}, []string{"Rollout checkout", "Service checkout", "ConfigMap shared",
			"Rollout advice", "VirtualService advice-vsvc", "Service found"}},
	} {
		t.Run(name, func(t *testing.T) {
			objs, err := workloadsIn(shop(), tc.services)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, obj := range objs {
				got = append(got, obj.GetKind()+" "+obj.GetName())
			}
			if diff := cmp.Diff(append(slices.Clone(templates), tc.want...), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestServices(t *testing.T) {
	got, err := servicesIn(shop())
	if diff := cmp.Diff([]string{"advice", "checkout", "search"}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	known, err := Services()
	if err != nil || !slices.IsSorted(known) {
		t.Fatalf("Services = %v, %v", known, err)
	}
	if o, err := (Options{Services: known, Dir: t.TempDir()}).Complete(); err != nil || !slices.Equal(o.Services, known) {
		t.Errorf("what Services names is refused: %v, %v", o.Services, err)
	}
}

// TestEveryServiceCanRunAlone: of this repository's own manifests, each Rollout can be chosen, and comes with no other
// and with the Services that carry its label.
func TestEveryServiceCanRunAlone(t *testing.T) {
	known, err := Services()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range known {
		objs, err := workloadsIn(k8s.FS, []string{name})
		if err != nil {
			t.Fatal(err)
		}
		if got := rolloutsOf(objs); !slices.Equal(got, []string{name}) {
			t.Errorf("--services %s runs %v", name, got)
		}
		kinds := map[string]int{}
		for _, obj := range objs {
			kinds[obj.GetKind()]++
			if app := obj.GetLabels()["app"]; app != name && slices.Contains(known, app) {
				t.Errorf("--services %s brings %s %s of %s", name, obj.GetKind(), obj.GetName(), app)
			}
		}
		if kinds["Service"] == 0 || kinds["AnalysisTemplate"] == 0 {
			t.Errorf("--services %s brings %v: want Services and templates", name, kinds)
		}
	}
}
