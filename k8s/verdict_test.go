package k8s_test

import (
	"math"
	"regexp"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
)

const (
	pass    = rollouts.AnalysisPhaseSuccessful
	fail    = rollouts.AnalysisPhaseFailed
	unclear = rollouts.AnalysisPhaseInconclusive
)

// threshold is what a metric's value must be in order to pass.
type threshold struct {
	op, text string
	at       float64
	// over is what a value just above the threshold gets; at is what the threshold itself gets.
	under, exact, over rollouts.AnalysisPhase
}

func below(text string, at float64) threshold { return threshold{"<", text, at, pass, fail, fail} }

// thresholds are the brief's.
func thresholds() map[string]threshold {
	return map[string]threshold{
		"success-rate":         {">", "0.99", 0.99, fail, fail, pass},
		"server-error-rate":    below("0.01", 0.01),
		"client-error-rate":    below("0.01", 0.01),
		"latency-p50":          below("0.25", 0.25),
		"latency-p95":          below("0.5", 0.5),
		"latency-p99":          below("1", 1),
		"token-increase":       below("0.2", 0.2),
		"cost-increase":        below("0.2", 0.2),
		"hourly-cost":          below("20", 20),
		"residency-violations": {"==", "0", 0, unclear, pass, fail},
		"pii-exposures":        {"==", "0", 0, unclear, pass, fail},
		"audit-coverage":       {">=", "0.99", 0.99, fail, pass, pass},
		"burn-rate":            {"<=", "14.4", 14.4, pass, pass, fail},
		"budget-remaining":     {">=", "0.1", 0.1, fail, pass, pass},
		"quality-score":        {">", "0.7", 0.7, fail, fail, pass},
		"clickhouse-query-p95": below("2", 2),
		"lcp-p75":              below("2.5", 2.5),
		"inp-p75":              below("0.2", 0.2),
		"cls-p75":              below("0.1", 0.1),
	}
}

// thresholdsOf are those of a Rollout, or of templates by themselves.
func thresholdsOf(rollout string) map[string]threshold {
	all := thresholds()
	switch rollout {
	case "teei-reporting", "teei-q2q-ai": // they wait for a model
		all["latency-p50"], all["latency-p95"], all["latency-p99"] = below("0.4", 0.4), below("0.8", 0.8), below("1.6", 1.6)
	case "teei-analytics":
		all["latency-p50"], all["latency-p95"], all["latency-p99"] = below("1", 1), below("2", 2), below("4", 4)
	}
	return all
}

// condition is the form that neither passes nor fails on an empty result and on NaN.
var condition = regexp.MustCompile(`^len\(result\) > 0 && !isNaN\(result\[0\]\) && result\[0\] (<=|>=|==|<|>) (\d+(?:\.\d+)?)$`)

func TestPassAndFailAreEvidence(t *testing.T) {
	opposite := map[string]string{"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": ">"} // violations are counted, never below 0
	eachMetric(t, func(t *testing.T, u use, m rollouts.Metric) {
		if m.Provider.Job != nil {
			return
		}
		want := thresholdsOf(u.rollout)[m.Name]
		if diff := cmp.Diff([]string{want.op, want.text}, conditionOf(t, m, m.SuccessCondition)); diff != "" {
			t.Errorf("%s passes (-want +got):\n%s", m.Name, diff)
		}
		if diff := cmp.Diff([]string{opposite[want.op], want.text}, conditionOf(t, m, m.FailureCondition)); diff != "" {
			t.Errorf("%s fails (-want +got):\n%s", m.Name, diff)
		}
	})
}

// conditionOf is the operator and the threshold of a condition.
func conditionOf(t *testing.T, m rollouts.Metric, text string) []string {
	t.Helper()
	found := condition.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("%s: condition %q", m.Name, text)
	}
	return found[1:]
}

// What Argo's own evaluator makes of a result. An empty result and NaN must be neither.
func TestVerdicts(t *testing.T) {
	const little = 1e-9
	eachMetric(t, func(t *testing.T, u use, m rollouts.Metric) {
		if m.Provider.Job != nil {
			return // a Job has no result to look at; see TestJobGates
		}
		want := thresholdsOf(u.rollout)[m.Name]
		cases := []struct {
			result []float64
			want   rollouts.AnalysisPhase
		}{
			{[]float64{want.at - little}, want.under}, {[]float64{want.at}, want.exact}, {[]float64{want.at + little}, want.over},
			{[]float64{math.Inf(1)}, want.over}, {[]float64{math.NaN()}, unclear}, {[]float64{}, unclear},
		}
		for _, c := range cases {
			got, err := evaluate.EvaluateResult(c.result, m, *logrus.NewEntry(logrus.StandardLogger()))
			if err != nil || got != c.want {
				t.Errorf("%s of %v is %s (%v), want %s", m.Name, c.result, got, err, c.want)
			}
		}
	})
}
