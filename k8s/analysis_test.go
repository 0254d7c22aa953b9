package k8s_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// use is one place where a Rollout runs templates.
type use struct {
	where      string
	background bool
	analysis   rollouts.RolloutAnalysis
}

func usesOf(r rollouts.Rollout) []use {
	var uses []use
	if b := r.Spec.Strategy.BlueGreen; b != nil {
		if b.PrePromotionAnalysis != nil {
			uses = append(uses, use{r.Name + " before promotion", false, *b.PrePromotionAnalysis})
		}
		if b.PostPromotionAnalysis != nil {
			uses = append(uses, use{r.Name + " after promotion", false, *b.PostPromotionAnalysis})
		}
	}
	if c := r.Spec.Strategy.Canary; c != nil {
		if c.Analysis != nil {
			uses = append(uses, use{r.Name + " background", true, c.Analysis.RolloutAnalysis})
		}
		for i, step := range c.Steps {
			if step.Analysis != nil {
				uses = append(uses, use{fmt.Sprintf("%s step %d", r.Name, i), false, *step.Analysis})
			}
		}
	}
	return uses
}

// eachMetric calls check with every metric of every use, as the controller resolves it. It fails the test for a template
// that is missing, and for arguments that are missing, or that no template has (which Argo ignores in silence).
func eachMetric(t *testing.T, check func(t *testing.T, u use, m rollouts.Metric)) {
	f := loadFleet(t)
	for _, r := range f.rollouts {
		for _, u := range usesOf(r) {
			t.Run(u.where, func(t *testing.T) {
				known := map[string]bool{}
				for _, ref := range u.analysis.Templates {
					template, ok := f.templates[ref.TemplateName]
					if !ok {
						t.Fatalf("no AnalysisTemplate %s", ref.TemplateName)
					}
					for _, arg := range template.Spec.Args {
						known[arg.Name] = true
					}
					for _, m := range template.Spec.Metrics {
						check(t, u, resolve(t, r, template, u.analysis.Args, m))
					}
				}
				for _, arg := range u.analysis.Args {
					if !known[arg.Name] {
						t.Errorf("argument %s goes nowhere", arg.Name)
					}
				}
			})
		}
	}
}

// resolve puts arguments into a metric as the controller does: as text, into its JSON.
func resolve(t *testing.T, r rollouts.Rollout, template rollouts.AnalysisTemplate, args []rollouts.AnalysisRunArgument, m rollouts.Metric) rollouts.Metric {
	t.Helper()
	values := map[string]string{}
	for _, arg := range template.Spec.Args {
		if arg.Value != nil {
			values[arg.Name] = *arg.Value
		}
	}
	for _, arg := range args {
		switch from := arg.ValueFrom; {
		case from == nil:
			values[arg.Name] = arg.Value
		case from.PodTemplateHashValue != nil && *from.PodTemplateHashValue == rollouts.Latest:
			values[arg.Name] = "latest-hash"
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
			values[arg.Name] = "its-namespace"
		default:
			t.Errorf("argument %s of %s: %v", arg.Name, r.Name, from)
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		text = []byte(strings.ReplaceAll(string(text), "{{args."+name+"}}", value))
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

// intOf reads a number as Argo does: what is absent, or no number, is 0.
func intOf(v *intstr.IntOrString) int {
	if v == nil {
		return 0
	}
	return v.IntValue()
}

// condition is the form that neither passes nor fails on an empty result and on NaN.
var condition = regexp.MustCompile(`^len\(result\) > 0 && !isNaN\(result\[0\]\) && result\[0\] (<=|>=|<|>) (0\.\d+)$`)

func TestPassAndFailAreEvidence(t *testing.T) {
	opposite := map[string]string{"<": ">=", ">": "<="}
	eachMetric(t, func(t *testing.T, _ use, m rollouts.Metric) {
		pass, fail := condition.FindStringSubmatch(m.SuccessCondition), condition.FindStringSubmatch(m.FailureCondition)
		if pass == nil || fail == nil {
			t.Fatalf("%s: successCondition %q, failureCondition %q", m.Name, m.SuccessCondition, m.FailureCondition)
		}
		if opposite[pass[1]] != fail[1] || pass[2] != fail[2] {
			t.Errorf("%s passes at %s %s, fails at %s %s", m.Name, pass[1], pass[2], fail[1], fail[2])
		}
	})
}

func TestThresholdsAreTheBriefs(t *testing.T) {
	want := map[string]string{"success-rate": "> 0.99", "server-error-rate": "< 0.01", "client-error-rate": "< 0.01"}
	eachMetric(t, func(t *testing.T, _ use, m rollouts.Metric) {
		if !strings.HasSuffix(m.SuccessCondition, " && result[0] "+want[m.Name]) {
			t.Errorf("%s: %s", m.Name, m.SuccessCondition)
		}
	})
}

func TestQueriesLookAtTheNewVersionOnly(t *testing.T) {
	status := map[string]string{"success-rate": "[23]..", "server-error-rate": "5..", "client-error-rate": "4.."}
	eachMetric(t, func(t *testing.T, _ use, m rollouts.Metric) {
		p := m.Provider.Prometheus
		if p == nil || p.Address != "http://prometheus-server.monitoring.svc.cluster.local:9090" {
			t.Fatalf("%s: provider %v", m.Name, p)
		}
		expr, err := parser.ParseExpr(p.Query)
		if err != nil {
			t.Fatalf("%s: %v\n%s", m.Name, err, p.Query)
		}
		statuses := map[string]int{}
		parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
			if v, ok := node.(*parser.VectorSelector); ok {
				checkSelector(t, v, path)
				statuses[matcher(v, labels.MatchRegexp, "status")]++
			}
			return nil
		})
		if diff := cmp.Diff(map[string]int{status[m.Name]: 1, "": 3}, statuses); diff != "" {
			t.Errorf("%s: status of the selected series (-want +got):\n%s", m.Name, diff)
		}
	})
}

func checkSelector(t *testing.T, v *parser.VectorSelector, path []parser.Node) {
	t.Helper()
	if v.Name != "http_requests_total" || matcher(v, labels.MatchEqual, "namespace") != "its-namespace" ||
		matcher(v, labels.MatchEqual, "rollouts_pod_template_hash") != "latest-hash" {
		t.Errorf("selects %s", v)
	}
	summed := false
	for _, node := range path {
		sum, ok := node.(*parser.AggregateExpr)
		summed = summed || ok && sum.Op == parser.SUM && len(sum.Grouping) == 0 && !sum.Without
	}
	if !summed {
		t.Errorf("%s is not summed into one series, and Argo looks at the first one only", v)
	}
}

func matcher(v *parser.VectorSelector, kind labels.MatchType, name string) string {
	for _, m := range v.LabelMatchers {
		if m.Name == name && m.Type == kind {
			return m.Value
		}
	}
	return ""
}
