//go:build lab

package access

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"tidegate.io/tidegate/internal/lab/apply"
)

// checkout is the root of the repository, where readers type.
const checkout = "../.."

// dryRun asks the API server for everything but the writing. Strict: a field that the kind does not have is an error.
const dryRun = "kubectl apply --dry-run=server --validate=strict "

// whole is what components are put on top of: by themselves they are nothing that could be applied.
var whole = []string{"k8s/base/argo-rollouts", "k8s/rollouts/analysis", "k8s/rollouts/blue-green", "k8s/rollouts/canary"}

// beside are manifests that are applied with -f, since no kustomization lists them.
var beside = []string{"k8s/base/argo-rollouts/dashboard.yaml"}

// TestTheAPIServerTakesEveryManifest walks k8s/. Of a component it judges what the component changes.
func TestTheAPIServerTakesEveryManifest(t *testing.T) {
	fleet.ServeEveryKind(t)
	folders, components := kustomizations(t)
	for _, dir := range folders {
		t.Run(dir, func(t *testing.T) {
			makeNamespaces(t, build(t, dir))
			shell(t, dryRun+"-k "+dir)
		})
	}
	plain := map[string]*unstructured.Unstructured{}
	for _, o := range build(t, stack(t, "")) {
		plain[title(o)] = o
	}
	for _, dir := range components {
		t.Run(dir, func(t *testing.T) {
			changed := slices.DeleteFunc(build(t, stack(t, dir)), func(o *unstructured.Unstructured) bool {
				return equality.Semantic.DeepEqual(o, plain[title(o)])
			})
			if len(changed) == 0 {
				t.Fatalf("it changes nothing of %v", whole)
			}
			makeNamespaces(t, changed)
			shell(t, dryRun+"-f "+write(t, changed))
		})
	}
	for _, file := range beside {
		t.Run(file, func(t *testing.T) { shell(t, dryRun+"-f "+file) })
	}
}

func title(o *unstructured.Unstructured) string {
	return o.GroupVersionKind().GroupKind().String() + " " + o.GetNamespace() + "/" + o.GetName()
}

// build is what `kubectl apply -k` would apply.
func build(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(checkout, dir)
	}
	objects, err := apply.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// makeNamespaces makes those that are among the objects: the others live in them.
func makeNamespaces(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			shell(t, "kubectl create namespace "+o.GetName()+" --dry-run=client -o yaml | kubectl apply -f -")
		}
	}
}

// stack writes a kustomization of the whole with a component on top, or without one.
func stack(t *testing.T, component string) string {
	t.Helper()
	dir := t.TempDir()
	relative := func(target string) string {
		root, err := filepath.Abs(filepath.Join(checkout, target))
		if err == nil {
			root, err = filepath.Rel(dir, root) // kustomize takes no absolute folder
		}
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
	for _, target := range whole {
		text += "- " + relative(target) + "\n"
	}
	if component != "" {
		text += "components:\n- " + relative(component) + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	var text strings.Builder
	for _, o := range objects {
		document, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n" + string(document))
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// kustomizations finds every folder that somebody could name after `apply -k`, and every component.
func kustomizations(t *testing.T) (folders, components []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(checkout), "k8s", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "kustomization.yaml" {
			return err
		}
		text, err := fs.ReadFile(os.DirFS(checkout), name)
		if strings.Contains(string(text), "\nkind: Component\n") {
			components = append(components, path.Dir(name))
		} else {
			folders = append(folders, path.Dir(name))
		}
		return err
	})
	if err != nil || len(folders) == 0 {
		t.Fatalf("no kustomization found: %v", err)
	}
	return folders, components
}

// The judge must be able to say no.
func TestTheAPIServerRefusesWhatIsBroken(t *testing.T) {
	for name, b := range map[string]struct{ dir, kind, was, now string }{
		"unknown field":           {"k8s/base/argo-rollouts", "NetworkPolicy", "podSelector:", "podSelektor:"},
		"impossible value":        {"k8s/base/argo-rollouts", "NetworkPolicy", "protocol: TCP", "protocol: HTTP"},
		"unknown field of ours":   {"k8s/rollouts/canary", "Rollout", "revisionHistoryLimit:", "revisionHistoryLimits:"},
		"wrong type":              {"k8s/rollouts/canary", "Rollout", "replicas: 5", "replicas: five"},
		"unknown field of others": {"k8s/components/prometheus-operator", "ServiceMonitor", "honorLabels:", "honourLabels:"},
		"impossible route":        {"k8s/overlays/gateway-api/rollouts", "HTTPRoute", "kind: Service", "kind: 7"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := build(t, b.dir)
			i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == b.kind })
			if i < 0 {
				t.Fatalf("%s has no %s", b.dir, b.kind)
			}
			file := write(t, objects[i:i+1])
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			broken := strings.Replace(string(text), b.was, b.now, 1)
			if broken == string(text) {
				t.Fatalf("%s %s has no %q to break", b.kind, objects[i].GetName(), b.was)
			}
			if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := fleet.Shell(t.Context(), dryRun+"-f "+file); err == nil {
				t.Errorf("it was taken:\n%s", out)
			}
		})
	}
}
