package k8s_test

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"tidegate.io/tidegate/k8s"
)

// The components that give the templates other names of metrics and labels, and the arguments that they change.
func otherNames() map[string]map[string]string {
	return map[string]map[string]string{
		"otel": {
			"requests-metric": "http_server_request_duration_seconds_count", "status-label": "http_response_status_code",
			"duration-metric": "http_server_request_duration_seconds",
			"tokens-metric":   "gen_ai_client_token_usage_sum", "genai-requests-metric": "http_server_request_duration_seconds_count",
		},
		"istio-metrics": {
			"requests-metric": "istio_requests_total", "status-label": "response_code",
			"duration-metric": "istio_request_duration_milliseconds", "duration-unit-seconds": "0.001",
			"genai-requests-metric": "istio_requests_total", "request-matcher": `reporter="destination"`,
		},
	}
}

// tree is this folder in memory, with a kustomization in user/ that puts a component on top of the templates.
func tree(t *testing.T, component string) filesys.FileSystem {
	t.Helper()
	memory := filesys.MakeFsInMemory()
	err := fs.WalkDir(k8s.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(k8s.FS, name)
		if err != nil {
			return err
		}
		return memory.WriteFile("/k8s/"+name, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	user := "resources: [../k8s/rollouts/analysis]\ncomponents: [../k8s/components/" + component + "]\n"
	if err := memory.WriteFile("/user/kustomization.yaml", []byte(user)); err != nil {
		t.Fatal(err)
	}
	return memory
}

func renamed(t *testing.T, component string) map[string]rollouts.AnalysisTemplate {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree(t, component), "/user")
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return all[rollouts.AnalysisTemplate](t, split(t, text), "AnalysisTemplate")
}

// A component changes an argument wherever it is, or templates do not merge any more; and nothing else.
func TestOtherNamesReachEveryTemplate(t *testing.T) {
	for component, want := range otherNames() {
		t.Run(component, func(t *testing.T) {
			before, after := templates(t), renamed(t, component)
			if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))); diff != "" {
				t.Fatalf("templates (-before +after):\n%s", diff)
			}
			for name, template := range before {
				for i := range template.Spec.Args {
					if text, ok := want[template.Spec.Args[i].Name]; ok {
						template.Spec.Args[i].Value = &text
					}
				}
				if diff := cmp.Diff(template, after[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
			defaults(t, slices.Collect(maps.Values(after)))
		})
	}
}

// The queries still parse, and the names arrive in them.
func TestOtherNamesReachTheQueries(t *testing.T) {
	for component, names := range otherNames() {
		t.Run(component, func(t *testing.T) {
			found := map[string]bool{}
			for _, template := range renamed(t, component) {
				values := defaults(t, []rollouts.AnalysisTemplate{template})
				maps.Copy(values, alone())
				for _, m := range template.Spec.Metrics {
					if m.Provider.Job != nil {
						continue
					}
					query := parse(t, resolve(t, values, m))
					if !single(query) {
						t.Errorf("%s may have several series", m.Name)
					}
					if unit, ok := names["duration-unit-seconds"]; ok && strings.HasPrefix(m.Name, "latency-") &&
						!strings.Contains(query.String(), "* "+unit) {
						t.Errorf("%s is not brought to seconds: %s", m.Name, query)
					}
					for _, v := range selectors(query) {
						found[v.Name] = true
						if strings.HasPrefix(v.Name, "istio_") != is(v, labels.MatchEqual, "reporter", "destination") {
							t.Errorf("%s selects %s", m.Name, v)
						}
					}
				}
			}
			for arg, name := range names {
				if arg == "duration-metric" {
					name += "_bucket"
				}
				if strings.HasSuffix(arg, "-metric") && !found[name] {
					t.Errorf("no query asks for %s", name)
				}
			}
			if found["http_requests_total"] || found["http_request_duration_seconds_bucket"] {
				t.Error("some queries ask for the old names")
			}
		})
	}
}

// Patches find their argument by its place. When the place is another's, kustomize must say so.
func TestOtherNamesNoticeAnotherOrder(t *testing.T) {
	for component := range otherNames() {
		for _, template := range []string{"success-rate", "latency", "genai-token", "gdpr-compliance"} {
			memory := tree(t, component)
			file := "/k8s/rollouts/analysis/" + template + ".yaml"
			text, err := memory.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			moved := strings.Replace(string(text), "  args:\n", "  args:\n  - {name: another, value: \"\"}\n", 1)
			if err := memory.WriteFile(file, []byte(moved)); err != nil {
				t.Fatal(err)
			}
			if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/user"); err == nil {
				t.Errorf("%s changes another argument of %s, without a word", component, template)
			}
		}
	}
}
