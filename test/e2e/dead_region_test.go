//go:build lab

package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestRegionKilledInTheMiddle has a lab of its own, for it leaves a region dead.
func TestRegionKilledInTheMiddle(t *testing.T) {
	t.Parallel() // it mostly waits
	fleet.quiet(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the lab did not come up within two minutes"))
	defer cancel()
	f, err := start(ctx, fleet.binary, filepath.Join(t.TempDir(), "lab"), []string{"us-west", "us-east"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	old, img := f.currentImage(t, q2q), newImage(q2q)
	// The second region gets the image by hand, so that the rollback below has something to do there.
	everywhere(t, []string{"us-east"}, func(region string) error { return promoteFully(t.Context(), f, region, gateway, newImage(gateway)) })
	oldGateway := f.currentImage(t, gateway)

	var result rolloutResult
	ended := make(chan outcome, 1)
	go func() {
		ended <- f.tidegate(t, &result, "rollout", q2q, img, "--order", "us-west,us-east", "--timeout", "40")
	}()
	f.until(t, "us-west", q2q, "the first step", time.Minute, func(u *unstructured.Unstructured) bool {
		return imageIn(u, "spec", "template", "spec") == img && num(u, "status", "canary", "weights", "canary", "weight") == 10
	})
	f.kill(t, "us-west", "kube-apiserver")

	t.Run("a dead region delays no live one's rollback", func(t *testing.T) {
		var back rollbackResult
		out := f.tidegate(t, &back, "rollback", gateway, "test", "--regions", "us-west,us-east", "--timeout", "10")
		if out.code != 4 || back.Outcome != "unverified" {
			t.Errorf("exit code %d, outcome %q; want 4 and unverified", out.code, back.Outcome)
		}
		if west := back.Regions[0]; !strings.Contains(west.Error, "not verified within 10s") || west.PodsRestoredSeconds != nil {
			t.Errorf("the dead region claims %+v", west)
		}
		if east := back.Regions[1]; east.Error != "" || east.PodsRestoredSeconds == nil || *east.PodsRestoredSeconds > 9 {
			t.Errorf("the live region waited for the dead one: %+v", east)
		}
		if err := f.servesOnly(t.Context(), "us-east", gateway, oldGateway); err != nil {
			t.Error(err)
		}
	})

	out := <-ended
	if out.code != 4 || result.Outcome != "held" {
		t.Fatalf("exit code %d, outcome %q; want 4 and held\n%s", out.code, result.Outcome, out.stderr)
	}
	if west := result.Regions[0]; west.Phase != "Held" || !strings.Contains(west.Why, "unreachable until its deadline") {
		t.Errorf("the killed region: %+v", west)
	}
	if east := result.Regions[1]; east.Phase != "Waiting" {
		t.Errorf("the next region is %s, want Waiting", east.Phase)
	}
	if err := f.neverSaw(t.Context(), "us-east", img); err != nil {
		t.Error(err)
	}
	if err := f.servesOnly(t.Context(), "us-east", q2q, old); err != nil {
		t.Error(err)
	}
}

// kill ends one component of a region for good.
func (f *testFleet) kill(t *testing.T, region, component string) {
	t.Helper()
	state, err := f.lab.Status(t.Context())
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
