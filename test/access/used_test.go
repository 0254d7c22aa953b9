//go:build lab

package access

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/test/rig"
)

// result is what these tests read of the JSON of 'tidegate rollout' and 'tidegate rollback'.
type result struct {
	Outcome string
	Regions []struct {
		Why, Error string
		Steps      []string
		Served     *struct{ Requests int }
	}
}

func TestReleaserHoldsWhatAReleaseNeedsAndNoMore(t *testing.T) {
	rec := newRecorder(t)
	releaser := as(t, home, "tidegate-releaser", rec)
	release := func(rollout, img string, more ...string) (result, outcome) {
		var r result
		args := append([]string{"rollout", rollout, img, "--order", region, "--analysis-wait", "0", "--timeout", "180"}, more...)
		return r, releaser.tidegate(t, &r, args...)
	}
	old := fleet.CurrentImage(t, region, q2q)
	bad := rig.NewImage(q2q)
	fleet.Behave(t, bad, image.Behaviour{Errors: 0.2})
	r, out := release(q2q, bad)
	if out.code != 3 || r.Outcome != "rolled-back" {
		t.Fatalf("a bad release: exit code %d, outcome %q, want 3 and rolled-back\n%s", out.code, r.Outcome, out.stderr)
	}
	if served := r.Regions[0].Served; served == nil || served.Requests == 0 {
		t.Errorf("what the bad version served was not counted: %+v", r.Regions[0])
	}
	wholeOn(t, q2q, old)
	for _, rollout := range []string{q2q, gateway} {
		if r, out := release(rollout, rig.NewImage(rollout), "--promote"); out.code != 0 || r.Outcome != "completed" {
			t.Fatalf("a good release of %s: exit code %d, outcome %q\n%s", rollout, out.code, r.Outcome, out.stderr)
		}
	}
	rec.check(t, releaser.granted(t))
}

func TestEmergencyHoldsWhatARollbackNeedsAndNoMore(t *testing.T) {
	rec := newRecorder(t)
	emergency := as(t, home, "tidegate-emergency", rec)
	for name, state := range map[string]struct {
		rollout string
		reach   func(t *testing.T, old, img string)
	}{
		"canary, mid-steps":    {q2q, func(t *testing.T, _, img string) { midSteps(t, img) }},
		"blue/green, promoted": {gateway, func(t *testing.T, _, img string) { promoted(t, gateway, img) }},
		"canary, promoted, old pods gone and slow to return": {q2q, func(t *testing.T, old, img string) {
			cold(t, img)
			slowUntil(t, old, rec.next(request{"get", "argoproj.io", "rollouts", namespace, q2q}))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			old, img := fleet.CurrentImage(t, region, state.rollout), rig.NewImage(state.rollout)
			state.reach(t, old, img)
			var r result
			out := emergency.tidegate(t, &r, "rollback", state.rollout, "test: "+name, "--context", "k8s-"+region)
			if out.code != 0 || r.Outcome != "rolled-back" {
				t.Fatalf("exit code %d, outcome %q\n%s\n%s", out.code, r.Outcome, out.stdout, out.stderr)
			}
			wholeOn(t, state.rollout, old)
		})
	}
	rec.check(t, emergency.granted(t))
}

// midSteps brings the canary to its first pause.
func midSteps(t *testing.T, img string) {
	t.Helper()
	set(t, q2q, img)
	fleet.Until(t, region, q2q, "the first weight", time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Settled(u) && rig.Num(u, "status", "canary", "weights", "canary", "weight") > 0
	})
}

// promoted takes an image past its gates, as an operator in a hurry would.
func promoted(t *testing.T, rollout, img string) {
	t.Helper()
	set(t, rollout, img)
	fleet.Until(t, region, rollout, "the controller to see "+img, time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Settled(u) && rig.ImageIn(u, "spec", "template", "spec") == img &&
			rig.Str(u, "status", "stableRS") != rig.Str(u, "status", "currentPodHash")
	})
	if err := fleet.Patch(t.Context(), region, rollout, `{"status":{"promoteFull":true}}`, "status"); err != nil {
		t.Fatal(err)
	}
	wholeOn(t, rollout, img)
}

