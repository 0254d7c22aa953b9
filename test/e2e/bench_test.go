//go:build lab

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

// byHand is how a team without Tidegate goes back: region by region, with the Rollouts plugin.
const byHand = `for region in us-west us-east eu-west eu-central; do
  "$PLUGIN" undo teei-q2q-ai --context k8s-$region
  "$PLUGIN" status teei-q2q-ai --context k8s-$region --timeout 300s
done`

// BenchmarkRollback takes a version that was promoted in four regions back, by Tidegate and by hand in turn, and reports
// the seconds of each and their ratio. Both start with the old pods still warm, and end when every region is whole.
func BenchmarkRollback(b *testing.B) {
	ctx, cancel := context.WithTimeoutCause(b.Context(), 20*time.Minute, errors.New("the benchmark did not end within 20 minutes"))
	defer cancel()
	binaries, err := lab.Build(ctx, "", nil)
	if err != nil {
		b.Fatal(err)
	}
	// The baseline at its best: outside the rollback window an undo goes through all the steps of a canary again.
	for _, region := range order {
		if err := fleet.Patch(ctx, region, q2q, `{"spec":{"rollbackWindow":{"revisions":50},"revisionHistoryLimit":50}}`); err != nil {
			b.Fatal(err)
		}
	}
	env := append(os.Environ(), "KUBECONFIG="+fleet.Lab.Kubeconfig(), "PLUGIN="+binaries.KubectlArgo)
	timed := func(name string, args ...string) float64 {
		promoteEverywhere(ctx, b)
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = env
		started := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return time.Since(started).Seconds()
	}
	var ours, theirs float64
	for range b.N {
		ours += timed(fleet.Binary, "rollback", q2q, "benchmark")
		theirs += timed("bash", "-ec", byHand)
	}
	n := float64(b.N)
	b.ReportMetric(ours/n, "tidegate-s")
	b.ReportMetric(theirs/n, "by-hand-s")
	b.ReportMetric(theirs/ours, "times-faster")
	b.ReportMetric(0, "ns/op")
}

// promoteEverywhere brings a new version in, in all regions at once.
func promoteEverywhere(ctx context.Context, b *testing.B) {
	b.Helper()
	img := rig.NewImage(q2q)
	errs := make(chan error, len(order))
	for _, region := range order {
		go func() { errs <- promoteFully(ctx, fleet, region, q2q, img) }()
	}
	var all error
	for range order {
		all = errors.Join(all, <-errs)
	}
	if all != nil {
		b.Fatal(all)
	}
}
