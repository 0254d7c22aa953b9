//go:build lab

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

// TestRegionKilledInTheMiddle has a lab of its own, for it leaves a region dead.
func TestRegionKilledInTheMiddle(t *testing.T) {
	t.Parallel() // it waits two minutes for a region that is dead
	fleet.Quiet(t)
	f := fleet.Another(t, lab.Options{Regions: []string{"us-west", "us-east"}, Services: []string{gateway, q2q}})
	old, img := f.CurrentImage(t, "us-west", q2q), rig.NewImage(q2q)
	// The second region gets the image by hand, so that the rollback below has something to do there.
	rig.Everywhere(t, []string{"us-east"}, func(region string) error { return promoteFully(t.Context(), f, region, gateway, rig.NewImage(gateway)) })
	oldGateway := f.CurrentImage(t, "us-west", gateway)

	var result rolloutResult
	ended := make(chan rig.Outcome, 1)
	go func() {
		ended <- f.Tidegate(t, &result, "rollout", q2q, img, "--order", "us-west,us-east", "--timeout", "10") // and the thirty seconds of its own pauses, and the rollback's time
	}()
	f.Until(t, "us-west", q2q, "the first step", time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.ImageIn(u, "spec", "template", "spec") == img && rig.Num(u, "status", "canary", "weights", "canary", "weight") == 10
	})
	kill(t, f, "us-west", "kube-apiserver")

	t.Run("a dead region delays no live one's rollback", func(t *testing.T) {
		var back rollbackResult
		out := f.Tidegate(t, &back, "rollback", gateway, "test", "--regions", "us-west,us-east", "--timeout", "10")
		if out.Code != 4 || back.Outcome != "unverified" {
			t.Errorf("exit code %d, outcome %q; want 4 and unverified", out.Code, back.Outcome)
		}
		if west := back.Regions[0]; !strings.Contains(west.Error, "not verified within 10s") || west.PodsRestoredSeconds != nil {
			t.Errorf("the dead region claims %+v", west)
		}
		if east := back.Regions[1]; east.Error != "" || east.PodsRestoredSeconds == nil || *east.PodsRestoredSeconds > 9 {
			t.Errorf("the live region waited for the dead one: %+v", east)
		}
		if err := f.ServesOnly(t.Context(), "us-east", gateway, oldGateway); err != nil {
			t.Error(err)
		}
	})

	out := <-ended
	if out.Code != 4 || result.Outcome != "held" {
		t.Fatalf("exit code %d, outcome %q; want 4 and held\n%s", out.Code, result.Outcome, out.Stderr)
	}
	if west := result.Regions[0]; west.Phase != "Held" || !strings.Contains(west.Why, "unreachable until its deadline") {
		t.Errorf("the killed region: %+v", west)
	}
	if east := result.Regions[1]; east.Phase != "Waiting" {
		t.Errorf("the next region is %s, want Waiting", east.Phase)
	}
	if err := neverSaw(t.Context(), f, "us-east", img); err != nil {
		t.Error(err)
	}
	if err := f.ServesOnly(t.Context(), "us-east", q2q, old); err != nil {
		t.Error(err)
	}
}

// kill ends one component of a region for good.
func kill(t *testing.T, f *rig.Fleet, region, component string) {
	t.Helper()
	state, err := f.Lab.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := state.Region(region)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Component(component)
	if err != nil {
		t.Fatal(err)
	}
	if c.Record == nil || !c.Record.Ours() {
		t.Fatalf("%s of %s does not run: %+v", component, region, c)
	}
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
