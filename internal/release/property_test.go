package release

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNothingWidensUnproven drives random observations through Decide and judges the history by rules that do not
// come from the code: an image is set in a region only after every earlier region passed, never once a region has
// failed, and a finished release asks for nothing.
func TestNothingWidensUnproven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := Plan{Rollout: "shop", Image: "v2", Timeout: time.Minute, Wait: 10 * time.Second,
			Waves: [][]string{{"a"}, {"b", "c"}, {"d"}}, Promote: rapid.Bool().Draw(t, "promote")}
		s, now := Start(plan), epoch
		troubled := false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			seen := map[string]Observation{}
			for _, name := range []string{"a", "b", "c", "d"} {
				seen[name] = anObservation(t)
			}
			next, actions := Decide(s, seen, now)
			for _, a := range actions {
				switch {
				case s.Outcome != "":
					t.Fatalf("a finished release asks for %v", a)
				case a.Kind == SetImage && troubled:
					t.Fatalf("%s starts after trouble: %+v", a.Region, s)
				case a.Kind == SetImage:
					mustFollow(t, next, a.Region)
				}
			}
			for _, r := range next.Regions {
				troubled = troubled || r.Phase == RollingBack || r.Phase == RolledBack || r.Phase == Held
			}
			s, now = next, now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds"))*time.Second)
		}
	})
}

func mustFollow(t *rapid.T, s State, region string) {
	wave := map[string]int{"a": 0, "b": 1, "c": 1, "d": 2}
	for _, r := range s.Regions {
		if wave[r.Name] < wave[region] && r.Phase != Passed {
			t.Fatalf("%s starts while %s is %s", region, r.Name, r.Phase)
		}
	}
}

func anObservation(t *rapid.T) Observation {
	o := Observation{
		Image:    rapid.SampledFrom([]string{"v1", "v2", "v2", "v2"}).Draw(t, "image"),
		Stable:   Version{Image: rapid.SampledFrom([]string{"v1", "v2"}).Draw(t, "stable")},
		Settled:  rapid.IntRange(0, 3).Draw(t, "settled") > 0,
		Complete: rapid.Bool().Draw(t, "complete"),
		Pause:    rapid.SampledFrom([]Pause{PauseNone, PauseNone, PauseManual}).Draw(t, "pause"),
	}
	switch rapid.IntRange(0, 30).Draw(t, "mishap") {
	case 0:
		o.Unreachable = "connection refused"
	case 1:
		o.Aborted = true
	case 2:
		o.Degraded = true
	case 3:
		o.Analyses = []Analysis{{Name: "run", Verdict: Failed}}
	case 4:
		o.Return = &Returned{}
	}
	return o
}
