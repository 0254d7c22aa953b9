package rollouts

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"

	"tidegate.io/tidegate/internal/release"
)

// gates are the analyses that the rollout's strategy declares, named as their runs are by [release.Analysis.Gate].
func (s *Snapshot) gates() []string {
	var gates []string
	declared := func(gate release.Analysis, analysis *rov1.RolloutAnalysis) {
		if analysis != nil && len(analysis.Templates) > 0 {
			gates = append(gates, gate.Gate())
		}
	}
	if bg := s.rollout.Spec.Strategy.BlueGreen; bg != nil {
		declared(release.Analysis{Kind: rov1.RolloutTypePrePromotionLabel}, bg.PrePromotionAnalysis)
		declared(release.Analysis{Kind: rov1.RolloutTypePostPromotionLabel}, bg.PostPromotionAnalysis)
	}
	if canary := s.rollout.Spec.Strategy.Canary; canary != nil {
		if canary.Analysis != nil {
			declared(release.Analysis{Kind: rov1.RolloutTypeBackgroundRunLabel}, &canary.Analysis.RolloutAnalysis)
		}
		for i, step := range canary.Steps {
			declared(release.Analysis{Kind: rov1.RolloutTypeStepLabel, Step: strconv.Itoa(i)}, step.Analysis)
		}
	}
	return gates
}

// revisionAnalyses are the runs of the current revision. The hash alone would not do: an image that failed and is
// released again has the same hash, and its old runs may still be there.
func (s *Snapshot) revisionAnalyses() []release.Analysis {
	var runs []release.Analysis
	for _, run := range s.analyses {
		if run.Labels[rov1.DefaultRolloutUniqueLabelKey] != s.rollout.Status.CurrentPodHash || revision(run) != revision(s.rollout) {
			continue
		}
		runs = append(runs, analysis(run))
	}
	return runs
}

// FailedOn is an analysis that speaks against the version with this pod template hash at its latest revision, or nil. Of
// several runs for one gate the newest counts: one that failed may have been tried again. One that was told to end had not
// failed before.
func (s *Snapshot) FailedOn(hash string) *release.Analysis {
	rs := s.replicaSet(hash)
	if rs == nil {
		return nil
	}
	newest := map[string]*rov1.AnalysisRun{}
	for _, run := range s.analyses {
		if run.Labels[rov1.DefaultRolloutUniqueLabelKey] != hash || revision(run) != revision(rs) {
			continue
		}
		gate := analysis(run).Gate()
		if last := newest[gate]; last == nil || last.CreationTimestamp.Before(&run.CreationTimestamp) {
			newest[gate] = run
		}
	}
	for _, gate := range slices.Sorted(maps.Keys(newest)) {
		if run := newest[gate]; !run.Spec.Terminate && verdict(run.Status.Phase).Bad() {
			a := analysis(run)
			return &a
		}
	}
	return nil
}

func analysis(run *rov1.AnalysisRun) release.Analysis {
	a := release.Analysis{
		Name: run.Name, Kind: run.Labels[rov1.RolloutTypeLabel], Step: run.Labels[rov1.RolloutCanaryStepIndexLabel],
		Verdict: verdict(run.Status.Phase), Message: run.Status.Message,
		Terminated: run.Spec.Terminate,
	}
	for _, m := range run.Status.MetricResults {
		a.Metrics = append(a.Metrics, metric(m))
	}
	// A metric that was not measured once has no result, and must not be taken for one that there is not.
	for _, m := range run.Spec.Metrics {
		if !slices.ContainsFunc(run.Status.MetricResults, func(r rov1.MetricResult) bool { return r.Name == m.Name }) {
			a.Metrics = append(a.Metrics, release.Metric{Name: m.Name, Verdict: release.Pending, DryRun: isDryRun(run, m.Name)})
		}
	}
	return a
}

// isDryRun repeats the controller's own rule: names in dryRun are regular expressions.
func isDryRun(run *rov1.AnalysisRun, metric string) bool {
	return slices.ContainsFunc(run.Spec.DryRun, func(d rov1.DryRun) bool {
		matched, err := regexp.MatchString(d.MetricName, metric)
		return err == nil && matched
	})
}

// verdict takes a run that has not begun, which has no phase, for one that is pending.
func verdict(p rov1.AnalysisPhase) release.Verdict {
	if p == "" {
		return release.Pending
	}
	return release.Verdict(p)
}

func metric(m rov1.MetricResult) release.Metric {
	out := release.Metric{
		Name: m.Name, Verdict: verdict(m.Phase), DryRun: m.DryRun, Message: m.Message,
		Successes: int(m.Successful), Failures: int(m.Failed), Errors: int(m.Error), Inconclusive: int(m.Inconclusive),
		Query: strings.TrimSpace(m.Metadata["ResolvedPrometheusQuery"]),
	}
	for _, measurement := range m.Measurements { // oldest first: the last one that agrees with the verdict decided
		if measurement.Phase == m.Phase || out.Value == "" {
			out.Value = strings.Trim(measurement.Value, "[]") // Prometheus answers with a vector, our gates with one series
			if measurement.Message != "" {
				out.Message = measurement.Message
			}
			out.Job = measurement.Metadata["job-name"]
		}
	}
	return out
}
