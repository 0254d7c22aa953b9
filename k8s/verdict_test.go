package k8s_test

import (
	"math"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
	"github.com/sirupsen/logrus"
)

// What Argo's own evaluator makes of a result. An empty result and NaN must be neither.
func TestVerdicts(t *testing.T) {
	const pass, fail, unclear = rollouts.AnalysisPhaseSuccessful, rollouts.AnalysisPhaseFailed, rollouts.AnalysisPhaseInconclusive
	table := map[string][]struct {
		result []float64
		want   rollouts.AnalysisPhase
	}{
		"success-rate": {
			{[]float64{1}, pass}, {[]float64{0.995}, pass}, {[]float64{0.9901}, pass}, {[]float64{0.99}, fail},
			{[]float64{0.985}, fail}, {[]float64{0}, fail}, {[]float64{math.NaN()}, unclear}, {[]float64{}, unclear},
		},
		"server-error-rate": {
			{[]float64{0}, pass}, {[]float64{0.0099}, pass}, {[]float64{0.01}, fail}, {[]float64{0.05}, fail},
			{[]float64{1}, fail}, {[]float64{math.NaN()}, unclear}, {[]float64{}, unclear},
		},
		"client-error-rate": {
			{[]float64{0}, pass}, {[]float64{0.0099}, pass}, {[]float64{0.01}, fail}, {[]float64{0.05}, fail},
			{[]float64{1}, fail}, {[]float64{math.NaN()}, unclear}, {[]float64{}, unclear},
		},
	}
	eachMetric(t, func(t *testing.T, _ use, m rollouts.Metric) {
		for _, c := range table[m.Name] {
			got, err := evaluate.EvaluateResult(c.result, m, *logrus.NewEntry(logrus.StandardLogger()))
			if err != nil || got != c.want {
				t.Errorf("%s of %v is %s (%v), want %s", m.Name, c.result, got, err, c.want)
			}
		}
	})
}
