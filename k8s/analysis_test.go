package k8s_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// use is one place where templates run: in a Rollout, or a template by itself, at its defaults.
type use struct {
	where      string
	rollout    string // "" for a template by itself
	background bool
	analysis   rollouts.RolloutAnalysis
}

func usesOf(r rollouts.Rollout) []use {
	var uses []use
	if b := r.Spec.Strategy.BlueGreen; b != nil {
		if b.PrePromotionAnalysis != nil {
			uses = append(uses, use{r.Name + " before promotion", r.Name, false, *b.PrePromotionAnalysis})
		}
		if b.PostPromotionAnalysis != nil {
			uses = append(uses, use{r.Name + " after promotion", r.Name, false, *b.PostPromotionAnalysis})
		}
	}
	if c := r.Spec.Strategy.Canary; c != nil {
		if c.Analysis != nil {
			uses = append(uses, use{r.Name + " background", r.Name, true, c.Analysis.RolloutAnalysis})
		}
		for i, step := range c.Steps {
			if step.Analysis != nil {
				uses = append(uses, use{fmt.Sprintf("%s step %d", r.Name, i), r.Name, false, *step.Analysis})
			}
		}
	}
	return uses
}

// alone are the arguments that no template has a default for.
func alone() map[string]string {
	return map[string]string{
		"canary-hash": "latest-hash", "stable-hash": "stable-hash", "namespace": "its-namespace",
		"service": "its-service", "active-service": "its-service", "preview-service": "its-preview", "port": "3000",
	}
}

// templates are the analysis templates as `kubectl apply -k k8s/rollouts/analysis/` has them.
func templates(t *testing.T) map[string]rollouts.AnalysisTemplate {
	t.Helper()
	return all[rollouts.AnalysisTemplate](t, build(t, "rollouts/analysis"), "AnalysisTemplate")
}

// eachMetric calls check with every metric of every template by itself, and of every use in a Rollout, as the controller
// resolves it. It fails the test for what Argo refuses when a release runs, and for arguments that go nowhere, which Argo
// ignores in silence.
func eachMetric(t *testing.T, check func(t *testing.T, u use, m rollouts.Metric)) {
	t.Helper()
	known := templates(t)
	for name, template := range known {
		t.Run(name, func(t *testing.T) {
			values := defaults(t, []rollouts.AnalysisTemplate{template})
			maps.Copy(values, alone())
			for _, m := range template.Spec.Metrics {
				check(t, use{where: name}, resolve(t, values, m))
			}
		})
	}
	for _, r := range loadFleet(t).rollouts {
		for _, u := range usesOf(r) {
			t.Run(u.where, func(t *testing.T) {
				var merged []rollouts.AnalysisTemplate
				for _, ref := range u.analysis.Templates {
					template, ok := known[ref.TemplateName]
					if !ok {
						t.Fatalf("no AnalysisTemplate %s", ref.TemplateName)
					}
					merged = append(merged, template)
				}
				values := defaults(t, merged)
				maps.Copy(values, passed(t, r, u, merged))
				for _, template := range merged {
					for _, m := range template.Spec.Metrics {
						check(t, u, resolve(t, values, m))
					}
				}
			})
		}
	}
}

// defaults merges the arguments of templates as Argo does, which refuses two defaults for one argument.
func defaults(t *testing.T, merged []rollouts.AnalysisTemplate) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, template := range merged {
		for _, arg := range template.Spec.Args {
			if arg.Value == nil {
				continue
			}
			if other, ok := values[arg.Name]; ok && other != *arg.Value {
				t.Fatalf("%s is %q in %s, and %q in another template of the same analysis", arg.Name, *arg.Value, template.Name, other)
			}
			values[arg.Name] = *arg.Value
		}
	}
	return values
}

// passed are the arguments that a Rollout gives.
func passed(t *testing.T, r rollouts.Rollout, u use, merged []rollouts.AnalysisTemplate) map[string]string {
	t.Helper()
	known, values := map[string]bool{}, map[string]string{}
	for _, template := range merged {
		for _, arg := range template.Spec.Args {
			known[arg.Name] = true
		}
	}
	for _, arg := range u.analysis.Args {
		if !known[arg.Name] {
			t.Errorf("argument %s goes nowhere", arg.Name)
		}
		switch from := arg.ValueFrom; {
		case from == nil:
			values[arg.Name] = arg.Value
		case from.PodTemplateHashValue != nil && *from.PodTemplateHashValue == rollouts.Latest:
			values[arg.Name] = "latest-hash"
		case from.PodTemplateHashValue != nil && *from.PodTemplateHashValue == rollouts.Stable:
			values[arg.Name] = "stable-hash"
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
			values[arg.Name] = "its-namespace"
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
			values[arg.Name] = r.Name
		default:
			t.Errorf("argument %s of %s: %v", arg.Name, r.Name, from)
		}
	}
	return values
}

