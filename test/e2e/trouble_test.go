//go:build lab

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/test/rig"
)

// TestReleaseInTrouble has each region meet another trouble at the same time. It leaves the regions on different versions, so
// it comes last of those that share the lab.
func TestReleaseInTrouble(t *testing.T) {
	for region, trouble := range map[string]func(t *testing.T, region string){
		"us-west":    func(t *testing.T, region string) { interrupted(t, region, syscall.SIGINT) },
		"us-east":    func(t *testing.T, region string) { interrupted(t, region, syscall.SIGKILL) },
		"eu-west":    overAnAbortedOne,
		"eu-central": twoOperatorsThenAnOldVersion,
	} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			trouble(t, region)
		})
	}
}

// interrupted ends a release at its first step. The same command takes it up again.
func interrupted(t *testing.T, region string, signal syscall.Signal) {
	img := rig.NewImage(q2q)
	args := []string{"rollout", q2q, img, "--order", region, "--timeout", "180"}
	first := fleet.Begin(t, args...)
	fleet.Until(t, region, q2q, "the first step", time.Minute, atTenPercent(img))
	first.Signal(t, signal)
	var result rolloutResult
	if signal == syscall.SIGKILL {
		first.End(t, nil)
	} else if out := first.End(t, &result); out.Code != 130 || result.Outcome != "interrupted" {
		t.Errorf("exit code %d, outcome %q, want 130 and interrupted\n%s", out.Code, result.Outcome, out.Stderr)
	}
	if out := fleet.Tidegate(t, &result, args...); out.Code != 0 || result.Outcome != "completed" {
		t.Errorf("run again: exit code %d, outcome %q, want 0 and completed\n%s", out.Code, result.Outcome, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), region, q2q, img); err != nil {
		t.Error(err)
	}
}

func atTenPercent(img string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		return rig.ImageIn(u, "spec", "template", "spec") == img && rig.Settled(u) &&
			rig.Num(u, "status", "currentStepIndex") == 1 && rig.Num(u, "status", "canary", "weights", "canary", "weight") == 10
	}
}

// overAnAbortedOne releases a good version where a bad one was aborted in a pause and left so. For a moment the status then
// speaks of both: the new generation, and the abort of the version before.
func overAnAbortedOne(t *testing.T, region string) {
	bad, good := rig.NewImage(q2q), rig.NewImage(q2q)
	if err := fleet.SetImage(t.Context(), region, q2q, bad); err != nil {
		t.Fatal(err)
	}
	fleet.Until(t, region, q2q, "the first step", time.Minute, atTenPercent(bad))
	if err := fleet.Patch(t.Context(), region, q2q, `{"status":{"abort":true}}`, "status"); err != nil {
		t.Fatal(err)
	}
	fleet.Until(t, region, q2q, "the end of the abort", time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Str(u, "status", "phase") == "Degraded"
	})
	var result rolloutResult
	if out := fleet.Tidegate(t, &result, "rollout", q2q, good, "--order", region, "--timeout", "180"); out.Code != 0 {
		t.Errorf("exit code %d, outcome %q\n%s", out.Code, result.Outcome, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), region, q2q, good); err != nil {
		t.Error(err)
	}
}

// twoOperatorsThenAnOldVersion rolls back from two terminals at once. Then, a version later, it releases again what was rolled
// back: Argo would let it through without a gate.
func twoOperatorsThenAnOldVersion(t *testing.T, region string) {
	u, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	old, img, next := rig.ImageIn(u, "spec", "template", "spec"), rig.NewImage(q2q), rig.NewImage(q2q)
	if err := promoteFully(t.Context(), fleet, region, q2q, img); err != nil {
		t.Fatal(err)
	}
	one := fleet.Begin(t, "rollback", q2q, "the first operator", "--context", "k8s-"+region)
	two := fleet.Begin(t, "rollback", q2q, "the second operator", "--context", "k8s-"+region)
	for _, operator := range []*rig.Command{one, two} {
		var result rollbackResult
		if out := operator.End(t, &result); out.Code != 0 || result.Outcome != "rolled-back" {
			t.Errorf("exit code %d, outcome %q\n%s", out.Code, result.Outcome, out.Stderr)
		}
	}
	if err := fleet.ServesOnly(t.Context(), region, q2q, old); err != nil {
		t.Error(err)
	}
	if err := promoteFully(t.Context(), fleet, region, q2q, next); err != nil {
		t.Fatal(err)
	}
	var result rolloutResult
	out := fleet.Tidegate(t, &result, "rollout", q2q, img, "--order", region, "--timeout", "60")
	if out.Code != 4 || !strings.Contains(result.Regions[0].Why, "take this image for a rollback") {
		t.Errorf("exit code %d, want 4: %+v\n%s", out.Code, result.Regions, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), region, q2q, next); err != nil {
		t.Error(err)
	}
}
