package rollouts

import (
	"fmt"
	"strings"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"tidegate.io/tidegate/internal/release"
)

// Observation is the snapshot as a release of image sees it.
func (s *Snapshot) Observation(image string) release.Observation {
	st := s.rollout.Status
	o := release.Observation{Settled: s.settled()}
	container, err := container(s.rollout.Spec.Template.Spec, image)
	if err != nil {
		o.Refused = err.Error()
		return o
	}
	o.Image = imageOf(s.rollout.Spec.Template.Spec, container)
	if rs := s.replicaSet(st.StableRS); rs != nil {
		o.Stable = release.Version{Image: imageOf(rs.Spec.Template.Spec, container), Hash: st.StableRS}
	}
	o.Lacking = s.lacking()
	if !o.Settled {
		return o // all that follows speaks of the template that the controller knew, not of this one
	}
	o.Complete = len(o.Lacking) == 0
	o.Aborted = st.Abort
	o.Degraded = st.Phase == rov1.RolloutPhaseDegraded
	o.Message = st.Message
	o.Hash = st.CurrentPodHash
	o.Analyses = s.revisionAnalyses()
	o.Pause = s.pause(o.Analyses)
	o.Progress = s.progress()
	return o
}

// progress tells people how far the controller has come, in its own terms.
func (s *Snapshot) progress() string {
	st := s.rollout.Status
	if canary := s.rollout.Spec.Strategy.Canary; canary != nil && st.CurrentStepIndex != nil && st.StableRS != st.CurrentPodHash {
		text := fmt.Sprintf("step %d of %d", *st.CurrentStepIndex, len(canary.Steps))
		if w := st.Canary.Weights; w != nil {
			text += fmt.Sprintf(", canary weight %d %%", w.Canary.Weight)
		}
		return text
	}
	if bg := s.rollout.Spec.Strategy.BlueGreen; bg != nil && st.StableRS != st.CurrentPodHash {
		if st.BlueGreen.ActiveSelector == st.CurrentPodHash {
			return "switched, verifying"
		}
		if rs := s.replicaSet(st.CurrentPodHash); rs != nil {
			return fmt.Sprintf("preview, %d of %d pods available", rs.Status.AvailableReplicas, s.desired())
		}
	}
	return ""
}

func imageOf(pod corev1.PodSpec, container string) string {
	for _, c := range pod.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

// pause says for whom the rollout waits. A blue/green rollout counts as waiting for a person only once its analyses have
// ended: promoting it earlier would promote it unproven.
func (s *Snapshot) pause(runs []release.Analysis) release.Pause {
	if s.rollout.Spec.Paused {
		return release.PauseUser
	}
	for _, c := range s.rollout.Status.PauseConditions {
		switch c.Reason {
		case rov1.PauseReasonInconclusiveAnalysis, rov1.PauseReasonInconclusiveExperiment:
			return release.PauseInconclusive
		case rov1.PauseReasonBlueGreenPause:
			bg := s.rollout.Spec.Strategy.BlueGreen
			manual := bg != nil && bg.AutoPromotionEnabled != nil && !*bg.AutoPromotionEnabled
			if manual && bg.AutoPromotionSeconds == 0 && !running(runs, "PrePromotion") {
				return release.PauseManual
			}
		case rov1.PauseReasonCanaryPauseStep:
			if step := s.step(); step != nil && step.Pause != nil && step.Pause.Duration == nil {
				return release.PauseManual
			}
		}
	}
	return release.PauseNone
}

func (s *Snapshot) step() *rov1.CanaryStep {
	canary, index := s.rollout.Spec.Strategy.Canary, s.rollout.Status.CurrentStepIndex
	if canary == nil || index == nil || int(*index) >= len(canary.Steps) {
		return nil
	}
	return &canary.Steps[*index]
}

func running(runs []release.Analysis, kind string) bool {
	for _, run := range runs {
		if run.Kind == kind && (run.Verdict == release.Running || run.Verdict == release.Pending) {
			return true
		}
	}
	return false
}

// revisionAnalyses are the runs of the current revision. The hash alone would not do: an image that failed and is
// released again has the same hash, and its old runs may still be there.
func (s *Snapshot) revisionAnalyses() []release.Analysis {
	var runs []release.Analysis
	for _, run := range s.analyses {
		if run.Labels[rov1.DefaultRolloutUniqueLabelKey] != s.rollout.Status.CurrentPodHash || revision(run) != revision(s.rollout) {
			continue
		}
		a := release.Analysis{Name: run.Name, Kind: run.Labels[rov1.RolloutTypeLabel], Verdict: verdict(run.Status.Phase), Message: run.Status.Message}
		for _, m := range run.Status.MetricResults {
			a.Metrics = append(a.Metrics, metric(m))
		}
		runs = append(runs, a)
	}
	return runs
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
		}
	}
	return out
}

// failedAnalysis tells that an analysis failed on the ReplicaSet at its latest revision.
func (s *Snapshot) failedAnalysis(rs *appsv1.ReplicaSet) bool {
	for _, run := range s.analyses {
		same := run.Labels[rov1.DefaultRolloutUniqueLabelKey] == rs.Labels[rov1.DefaultRolloutUniqueLabelKey] && revision(run) == revision(rs)
		if same && verdict(run.Status.Phase).Bad() {
			return true
		}
	}
	return false
}
