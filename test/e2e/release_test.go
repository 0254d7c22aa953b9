//go:build lab

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/test/rig"
)

// gateWindow is the window of the success-rate gate in seconds, at the lab's speed.
const gateWindow = 4

// rolloutResult is what the tests read of 'tidegate rollout -o json'.
type rolloutResult struct {
	Outcome string
	Regions []struct {
		Region, Phase, From, To, Why string
		FailedAnalysis               *struct {
			Metrics []struct {
				Name, Verdict, Value, Query string
				Failures                    int
			}
		}
		Served                 *struct{ Requests, Errors int }
		TrafficRestoredSeconds *float64
		PodsRestoredSeconds    *float64
	}
}

// diary is when each region was first seen asked for an image, and promoted to it.
type diary struct {
	mu              sync.Mutex
	asked, promoted map[string]time.Time
	full            chan struct{} // closed once every region was seen promoted
}

// watchRelease keeps a diary of every region until the test ends.
func watchRelease(t *testing.T, f *rig.Fleet, rollout, img string) *diary {
	d := &diary{asked: map[string]time.Time{}, promoted: map[string]time.Time{}, full: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, region := range order {
		running.Go(func() {
			_ = f.Follow(ctx, region, rig.RolloutsGVR, rollout, time.Hour, func(u *unstructured.Unstructured) bool {
				d.mu.Lock()
				defer d.mu.Unlock()
				if rig.ImageIn(u, "spec", "template", "spec") == img && d.asked[region].IsZero() {
					d.asked[region] = time.Now()
				}
				done := rig.Promoted(img)(u)
				if done {
					d.promoted[region] = time.Now()
				}
				return done
			})
		})
	}
	go func() {
		running.Wait()
		close(d.full)
	}()
	return d
}

// inOrder holds the diary against the promise: no region is asked before its predecessor was promoted.
func (d *diary) inOrder(t *testing.T) {
	t.Helper()
	select { // the command may hear of the last promotion before the diary does
	case <-d.full:
	case <-time.After(10 * time.Second):
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, region := range order {
		if d.asked[region].IsZero() || d.promoted[region].IsZero() {
			t.Errorf("%s never got the image (asked %v, promoted %v)", region, d.asked[region], d.promoted[region])
		} else if i > 0 && !d.asked[region].After(d.promoted[order[i-1]]) {
			t.Errorf("%s was asked at %v, before %s was promoted at %v", region, d.asked[region], order[i-1], d.promoted[order[i-1]])
		}
	}
}

// shareAtTenPercent is the share of requests that img got in a region while the route said 10 %, by the mesh's count.
func shareAtTenPercent(t *testing.T, f *rig.Fleet, region, img string) <-chan float64 {
	share := make(chan float64, 1)
	var from rig.Requests
	began := false
	go func() {
		defer close(share)
		_ = f.Follow(t.Context(), region, rig.RoutesGVR, q2q+"-vsvc", 5*time.Minute, func(u *unstructured.Unstructured) bool {
			now, err := f.Requests(t.Context(), region, q2q, img)
			ten := strings.Contains(fmt.Sprint(u.Object["spec"]), "weight:10]")
			switch {
			case err != nil:
				return true
			case ten && !began:
				from, began = now, true
			case !ten && began:
				if total := now.Total - from.Total; total >= 100 {
					share <- float64(now.Image-from.Image) / float64(total)
				}
				return true
			}
			return false
		})
	}()
	return share
}

// wantTenPercent holds what shareAtTenPercent counted against the weight.
func wantTenPercent(t *testing.T, share <-chan float64) {
	t.Helper()
	switch got, ok := <-share; {
	case !ok:
		t.Error("too few requests were counted at 10 %")
	case got < 0.08 || got > 0.12:
		t.Errorf("the new version got %.1f %% of the requests while the weight said 10 %%", got*100)
	default:
		t.Logf("at weight 10 the new version got %.2f %% of the requests", got*100)
	}
}

func TestBadReleaseIsCaughtInTheFirstRegion(t *testing.T) {
	good, bad := fleet.CurrentImage(t, "us-west", q2q), rig.NewImage(q2q)
	fleet.Behave(t, bad, image.Behaviour{Errors: 0.05})
	var result rolloutResult
	out := fleet.Tidegate(t, &result, "rollout", q2q, bad, "--analysis-wait", "1", "--timeout", "180")
	if out.Code != 3 || result.Outcome != "rolled-back" {
		t.Fatalf("exit code %d, outcome %q, want 3 and rolled-back:\n%s", out.Code, result.Outcome, out.Stderr)
	}
	first := result.Regions[0]
	if first.Phase != "RolledBack" || first.To != good || first.TrafficRestoredSeconds == nil || first.PodsRestoredSeconds == nil {
		t.Errorf("first region: %+v", first)
	}
	if first.FailedAnalysis == nil || !failedMetric(first.FailedAnalysis.Metrics) {
		t.Errorf("the result does not name the measurement that failed: %+v", first.FailedAnalysis)
	}
	if first.Served == nil || first.Served.Requests == 0 || first.Served.Errors == 0 {
		t.Errorf("the result does not count what the bad version served: %+v", first.Served)
	} else {
		t.Logf("the bad version served %d requests, %d of them failed", first.Served.Requests, first.Served.Errors)
	}
	for _, r := range result.Regions[1:] {
		if r.Phase != "Waiting" {
			t.Errorf("%s is %s, want Waiting", r.Region, r.Phase)
		}
	}
	rig.Everywhere(t, order[1:], func(region string) error { return neverSaw(t.Context(), fleet, region, bad) })
	rig.Everywhere(t, order, func(region string) error { return fleet.ServesOnly(t.Context(), region, q2q, good) })

	// Released again, the image has the same hash, and the failed run of the first attempt is still there. It must not
	// speak: this time the image is healthy. What the first attempt did is still within the gate's window for a moment,
	// and would be held against the same hash with every right; also one failure alone, which no rate shows.
	fleet.Behave(t, bad, image.Behaviour{})
	fleet.UntilForgotten(t, "us-west", fmt.Sprintf(`present_over_time(http_requests_total{app=%q, status="500"}[%ds])`, q2q, gateWindow))
	out = fleet.Tidegate(t, &result, "rollout", q2q, bad, "--order", "us-west", "--timeout", "180")
	if again := result.Regions[0]; out.Code != 0 || again.Phase != "Passed" || again.From != good || again.To != bad {
		t.Errorf("released again, mended: exit code %d, %+v, want Passed from %s to %s\n%s", out.Code, again, good, bad, out.Stderr)
	}
	out = fleet.Tidegate(t, &struct{}{}, "rollback", q2q, "back to where the other regions are", "--context", "k8s-us-west")
	if out.Code != 0 {
		t.Errorf("rolled back: exit code %d\n%s", out.Code, out.Stderr)
	}
}

// TestPromotedPastItsGatesIsHeld has a person press "promote full" in the middle of a canary: the controller calls the
// version healthy and stable, and no gate has proven it.
func TestPromotedPastItsGatesIsHeld(t *testing.T) {
	good, img := fleet.CurrentImage(t, "us-west", q2q), rig.NewImage(q2q)
	var result rolloutResult
	ended := make(chan rig.Outcome, 1)
	go func() {
		ended <- fleet.Tidegate(t, &result, "rollout", q2q, img, "--order", "us-west,us-east", "--analysis-wait", "0", "--timeout", "180")
	}()
	fleet.Until(t, "us-west", q2q, "the first step", time.Minute, func(u *unstructured.Unstructured) bool {
		return rig.ImageIn(u, "spec", "template", "spec") == img && rig.Settled(u) && rig.Num(u, "status", "canary", "weights", "canary", "weight") == 10
	})
	if err := fleet.Patch(t.Context(), "us-west", q2q, `{"status":{"promoteFull":true}}`, "status"); err != nil {
		t.Fatal(err)
	}
	if out := <-ended; out.Code != 4 || result.Outcome != "held" {
		t.Fatalf("exit code %d, outcome %q, want 4 and held:\n%s", out.Code, result.Outcome, out.Stderr)
	}
	if first := result.Regions[0]; first.Phase != "Held" || !strings.Contains(first.Why, "nothing proves it") {
		t.Errorf("first region: %+v", first)
	}
	out := fleet.Tidegate(t, &result, "rollout", q2q, img, "--order", "us-west,us-east", "--analysis-wait", "0", "--timeout", "180")
	if first := result.Regions[0]; out.Code != 4 || !strings.Contains(first.Why, "nothing proves it") {
		t.Errorf("run again: exit code %d, first region: %+v", out.Code, first)
	}
	if err := neverSaw(t.Context(), fleet, "us-east", img); err != nil {
		t.Error(err)
	}
	if out := fleet.Tidegate(t, &struct{}{}, "rollback", q2q, "nothing proves it", "--context", "k8s-us-west"); out.Code != 0 {
		t.Errorf("rolled back: exit code %d\n%s", out.Code, out.Stderr)
	}
	if err := fleet.ServesOnly(t.Context(), "us-west", q2q, good); err != nil {
		t.Error(err)
	}
}

func failedMetric(metrics []struct {
	Name, Verdict, Value, Query string
	Failures                    int
}) bool {
	for _, m := range metrics {
		if m.Verdict == "Failed" && m.Failures > 0 && m.Value != "" && m.Query != "" {
			return true
		}
	}
	return false
}

// neverSaw looks for any ReplicaSet of img.
func neverSaw(ctx context.Context, f *rig.Fleet, region, img string) error {
	sets, err := f.Clients[region].Resource(rig.ReplicasGVR).Namespace("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, rs := range sets.Items {
		if rig.ImageIn(&rs, "spec", "template", "spec") == img {
			return fmt.Errorf("%s has ReplicaSet %s of %s", region, rs.GetName(), img)
		}
	}
	return nil
}
