//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/test/rig"
)

// rollbackResult is what the tests read of 'tidegate rollback -o json'.
type rollbackResult struct {
	Outcome string
	Regions []struct {
		Region                 string
		From, To               struct{ Images []string }
		Steps                  []string
		Error                  string
		TrafficRestoredSeconds *float64
		PodsRestoredSeconds    *float64
	}
}

// states are the ones a rollback must find its way back from. Each reaches its state in one region, from a rollout that
// is whole on its old version.
var states = []struct {
	name    string
	rollout string
	reach   func(ctx context.Context, f *rig.Fleet, region, img string) error
}{
	{"canary, mid-steps", q2q, midSteps},
	{"canary, mid-steps, paused by a user", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := midSteps(ctx, f, region, img); err != nil {
			return err
		}
		return f.Patch(ctx, region, q2q, `{"spec":{"paused":true}}`)
	}},
	{"canary, mid-steps, promote full pressed", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := midSteps(ctx, f, region, img); err != nil {
			return err
		}
		return f.Patch(ctx, region, q2q, `{"status":{"promoteFull":true}}`, "status")
	}},
	{"canary, the image was set this moment", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		return f.SetImage(ctx, region, q2q, img)
	}},
	{"canary, promoted, old pods warm", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		return promoteFully(ctx, f, region, q2q, img)
	}},
	{"canary, promoted, old pods warm, no rollback window", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := f.Patch(ctx, region, q2q, `{"spec":{"rollbackWindow":null}}`); err != nil {
			return err
		}
		return promoteFully(ctx, f, region, q2q, img)
	}},
	{"canary, promoted, old pods gone", q2q, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := f.Patch(ctx, region, q2q, `{"spec":{"rollbackWindow":{"revisions":3}}}`); err != nil {
			return err
		}
		if err := promoteFully(ctx, f, region, q2q, img); err != nil {
			return err
		}
		return oldPodsGone(ctx, f, region, q2q)
	}},
	{"blue/green, before the switch", gateway, preview},
	{"blue/green, after the switch, analysis running", gateway, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := preview(ctx, f, region, img); err != nil {
			return err
		}
		if err := f.Patch(ctx, region, gateway, `{"status":{"pauseConditions":null}}`, "status"); err != nil {
			return err
		}
		return f.Follow(ctx, region, rig.RolloutsGVR, gateway, time.Minute, func(u *unstructured.Unstructured) bool {
			current := rig.Str(u, "status", "currentPodHash")
			return rig.Str(u, "status", "blueGreen", "activeSelector") == current && rig.Str(u, "status", "stableRS") != current
		})
	}},
	{"blue/green, promoted, old pods warm", gateway, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		return promoteFully(ctx, f, region, gateway, img)
	}},
	{"blue/green, promoted, old pods gone", gateway, func(ctx context.Context, f *rig.Fleet, region, img string) error {
		if err := promoteFully(ctx, f, region, gateway, img); err != nil {
			return err
		}
		return oldPodsGone(ctx, f, region, gateway)
	}},
}

// midSteps brings a canary to its first pause.
func midSteps(ctx context.Context, f *rig.Fleet, region, img string) error {
	if err := f.SetImage(ctx, region, q2q, img); err != nil {
		return err
	}
	return f.Follow(ctx, region, rig.RolloutsGVR, q2q, time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Settled(u) && rig.Num(u, "status", "canary", "weights", "canary", "weight") == 10 && rig.Num(u, "status", "currentStepIndex") == 1
	})
}

// preview brings a blue/green rollout to its pause for promotion.
func preview(ctx context.Context, f *rig.Fleet, region, img string) error {
	if err := f.SetImage(ctx, region, gateway, img); err != nil {
		return err
	}
	return f.Follow(ctx, region, rig.RolloutsGVR, gateway, time.Minute, func(u *unstructured.Unstructured) bool {
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "pauseConditions")
		return rig.Settled(u) && len(conditions) > 0 && rig.ImageIn(u, "spec", "template", "spec") == img
	})
}

