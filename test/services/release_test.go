//go:build lab

package services

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/test/rig"
)

// result is what the tests read of 'tidegate rollout -o json'.
type result struct {
	Outcome string
	Regions []struct {
		Region, Phase, Why string
		FailedAnalysis     *struct {
			Metrics []struct{ Name, Verdict string }
		}
	}
}

// patience is what a region may take, in seconds: the slowest service needs half of it.
const patience = "400"

// TestEachServiceIsReleasedAndProtected runs the six side by side, as they would be.
func TestEachServiceIsReleasedAndProtected(t *testing.T) {
	for _, s := range services() {
		t.Run(s.name, func(t *testing.T) {
			if s.looks() {
				rig.NeedBrowser(t)
			}
			t.Parallel()
			t.Run("good", func(t *testing.T) {
				t.Parallel()
				s.good(t, s)
			})
			t.Run("faults", func(t *testing.T) {
				t.Parallel()
				for _, f := range s.faults {
					t.Run(f.name, func(t *testing.T) { s.protects(t, f) })
				}
			})
		})
	}
}

// looks tells that a browser looks at the service before promotion, at good versions and at bad ones.
func (s service) looks() bool {
	return slices.ContainsFunc(s.faults, func(f fault) bool { return slices.Contains(f.caughtBy, "visual-regression") })
}

// protects releases the faulty version, and wants it caught by its gate and taken back.
func (s service) protects(t *testing.T, f fault) {
	old, img := fleet.CurrentImage(t, faultRegion, s.name), rig.NewImage(s.name)
	fleet.Behave(t, img, f.does)
	var r result
	out := fleet.Tidegate(t, &r, "rollout", s.name, img, "--order", faultRegion, "--timeout", patience, "--analysis-wait", "0", "--promote")
	if out.Code != 3 || r.Outcome != "rolled-back" {
		t.Fatalf("exit code %d, outcome %q, want 3 and rolled-back\n%s", out.Code, r.Outcome, out.Stderr)
	}
	if failed := r.failed(); !slices.ContainsFunc(failed, func(metric string) bool { return slices.Contains(f.caughtBy, metric) }) {
		t.Errorf("caught by %v, want one of %v\n%s", failed, f.caughtBy, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), faultRegion, s.name, old); err != nil {
		t.Error(err)
	}
	served, err := fleet.Requests(t.Context(), faultRegion, s.name, img)
	switch {
	case err != nil:
		t.Fatal(err)
	case f.unseen && served.Image > 0:
		t.Errorf("users had %d answers of a version that should not have passed its gate before promotion", served.Image)
	case !f.unseen && served.Image == 0:
		t.Error("no user ever met this version: what was it judged on?")
	}
}