func set(t *testing.T, rollout, img string) {
	t.Helper()
	if err := fleet.SetImage(t.Context(), region, rollout, img); err != nil {
		t.Fatal(err)
	}
}

// cold promotes an image and waits until the old pods are gone.
func cold(t *testing.T, img string) {
	t.Helper()
	u, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	delay := rig.Num(u, "spec", "strategy", "canary", "scaleDownDelaySeconds")
	const patch = `{"spec":{"strategy":{"canary":{"scaleDownDelaySeconds":%d}}}}`
	if err := fleet.Patch(t.Context(), region, q2q, fmt.Sprintf(patch, 1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Patch(context.Background(), region, q2q, fmt.Sprintf(patch, delay)); err != nil {
			t.Error(err)
		}
	})
	promoted(t, q2q, img)
	want := rig.Num(u, "spec", "replicas")
	fleet.Until(t, region, q2q, "the old pods to go", time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.Num(u, "status", "replicas") == want && rig.Num(u, "status", "availableReplicas") == want
	})
}

// slowUntil keeps new pods of an image from getting ready until the pulse was seen, which asks for the Rollout every five
// seconds: most ways back are over before the first.
func slowUntil(t *testing.T, img string, pulse <-chan struct{}) {
	t.Helper()
	fleet.Behave(t, img, image.Behaviour{SlowStart: time.Hour})
	ctx := t.Context()
	healed := make(chan error, 1)
	go func() {
		select {
		case <-pulse:
		case <-ctx.Done():
		}
		healed <- fleet.Lab.SetImage(context.Background(), "", img, image.Behaviour{})
	}()
	t.Cleanup(func() {
		if err := <-healed; err != nil {
			t.Error(err)
		}
	})
}

// looks are what a viewer types, in the words of docs/kubectl.md. POD and RUN stand for names that the test finds out.
var looks = []string{
	"kubectl argo rollouts list rollouts",
	"kubectl argo rollouts get rollout teei-q2q-ai --watch --timeout-seconds 3",
	"kubectl argo rollouts status teei-q2q-ai --watch=false",
	"kubectl get rollout teei-q2q-ai -o yaml",
	"kubectl get analysisrun -l rollout=teei-q2q-ai",
	"kubectl get RUN -o yaml",
	"kubectl get analysistemplates,services,virtualservices,replicasets,pods",
	"kubectl get events --field-selector involvedObject.name=teei-q2q-ai",
	"kubectl logs POD",
}

func TestViewerHoldsWhatLookingNeedsAndNoMore(t *testing.T) {
	old := fleet.CurrentImage(t, region, q2q)
	midSteps(t, rig.NewImage(q2q)) // so that there is something to see
	defer func() {
		if _, err := fleet.Shell(t.Context(), "tidegate rollback "+q2q+" 'test: seen' --context k8s-"+region); err != nil {
			t.Error(err)
		}
		wholeOn(t, q2q, old)
	}()
	rec := newRecorder(t)
	viewer := as(t, home, "tidegate-viewer", rec)
	first := func(args ...string) string {
		name, _, _ := strings.Cut(viewer.must(t, "kubectl", append(args, "-o", "name")...), "\n")
		if name == "" {
			t.Fatalf("%v shows nothing", args)
		}
		return name
	}
	names := strings.NewReplacer("POD", first("get", "pods", "-l", "app="+q2q), "RUN", first("get", "analysisrun", "-l", "rollout="+q2q))
	for _, look := range looks {
		args := strings.Fields(names.Replace(look))
		out := viewer.run(t, args[0], args[1:]...)
		if out.code != 0 || out.stdout == "" || strings.Contains(strings.ToLower(out.stderr), "forbidden") {
			t.Errorf("$ %s\nexit code %d\n%s%s", look, out.code, out.stdout, out.stderr)
		}
	}
	rec.check(t, viewer.granted(t))
}
