package rollouts

import (
	"fmt"
	"time"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
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
	if rs := s.replicaSet(s.ledger()); rs != nil && o.Image == image {
		o.Before = release.Version{Image: imageOf(rs.Spec.Template.Spec, container), Hash: s.ledger()}
	}
	o.Pauses = s.pauses()
	o.Lacking = s.lacking()
	if !o.Settled {
		return o // all that follows speaks of the template that the controller knew, not of this one
	}
	o.Complete = len(o.Lacking) == 0
	o.Aborted = st.Abort
	o.Degraded = st.Phase == rov1.RolloutPhaseDegraded
	o.Message = st.Message
	o.Hash = st.CurrentPodHash
	o.Gates = s.gates()
	o.Analyses = s.revisionAnalyses()
	o.Pause, o.PausedAt = s.pause(o.Analyses)
	o.Shortcut = s.shortcut(container, image)
	o.Progress = s.progress()
	return o
}

// pauses are those that end by themselves: the rollout is not late while it waits as it was told to.
func (s *Snapshot) pauses() time.Duration {
	var all time.Duration
	if canary := s.rollout.Spec.Strategy.Canary; canary != nil {
		for _, step := range canary.Steps {
			if step.Pause != nil && step.Pause.Duration != nil {
				all += time.Duration(max(step.Pause.DurationSeconds(), 0)) * time.Second
			}
		}
	}
	if bg := s.rollout.Spec.Strategy.BlueGreen; bg != nil {
		all += time.Duration(bg.AutoPromotionSeconds) * time.Second
	}
	return all
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

// pause says for whom the rollout waits, and since when. A blue/green rollout counts as waiting for a person only once its
// analyses have ended: promoting it earlier would promote it unproven. Who could not tell comes first: a promotion would
// clear that pause with the others.
func (s *Snapshot) pause(runs []release.Analysis) (release.Pause, string) {
	if s.rollout.Spec.Paused {
		return release.PauseUser, ""
	}
	for _, c := range s.rollout.Status.PauseConditions {
		if c.Reason == rov1.PauseReasonInconclusiveAnalysis || c.Reason == rov1.PauseReasonInconclusiveExperiment {
			return release.PauseInconclusive, ""
		}
	}
	for _, c := range s.rollout.Status.PauseConditions {
		if s.waitsForSomebody(c.Reason, runs) {
			return release.PauseManual, fmt.Sprintf("%s %s", c.Reason, c.StartTime.UTC().Format(time.RFC3339))
		}
	}
	return release.PauseNone, ""
}

func (s *Snapshot) waitsForSomebody(reason rov1.PauseReason, runs []release.Analysis) bool {
	switch reason {
	case rov1.PauseReasonBlueGreenPause:
		bg := s.rollout.Spec.Strategy.BlueGreen
		manual := bg != nil && bg.AutoPromotionEnabled != nil && !*bg.AutoPromotionEnabled
		return manual && bg.AutoPromotionSeconds == 0 && !running(runs, "PrePromotion")
	case rov1.PauseReasonCanaryPauseStep:
		step := s.step()
		return step != nil && step.Pause != nil && step.Pause.Duration == nil
	}
	return false
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