// failed are the metrics that the result names as failed.
func (r result) failed() []string {
	var names []string
	if len(r.Regions) == 1 && r.Regions[0].FailedAnalysis != nil {
		for _, m := range r.Regions[0].FailedAnalysis.Metrics {
			if m.Verdict == "Failed" {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// release is a release under way.
type release struct {
	image string
	done  chan rig.Outcome
	r     result
	check func()
}

func (s service) begin(t *testing.T) *release {
	t.Helper()
	x := &release{image: rig.NewImage(s.name), done: make(chan rig.Outcome, 1), check: fleet.NoneFailed(t, []string{goodRegion}, s.name)}
	go func() {
		x.done <- fleet.Tidegate(t, &x.r, "rollout", s.name, x.image, "--order", goodRegion, "--timeout", patience, "--analysis-wait", "0")
	}()
	return x
}

// end waits for the release, and wants it whole, with no failed request on the way.
func (s service) end(t *testing.T, x *release) {
	t.Helper()
	if out := <-x.done; out.Code != 0 || x.r.Outcome != "completed" {
		t.Fatalf("exit code %d, outcome %q, want 0 and completed\n%s", out.Code, x.r.Outcome, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), goodRegion, s.name, x.image); err != nil {
		t.Error(err)
	}
	x.check()
}

// promotedByHand releases a version that must wait for somebody when all of its gates have passed.
func promotedByHand(t *testing.T, s service) {
	old, x := fleet.CurrentImage(t, goodRegion, s.name), s.begin(t)
	fleet.Until(t, goodRegion, s.name, "the pause before promotion", 5*time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.ImageIn(u, "spec", "template", "spec") == x.image && rig.Settled(u) && waitsForSomebody(u)
	})
	u, err := fleet.Get(t.Context(), goodRegion, rig.RolloutsGVR, s.name)
	if err != nil {
		t.Fatal(err)
	}
	if rig.Promoted(x.image)(u) {
		t.Fatal("it was promoted before anybody said so")
	}
	if rig.Str(u, "spec", "strategy", "blueGreen", "activeService") != "" {
		if err := fleet.ServesOnly(t.Context(), goodRegion, s.name, old); err != nil {
			t.Errorf("before promotion: %v", err)
		}
	}
	if _, err := fleet.Shell(t.Context(), "kubectl argo rollouts promote "+s.name); err != nil {
		t.Fatal(err)
	}
	s.end(t, x)
}

// waitsForSomebody holds when nothing but a promotion goes on: a blue/green whose tests have passed, a canary in the
// pause without end that is its last step.
func waitsForSomebody(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "pauseConditions")
	if rig.Str(u, "status", "phase") != "Paused" || len(conditions) == 0 {
		return false
	}
	reason, _ := conditions[0].(map[string]any)["reason"].(string)
	if steps, _, _ := unstructured.NestedSlice(u.Object, "spec", "strategy", "canary", "steps"); steps != nil {
		return reason == "CanaryPauseStep" && rig.Num(u, "status", "currentStepIndex") == int64(len(steps)-1)
	}
	return reason == "BlueGreenPause" && rig.Str(u, "status", "blueGreen", "prePromotionAnalysisRunStatus", "status") == "Successful"
}

// promotedByTheClock releases a version that is promoted by itself, but not before its time.
func promotedByTheClock(after time.Duration) func(*testing.T, service) {
	return func(t *testing.T, s service) {
		x := s.begin(t)
		var paused, switched time.Time
		fleet.Until(t, goodRegion, s.name, "promotion by the clock", 5*time.Minute, func(u *unstructured.Unstructured) bool {
			if rig.ImageIn(u, "spec", "template", "spec") != x.image || !rig.Settled(u) {
				return false
			}
			if paused.IsZero() && rig.Str(u, "status", "phase") == "Paused" {
				paused = time.Now()
			}
			if rig.Str(u, "status", "blueGreen", "activeSelector") == rig.Str(u, "status", "currentPodHash") {
				switched = time.Now()
			}
			return !switched.IsZero()
		})
		// Some seconds of grace: on a busy machine the pause is seen well after it has begun.
		if waited := switched.Sub(paused); paused.IsZero() || waited < after/rig.Speed-5*time.Second {
			t.Errorf("paused at %v and promoted at %v: want %s between them", paused, switched, after/rig.Speed)
		}
		s.end(t, x)
	}
}

// promotedByItself releases a version that goes through these weights and on to promotion without anybody's word.
func promotedByItself(weights ...int64) func(*testing.T, service) {
	return func(t *testing.T, s service) {
		x := s.begin(t)
		var seen []int64
		fleet.Until(t, goodRegion, s.name, "promotion", 5*time.Minute, func(u *unstructured.Unstructured) bool {
			weight := rig.Num(u, "status", "canary", "weights", "canary", "weight")
			if rig.ImageIn(u, "spec", "template", "spec") == x.image && weight > 0 && weight < 100 && !slices.Contains(seen, weight) {
				seen = append(seen, weight)
			}
			return rig.Promoted(x.image)(u)
		})
		if !slices.Equal(seen, weights) {
			t.Errorf("weights %v, want %v", seen, weights)
		}
		s.end(t, x)
	}
}
