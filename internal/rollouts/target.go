package rollouts

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"tidegate.io/tidegate/internal/rollback"
)

// Mark is what a rollback leaves on the Rollout: who comes after must know which versions were left, and must not take
// one of them for the last good one.
type Mark struct {
	From   string    `json:"from"` // pod template hash that was left
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Left   []left    `json:"left,omitempty"` // by this rollback and those before it, newest first
}

// left is a version that was rolled back. Released again it gets a new revision, and with it a new chance. A version that
// was left before the controller had made a ReplicaSet of it is known by its images: the controller may make one yet.
type left struct {
	Hash     string   `json:"hash,omitempty"`
	Images   []string `json:"images,omitempty"`
	Revision int      `json:"revision"` // the last one that it had, or would have had
}

func (l left) matches(rs *appsv1.ReplicaSet) bool {
	same := l.Hash == rs.Labels[rov1.DefaultRolloutUniqueLabelKey]
	if l.Hash == "" {
		same = slices.Equal(l.Images, images(rs.Spec.Template.Spec))
	}
	return same && revision(rs) <= l.Revision
}

// entry is what a release writes beside the image: which version was stable before it. Argo forgets that at promotion.
type entry struct {
	Image    string `json:"image"`    // that was released
	LastGood string `json:"lastGood"` // pod template hash that was stable then
}

const (
	markAnnotation   = "tidegate.io/rolled-back"
	ledgerAnnotation = "tidegate.io/last-good"

	maxLeft = 20 // an annotation must not grow without end
)

// Mark returns the mark of the latest rollback, if there is one.
func (s *Snapshot) Mark() (Mark, bool) {
	var m Mark
	err := json.Unmarshal([]byte(s.rollout.Annotations[markAnnotation]), &m)
	return m, err == nil && m.To != ""
}

// ErrUnsettled says that the controller has not yet told which version the rollout's template is. It soon will, if it runs.
var ErrUnsettled = errors.New("the controller has not acted on the newest generation of the rollout: is it running?")

// LastGood is the pod template hash to go back to. Where the latest rollback's result still stands, or is on its way, that
// is where it went: a second rollback of the same incident must not swing back to what the first one left.
func (s *Snapshot) LastGood() (string, error) {
	st := s.rollout.Status
	mark, marked := s.Mark()
	if marked && s.goesBack(mark) {
		return mark.To, nil
	}
	if !s.settled() {
		if st.StableRS == "" || slices.Equal(s.Images(""), s.Images(st.CurrentPodHash)) {
			return "", ErrUnsettled
		}
		return st.StableRS, nil // a new image that the controller has not seen: stable is what serves
	}
	if st.StableRS == st.CurrentPodHash {
		if hash := s.ledger(); hash != "" {
			return hash, nil
		}
	}
	var candidates []rollback.Candidate
	for _, rs := range s.replicaSets {
		hash := rs.Labels[rov1.DefaultRolloutUniqueLabelKey]
		candidates = append(candidates, rollback.Candidate{
			Hash: hash, Revision: revision(rs),
			// The deadline of one that has no pods any more is long over.
			Kept:     rs.Annotations[rov1.DefaultReplicaSetScaleDownDeadlineAnnotationKey] != "" && rs.Status.Replicas > 0,
			Replicas: int(rs.Status.Replicas),
			// The way back skips analyses, but ends one that has begun, and its Job may have failed by then. That says nothing
			// about the version that was gone back to.
			Bad: hash != mark.To && s.FailedOn(hash) != nil || slices.ContainsFunc(mark.Left, func(l left) bool { return l.matches(rs) }),
		})
	}
	return rollback.LastGood(st.StableRS, st.CurrentPodHash, candidates)
}

// goesBack says that the rollout asks for what the rollback went to, and has arrived or still calls stable what was left.
func (s *Snapshot) goesBack(mark Mark) bool {
	if !s.onTarget(mark.To) {
		return false
	}
	stable := s.replicaSet(s.rollout.Status.StableRS)
	return stable != nil && (s.rollout.Status.StableRS == mark.To || slices.ContainsFunc(mark.Left, func(l left) bool { return l.matches(stable) }))
}

// ledger is the version that was stable before the one that runs now, where a release of Tidegate brought that in and
// the ReplicaSet is still there; else empty. The note knows the release by its image: where another version of the same image
// has come in since, and its pods are still warm, the note speaks of that one's predecessor.
func (s *Snapshot) ledger() string {
	var e entry
	if json.Unmarshal([]byte(s.rollout.Annotations[ledgerAnnotation]), &e) != nil || !slices.Contains(s.Images(""), e.Image) {
		return ""
	}
	current, before := s.rollout.Status.CurrentPodHash, s.replicaSet(e.LastGood)
	if before == nil || e.LastGood == current {
		return ""
	}
	for _, rs := range s.replicaSets {
		warm := rs.Status.Replicas > 0 && rs.Labels[rov1.DefaultRolloutUniqueLabelKey] != current
		if warm && revision(rs) > revision(before) && slices.Equal(images(rs.Spec.Template.Spec), s.Images("")) {
			return ""
		}
	}
	return e.LastGood
}

// leave adds the version that the rollout asks for to those that were left before, as far as they can still come back.
func (s *Snapshot) leave(mark Mark) Mark {
	now := left{Hash: mark.From, Images: s.Images(""), Revision: revision(s.rollout) + 1}
	if rs := s.replicaSet(mark.From); rs != nil {
		now.Images, now.Revision = nil, revision(rs)
	}
	mark.Left = []left{now}
	earlier, _ := s.Mark()
	for _, l := range earlier.Left {
		known := slices.ContainsFunc(s.replicaSets, l.matches)
		if known && len(mark.Left) < maxLeft && (l.Hash == "" || l.Hash != now.Hash) {
			mark.Left = append(mark.Left, l)
		}
	}
	return mark
}

