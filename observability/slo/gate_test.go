package slo_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
	"github.com/sirupsen/logrus"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"

	"tidegate.io/tidegate/k8s"
)

const (
	pass    = rollouts.AnalysisPhaseSuccessful
	fail    = rollouts.AnalysisPhaseFailed
	unclear = rollouts.AnalysisPhaseInconclusive
)

// gate is slo-gate-analysis as kustomize makes it, of the templates and what a user's kustomization adds to them.
func gate(t *testing.T, addition string) rollouts.AnalysisTemplate {
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
	if err := memory.WriteFile("/user/kustomization.yaml", []byte("resources: [../k8s/rollouts/analysis]\n"+addition)); err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/user")
	if err != nil {
		t.Fatal(err)
	}
	kind := resid.NewGvk("argoproj.io", "v1alpha1", "AnalysisTemplate")
	found, err := built.GetById(resid.NewResId(kind, "slo-gate-analysis"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := found.AsYAML()
	if err != nil {
		t.Fatal(err)
	}
	var template rollouts.AnalysisTemplate
	if err := yaml.UnmarshalStrict(text, &template); err != nil {
		t.Fatal(err)
	}
	return template
}

// resolve puts a template's defaults, and then args, into a text as the controller does.
func resolve(t *testing.T, template rollouts.AnalysisTemplate, args map[string]string, text string) string {
	t.Helper()
	values := map[string]string{}
	for _, arg := range template.Spec.Args {
		if arg.Value != nil {
			values[arg.Name] = *arg.Value
		}
	}
	maps.Copy(values, args)
	for name, value := range values {
		text = strings.ReplaceAll(text, "{{args."+name+"}}", value)
	}
	if strings.Contains(text, "{{") {
		t.Fatalf("no value for an argument of %s", text)
	}
	return text
}

// measurement is one look of the gate at one service.
type measurement struct {
	service, metric string
	slos            int
	want            rollouts.AnalysisPhase
	value           float64 // what passes or fails
}

// measure has Argo's own evaluator judge what the gate's queries find in the traffic.
func measure(t *testing.T, template rollouts.AnalysisTemplate, series []string, rules []rule, measurements []measurement) {
	t.Helper()
	metrics := map[string]rollouts.Metric{}
	for _, m := range template.Spec.Metrics {
		metrics[m.Name] = m
	}
	args := func(m measurement) map[string]string {
		return map[string]string{"service": m.service, "slos": strconv.Itoa(m.slos)}
	}
	var queries []string
	for _, m := range measurements {
		queries = append(queries, resolve(t, template, args(m), metrics[m.metric].Provider.Prometheus.Query))
	}
	for i, answer := range evaluateAll(t, series, rules, queries) {
		m := measurements[i]
		t.Run(fmt.Sprintf("%s %s of %d", m.service, m.metric, m.slos), func(t *testing.T) {
			metric := metrics[m.metric]
			metric.SuccessCondition = resolve(t, template, args(m), metric.SuccessCondition)
			metric.FailureCondition = resolve(t, template, args(m), metric.FailureCondition)
			got, err := evaluate.EvaluateResult(answer, metric, *logrus.NewEntry(logrus.StandardLogger()))
			if err != nil || got != m.want {
				t.Errorf("%v is %s (%v), want %s", answer, got, err, m.want)
			}
			if m.want != unclear && (len(answer) != 1 || !near(answer[0], m.value)) {
				t.Errorf("finds %v, want %v", answer, m.value)
			}
		})
	}
}

// evaluateAll is ask without the labels, which Argo does not see either.
func evaluateAll(t *testing.T, series []string, rules []rule, queries []string) [][]float64 {
	t.Helper()
	var all [][]float64
	for _, answer := range ask(t, series, rules, queries...) {
		values := []float64{}
		for _, s := range answer {
			values = append(values, s.Value)
		}
		all = append(all, values)
	}
	return all
}

func TestGateOnSloth(t *testing.T) {
	series := slices.Concat(
		traffic(t, "teei-api-gateway", "0.5", phase{minutes, 10_000, 1, 200}), // 0.01 % of errors, 2 % slow
		traffic(t, "teei-reporting", "0.8", phase{minutes, 600, 12, 0}),       // 2 % of errors
		traffic(t, "teei-corp-cockpit-astro", "0.5", phase{minutes - 6, 1000, 0, 0}, phase{6, 1000, 30, 0}),
		traffic(t, "teei-q2q-ai", "0.8", phase{minutes - 60, 1000, 0, 0}, phase{50, 1000, 30, 0}, phase{10, 1000, 0, 0}),
		traffic(t, "teei-analytics", "2", phase{minutes, 600, 0, 540}),    // 90 % slow, as Prometheus 2 names the bound
		traffic(t, "teei-data-residency", "", phase{minutes, 1000, 0, 0}), // no histogram
	)
	measure(t, gate(t, ""), series, rules(t), []measurement{
		{"teei-api-gateway", "burn-rate", 2, pass, 0.4}, // of the latency, which is worse off
		{"teei-api-gateway", "budget-remaining", 2, pass, 0.6},
		{"teei-reporting", "burn-rate", 2, fail, 20},
		{"teei-reporting", "budget-remaining", 2, fail, -19},
		// 3 % of errors, for six minutes: a moment. Prometheus extrapolates the successes, of which it has seen 59 minutes, to
		// the hour; not the errors, which began at 0.
		{"teei-corp-cockpit-astro", "burn-rate", 2, pass, 180 / (58_820*60.0/59 + 180) / 0.001},
		// 3 % of errors for fifty minutes, and no more.
		{"teei-q2q-ai", "burn-rate", 2, pass, 0},
		{"teei-analytics", "burn-rate", 2, fail, 18},
		// Healthy, as far as can be seen.
		{"teei-data-residency", "burn-rate", 1, pass, 0},
		{"teei-data-residency", "budget-remaining", 1, pass, 1},
		{"teei-data-residency", "burn-rate", 2, unclear, 0},
		{"teei-data-residency", "budget-remaining", 2, unclear, 0},
		{"teei-none", "burn-rate", 1, unclear, 0},
		{"teei-none", "budget-remaining", 1, unclear, 0},
	})
}

// One night without traffic must not cost the gate its sight for the rest of the period.
func TestGateAfterAQuietNight(t *testing.T) {
	series := slices.Concat(
		traffic(t, "teei-api-gateway", "0.5", phase{600, 100, 0, 0}, phase{480, 0, 0, 0}, phase{480, 100, 0, 0}),
		traffic(t, "teei-reporting", "0.8", phase{minutes - 60, 100, 0, 0}, phase{60, 0, 0, 0}), // still night
	)
	measure(t, gate(t, ""), series, rules(t), []measurement{
		{"teei-api-gateway", "burn-rate", 2, pass, 0},
		{"teei-api-gateway", "budget-remaining", 2, pass, 1},
		{"teei-reporting", "burn-rate", 2, unclear, 0},
		{"teei-reporting", "budget-remaining", 2, pass, 1},
	})
}
