package cli

import (
	"strings"
	"testing"

	"tidegate.io/tidegate/internal/fleet"
	"tidegate.io/tidegate/internal/release"
)

// Who reads a log of a pipeline cannot answer there: the line names the command, and the terminal only where there is one.
func TestAManualPauseSaysHowToPromote(t *testing.T) {
	o := &rolloutOptions{name: "shop", namespace: "store", order: []fleet.Region{{Name: "us-west", Context: "west"}, {Name: "eu-west", Context: "europe"}}}
	for asked, want := range map[bool]string{
		false: "waits for a promotion: kubectl argo rollouts promote shop -n store --context europe\n",
		true:  "waits for a promotion: kubectl argo rollouts promote shop -n store --context europe, or answer here\n",
	} {
		var out strings.Builder
		log := newProgress(&out)
		log.promotion = func(region string) string { return o.promotion(region, asked) }
		log.region(release.Region{Name: "eu-west", Phase: release.AwaitingApproval}, release.Observation{})
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("asked %t: %q, want it to end with %q", asked, out.String(), want)
		}
	}
}