// resolve puts arguments into a metric as the controller does: as text, into its JSON.
func resolve(t *testing.T, values map[string]string, m rollouts.Metric) rollouts.Metric {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		quoted := strconv.Quote(value)
		text = []byte(strings.ReplaceAll(string(text), "{{args."+name+"}}", quoted[1:len(quoted)-1]))
	}
	if i := strings.Index(string(text), "{{"); i >= 0 {
		t.Fatalf("metric %s: no value for %s", m.Name, text[i:min(i+40, len(text))])
	}
	var resolved rollouts.Metric
	if err := json.Unmarshal(text, &resolved); err != nil {
		t.Fatalf("metric %s: %v", m.Name, err)
	}
	return resolved
}

// Argo merges the templates of one analysis, and refuses it, in the middle of a release, if they do not fit together.
func TestAnyTemplatesFitTogether(t *testing.T) {
	known := templates(t)
	defaults(t, slices.Collect(maps.Values(known)))
	owner := map[string]string{}
	for name, template := range known {
		if len(template.Spec.Metrics) == 0 {
			t.Errorf("%s measures nothing", name)
		}
		for _, m := range template.Spec.Metrics {
			if owner[m.Name] != "" {
				t.Errorf("metric %s is in %s and in %s", m.Name, owner[m.Name], name)
			}
			owner[m.Name] = name
		}
	}
}

func TestTemplatesHaveTheArgumentsThatTheyUse(t *testing.T) {
	for name, template := range templates(t) {
		text, err := json.Marshal(template.Spec.Metrics)
		if err != nil {
			t.Fatal(err)
		}
		for _, arg := range template.Spec.Args {
			if !strings.Contains(string(text), "{{args."+arg.Name+"}}") {
				t.Errorf("%s: argument %s moves nothing", name, arg.Name)
			}
			if _, ok := alone()[arg.Name]; ok != (arg.Value == nil) {
				t.Errorf("%s: argument %s has the default %v", name, arg.Name, value(arg.Value))
			}
		}
	}
}

// The kustomization is what is applied; a template that it leaves out is there for the tests alone.
func TestKustomizationHasEveryTemplate(t *testing.T) {
	want := slices.AppendSeq(slices.Collect(maps.Keys(thresholds())), maps.Keys(jobGates()))
	var got []string
	for _, template := range templates(t) {
		for _, m := range template.Spec.Metrics {
			got = append(got, m.Name)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics of k8s/rollouts/analysis (-want +got):\n%s", diff)
	}
}

func TestRunsCanBeFoundByRollout(t *testing.T) {
	for name, r := range loadFleet(t).rollouts {
		for _, u := range usesOf(r) {
			if m := u.analysis.AnalysisRunMetadata; m == nil || m.Labels["rollout"] != name {
				t.Errorf("%s: kubectl get analysisrun -l rollout=%s would not find it", u.where, name)
			}
		}
	}
}

func TestMeasurementsAreLimited(t *testing.T) {
	eachMetric(t, func(t *testing.T, u use, m rollouts.Metric) {
		if m.Provider.Job != nil {
			return
		}
		interval, err := m.Interval.Duration()
		if err != nil || interval < 30*time.Second || interval > time.Minute {
			t.Errorf("%s: interval %v %v", m.Name, interval, err)
		}
		count, failures, inconclusive := intOf(m.Count), intOf(m.FailureLimit), intOf(m.InconclusiveLimit)
		if u.background {
			if time.Duration(count)*interval < time.Hour {
				t.Errorf("%s: background analysis ends after %d measurements", m.Name, count)
			}
		} else if count < 5 || count > 20 {
			t.Errorf("%s: count %d", m.Name, count)
		}
		if failures < 0 || failures > 3 {
			t.Errorf("%s: failureLimit %d", m.Name, failures)
		}
		// A metric that reaches its count is Successful: limits from count-1 on let it pass on nothing.
		if failures+inconclusive >= count {
			t.Errorf("%s: %d failures and %d inconclusive of %d measurements still pass", m.Name, failures, inconclusive, count)
		}
	})
}

// Zero tolerance is not an argument that somebody may raise, and begins with the first second.
func TestViolationsAreNotTolerated(t *testing.T) {
	for _, m := range templates(t)["gdpr-compliance-analysis"].Spec.Metrics {
		if m.FailureLimit == nil || m.FailureLimit.Type != intstr.Int || m.FailureLimit.IntVal != 0 {
			t.Errorf("%s: failureLimit is %v, and must be written out as 0", m.Name, m.FailureLimit)
		}
		if m.Name != "audit-coverage" && m.InitialDelay != "" {
			t.Errorf("%s looks away for %s", m.Name, m.InitialDelay)
		}
	}
}

// intOf reads a number as Argo does: what is absent, or no number, is 0.
func intOf(v *intstr.IntOrString) int {
	if v == nil {
		return 0
	}
	return v.IntValue()
}