// Images are those of the ReplicaSet with this hash, or of the rollout's template for the empty hash.
func (s *Snapshot) Images(hash string) []string {
	if hash == "" {
		return images(s.rollout.Spec.Template.Spec)
	}
	if rs := s.replicaSet(hash); rs != nil {
		return images(rs.Spec.Template.Spec)
	}
	return nil
}

func images(pod corev1.PodSpec) []string {
	var all []string
	for _, c := range pod.Containers {
		all = append(all, c.Image)
	}
	return all
}

// AskedHash is the hash of the version that the rollout asks for, or empty while the controller has not seen it.
func (s *Snapshot) AskedHash() string {
	if !s.settled() {
		return ""
	}
	return s.rollout.Status.CurrentPodHash
}

// State is the snapshot as a rollback to target sees it.
func (s *Snapshot) State(target string) rollback.State {
	st := s.rollout.Status
	state := rollback.State{
		Strategy: rollback.Canary, Target: target, Stable: st.StableRS, Current: st.CurrentPodHash,
		Settled: s.settled(), Aborted: st.Abort, Full: st.PromoteFull, Paused: s.rollout.Spec.Paused,
		OnTarget: s.onTarget(target), Window: s.inWindow(target),
	}
	if bg := s.rollout.Spec.Strategy.BlueGreen; bg != nil {
		state.Strategy = rollback.BlueGreen
		if svc := s.services[bg.ActiveService]; svc != nil {
			state.Active = svc.Spec.Selector[rov1.DefaultRolloutUniqueLabelKey]
		}
	} else if c := s.rollout.Spec.Strategy.Canary; c != nil {
		state.Routed = c.TrafficRouting != nil
	}
	rs := s.replicaSet(target)
	state.Warm = rs != nil && rs.Status.AvailableReplicas >= s.desired()
	state.Routes = len(s.misrouted(target)) == 0
	state.Traffic = state.Routes && rs != nil && rs.Status.AvailableReplicas > 0
	state.Restored = state.Traffic && st.CurrentPodHash == target && len(s.lacking()) == 0
	return state
}

// onTarget compares templates where the controller has not yet spoken: after a patch its hash is still the old one.
func (s *Snapshot) onTarget(target string) bool {
	if s.settled() {
		return s.rollout.Status.CurrentPodHash == target
	}
	rs := s.replicaSet(target)
	return rs != nil && equality.Semantic.DeepEqual(s.rollout.Spec.Template, cleanTemplate(rs))
}

// shortcut says why a release of image would pass no gate: the controller takes a version that is older than stable, within
// the rollback window or still warm from before a blue/green switch, for a rollback, and skips steps, pauses and analyses.
func (s *Snapshot) shortcut(container, image string) string {
	stable := s.replicaSet(s.rollout.Status.StableRS)
	if stable == nil {
		return ""
	}
	asked := cleanTemplate(stable)
	for i, c := range asked.Spec.Containers {
		if c.Name == container {
			asked.Spec.Containers[i].Image = image
		}
	}
	for _, rs := range s.replicaSets {
		if rs == stable || !rs.CreationTimestamp.Before(&stable.CreationTimestamp) || !equality.Semantic.DeepEqual(asked, cleanTemplate(rs)) {
			continue
		}
		hash := rs.Labels[rov1.DefaultRolloutUniqueLabelKey]
		warm := s.rollout.Spec.Strategy.BlueGreen != nil && rs.Annotations[rov1.DefaultReplicaSetScaleDownDeadlineAnnotationKey] != ""
		if warm || s.inWindow(hash) {
			return fmt.Sprintf("Argo would take this image for a rollback and skip all of its gates: ReplicaSet %s has run it before; go back to it with 'tidegate rollback', or release it under a tag of its own", hash)
		}
	}
	return ""
}

// inWindow repeats the controller's own rule: the target is older than stable, with fewer ReplicaSets between the two
// than spec.rollbackWindow allows.
func (s *Snapshot) inWindow(target string) bool {
	window := s.rollout.Spec.RollbackWindow
	to, stable := s.replicaSet(target), s.replicaSet(s.rollout.Status.StableRS)
	if window == nil || to == nil || stable == nil || !to.CreationTimestamp.Before(&stable.CreationTimestamp) {
		return false
	}
	between := int32(0)
	for _, rs := range s.replicaSets {
		if rs.CreationTimestamp.Before(&stable.CreationTimestamp) && to.CreationTimestamp.Before(&rs.CreationTimestamp) {
			between++
		}
	}
	return between < window.Revisions
}

const ephemeralAnnotation = "rollout.argoproj.io/ephemeral-metadata"

// cleanTemplate is the pod template that the ReplicaSet was made from: without the controller's hash label and without
// the ephemeral metadata that it injects by role. Left in, they would make another hash, and so a cold start.
func cleanTemplate(rs *appsv1.ReplicaSet) corev1.PodTemplateSpec {
	template := *rs.Spec.Template.DeepCopy()
	delete(template.Labels, rov1.DefaultRolloutUniqueLabelKey)
	var injected rov1.PodTemplateMetadata
	if json.Unmarshal([]byte(rs.Annotations[ephemeralAnnotation]), &injected) == nil {
		for key := range injected.Labels {
			delete(template.Labels, key)
		}
		for key := range injected.Annotations {
			delete(template.Annotations, key)
		}
	}
	return template
}
