package k8s_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"tidegate.io/tidegate/k8s"
)

// object is one manifest: its YAML, and what every kind has.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	text              []byte
}

// build is `kubectl kustomize k8s/<dir>`.
func build(t *testing.T, dir string) []object {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // the order is the kustomization's own, or that of kubectl
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return split(t, text)
}

func readFile(t *testing.T, name string) []object {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return split(t, text)
}

func split(t *testing.T, text []byte) []object {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var objects []object
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		o := object{text: document}
		if err := yaml.Unmarshal(document, &o); err != nil {
			t.Fatal(err)
		}
		if o.Kind != "" { // a comment alone
			objects = append(objects, o)
		}
	}
}

// all decodes every object of T's kind, strictly: a field that T does not have is an error.
func all[T any](t *testing.T, objects []object, kind string) map[string]T {
	t.Helper()
	found := map[string]T{}
	for _, o := range objects {
		if o.Kind != kind {
			continue
		}
		var into T
		if err := yaml.UnmarshalStrict(o.text, &into); err != nil {
			t.Errorf("%s %s: %v", kind, o.Name, err)
		}
		found[o.Name] = into
	}
	return found
}

func kustomizations(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, err error) error {
		if path.Base(name) == "kustomization.yaml" {
			dirs = append(dirs, path.Dir(name))
		}
		return err
	})
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no kustomization found: %v", err)
	}
	return dirs
}

func TestEveryKustomizationBuildsAndDecodesStrictly(t *testing.T) {
	for _, dir := range kustomizations(t) {
		t.Run(dir, func(t *testing.T) { decodeStrictly(t, build(t, dir)) })
	}
	t.Run("dashboard", func(t *testing.T) { decodeStrictly(t, readFile(t, "base/argo-rollouts/dashboard.yaml")) })
}

func decodeStrictly(t *testing.T, objects []object) {
	t.Helper()
	for _, o := range objects {
		var into any
		switch o.GroupVersionKind().GroupKind().String() {
		case "Rollout.argoproj.io":
			into = new(rollouts.Rollout)
		case "AnalysisTemplate.argoproj.io":
			into = new(rollouts.AnalysisTemplate)
		case "Deployment.apps":
			into = new(appsv1.Deployment)
		case "Service":
			into = new(corev1.Service)
		case "ConfigMap":
			into = new(corev1.ConfigMap)
		case "Namespace":
			into = new(corev1.Namespace)
		case "ServiceAccount":
			into = new(corev1.ServiceAccount)
		case "PodDisruptionBudget.policy":
			into = new(policyv1.PodDisruptionBudget)
		case "Role.rbac.authorization.k8s.io":
			into = new(rbacv1.Role)
		case "ClusterRole.rbac.authorization.k8s.io":
			into = new(rbacv1.ClusterRole)
		case "RoleBinding.rbac.authorization.k8s.io":
			into = new(rbacv1.RoleBinding)
		case "ClusterRoleBinding.rbac.authorization.k8s.io":
			into = new(rbacv1.ClusterRoleBinding)
		case "NetworkPolicy.networking.k8s.io":
			into = new(networkingv1.NetworkPolicy)
		case "HorizontalPodAutoscaler.autoscaling":
			into = new(autoscalingv2.HorizontalPodAutoscaler)
		case "ResourceQuota":
			into = new(corev1.ResourceQuota)
		case "VirtualService.networking.istio.io":
			into = new(virtualService)
		case "HTTPRoute.gateway.networking.k8s.io":
			into = new(httpRoute)
		case "ServiceMonitor.monitoring.coreos.com", "CustomResourceDefinition.apiextensions.k8s.io":
			continue // no Go type at hand; CRDs are compared with their source by internal/crdgen
		default:
			t.Errorf("%s %s: add its type to this test", o.GroupVersionKind(), o.Name)
			continue
		}
		if err := yaml.UnmarshalStrict(o.text, into); err != nil {
			t.Errorf("%s %s: %v", o.Kind, o.Name, err)
		}
	}
}

// virtualService is as much of Istio's type as a weighted route needs.
type virtualService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Hosts []string `json:"hosts"`
		HTTP  []struct {
			Name  string `json:"name"`
			Route []struct {
				Destination struct {
					Host string `json:"host"`
				} `json:"destination"`
				Weight int `json:"weight"`
			} `json:"route"`
		} `json:"http"`
	} `json:"spec"`
}

// Embedding leaves files out in silence whose names begin with a dot or an underscore.
// TestWhatARolloutRefersToComesFirst: kubectl applies in this order, and the controller calls a Rollout invalid as long as what
// it refers to is not there.
func TestWhatARolloutRefersToComesFirst(t *testing.T) {
	for _, dir := range kustomizations(t) {
		rollout := ""
		for _, o := range build(t, dir) {
			switch o.Kind {
			case "Rollout":
				rollout = o.Name
			case "Service", "VirtualService", "HTTPRoute", "AnalysisTemplate":
				if rollout != "" {
					t.Errorf("%s: %s %s comes after Rollout %s", dir, o.Kind, o.Name, rollout)
				}
			}
		}
	}
}

func TestBinaryCarriesTheWholeTree(t *testing.T) {
	disk := files(t, os.DirFS("."))
	disk = slices.DeleteFunc(disk, func(name string) bool { return !strings.Contains(name, "/") })
	if diff := cmp.Diff(disk, files(t, k8s.FS)); diff != "" {
		t.Errorf("embedded files (-disk +embedded):\n%s", diff)
	}
}

func files(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