// promoteFully takes an image past its gates, as an operator in a hurry would.
func promoteFully(ctx context.Context, f *rig.Fleet, region, rollout, img string) error {
	if err := f.SetImage(ctx, region, rollout, img); err != nil {
		return err
	}
	seen := func(u *unstructured.Unstructured) bool {
		return rig.Settled(u) && rig.ImageIn(u, "spec", "template", "spec") == img && rig.Str(u, "status", "stableRS") != rig.Str(u, "status", "currentPodHash")
	}
	if err := f.Follow(ctx, region, rig.RolloutsGVR, rollout, time.Minute, seen); err != nil {
		return err
	}
	if err := f.Patch(ctx, region, rollout, `{"status":{"promoteFull":true}}`, "status"); err != nil {
		return err
	}
	return f.Follow(ctx, region, rig.RolloutsGVR, rollout, time.Minute, rig.Promoted(img))
}

// oldPodsGone waits until the scale-down delay has taken all pods but the current ones.
func oldPodsGone(ctx context.Context, f *rig.Fleet, region, rollout string) error {
	u, err := f.Get(ctx, region, rig.RolloutsGVR, rollout)
	if err != nil {
		return err
	}
	want := rig.Num(u, "spec", "replicas")
	return f.Follow(ctx, region, rig.RolloutsGVR, rollout, time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Num(u, "status", "replicas") == want && rig.Num(u, "status", "availableReplicas") == want
	})
}

// promised is how long a rollback may take, in seconds, even on a busy machine.
const promised = 30

func TestRollbackFindsItsWayFromEveryState(t *testing.T) {
	// Argo throws the oldest ReplicaSets away by their creation, and the good version here is older than all the others.
	rig.Everywhere(t, order, func(region string) error {
		const keep = `{"spec":{"revisionHistoryLimit":50}}`
		return errors.Join(fleet.Patch(t.Context(), region, q2q, keep), fleet.Patch(t.Context(), region, gateway, keep))
	})
	var table strings.Builder
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			old, img := fleet.CurrentImage(t, "us-west", state.rollout), rig.NewImage(state.rollout)
			rig.Everywhere(t, order, func(region string) error { return state.reach(t.Context(), fleet, region, img) })
			unharmed := fleet.NoneFailed(t, order, state.rollout)
			var result rollbackResult
			out := fleet.Tidegate(t, &result, "rollback", state.rollout, "test: "+state.name)
			if out.Code != 0 || result.Outcome != "rolled-back" {
				t.Fatalf("exit code %d, outcome %q\n%s\n%s", out.Code, result.Outcome, out.Stdout, out.Stderr)
			}
			rig.Everywhere(t, order, func(region string) error { return fleet.ServesOnly(t.Context(), region, state.rollout, old) })
			rig.Everywhere(t, order, func(region string) error {
				return fleet.Follow(t.Context(), region, rig.RolloutsGVR, state.rollout, time.Second, rig.Promoted(old))
			})
			unharmed()
			var traffic, pods []float64
			for _, r := range result.Regions {
				if r.TrafficRestoredSeconds == nil || r.PodsRestoredSeconds == nil || !slices.Equal(r.To.Images, []string{old}) {
					t.Fatalf("incomplete result: %+v", r)
				}
				traffic, pods = append(traffic, *r.TrafficRestoredSeconds), append(pods, *r.PodsRestoredSeconds)
			}
			if slowest := max(slices.Max(traffic), slices.Max(pods)); slowest > promised {
				t.Errorf("whole after %.1f s, want %d s at the most", slowest, promised)
			}
			fmt.Fprintf(&table, "%-52s %6.2f %6.2f   %s\n", state.name, slices.Max(traffic), slices.Max(pods), strings.Join(result.Regions[0].Steps, ", "))
		})
	}
	t.Logf("four regions at once, seconds of the slowest\n%-52s %6s %6s   steps\n%s", "state", "route", "pods", table.String())
}

func TestSecondRollbackOfTheSameIncidentStays(t *testing.T) {
	old, img := fleet.CurrentImage(t, "us-west", gateway), rig.NewImage(gateway)
	rig.Everywhere(t, order, func(region string) error { return promoteFully(t.Context(), fleet, region, gateway, img) })
	for _, operator := range []string{"first", "second"} {
		var result rollbackResult
		if out := fleet.Tidegate(t, &result, "rollback", gateway, operator+" operator"); out.Code != 0 {
			t.Fatalf("%s: exit code %d\n%s", operator, out.Code, out.Stderr)
		}
		rig.Everywhere(t, order, func(region string) error { return fleet.ServesOnly(t.Context(), region, gateway, old) })
	}
}
