//go:build lab

package access

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rolloutFiles are those that upstream's lint can judge: a Rollout with its Services and routes beside it.
func rolloutFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := filepath.Glob(filepath.Join(checkout, "k8s/rollouts/*/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nkind: Rollout\n") {
			files[name] = string(text)
		}
	}
	if len(files) == 0 {
		t.Fatal("no Rollout found")
	}
	return files
}

func TestUpstreamsLintIsContent(t *testing.T) {
	for file, text := range rolloutFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if !strings.Contains(text, "\nkind: Service\n") {
				t.Error("no Service beside the Rollout: lint has nothing to hold it against")
			}
			if out, err := fleet.Shell(t.Context(), "kubectl argo rollouts lint -f "+file); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// What the overlays make of the Rollouts is linted as a whole, as it would be applied.
func TestUpstreamsLintIsContentWithTheOverlays(t *testing.T) {
	folders, _ := kustomizations(t)
	linted := 0
	for _, dir := range folders {
		if !strings.HasPrefix(dir, "k8s/overlays/") {
			continue
		}
		objects := build(t, dir)
		if !slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Rollout" }) {
			continue
		}
		linted++
		t.Run(dir, func(t *testing.T) { shell(t, "kubectl argo rollouts lint -f "+write(t, objects)) })
	}
	if linted == 0 {
		t.Error("no overlay has a Rollout")
	}
}

// Lint lets much through. What it is trusted with here, it must be seen to find.
func TestUpstreamsLintFindsWhatIsBroken(t *testing.T) {
	for name, b := range map[string]struct{ file, was, now string }{
		"a typo":                  {"canary/teei-q2q-ai", "progressDeadlineSeconds:", "progresDeadlineSeconds:"},
		"more than everything":    {"canary/teei-q2q-ai", "setWeight: 50", "setWeight: 150"},
		"a route that is not":     {"canary/teei-q2q-ai", "routes: [primary]", "routes: [secondary]"},
		"Services of other pods":  {"canary/teei-q2q-ai", "\n  selector: {app: ", "\n  selector: {app: not-"},
		"a Service of other pods": {"blue-green/teei-api-gateway", "\n  selector: {app: ", "\n  selector: {app: not-"},
		"one Service for both":    {"blue-green/teei-api-gateway", "previewService: teei-api-gateway-preview", "previewService: teei-api-gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(checkout, "k8s/rollouts", b.file+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			broken := strings.ReplaceAll(string(text), b.was, b.now)
			if broken == string(text) {
				t.Fatalf("%s has no %q to break", b.file, b.was)
			}
			copied := filepath.Join(t.TempDir(), "broken.yaml")
			if err := os.WriteFile(copied, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := fleet.Shell(t.Context(), "kubectl argo rollouts lint -f "+copied); err == nil {
				t.Errorf("lint is content:\n%s", out)
			}
		})
	}
}
