//go:build lab

package e2e

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDemo runs what the README promises first. The demo checks itself: a step that ends otherwise than it should ends it.
func TestDemo(t *testing.T) {
	t.Parallel() // it mostly waits
	fleet.Quiet(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 12*time.Minute, errors.New("the demo did not end within 12 minutes"))
	defer cancel()
	out, err := exec.CommandContext(ctx, fleet.Binary, "demo").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"teei-q2q-ai v1.1.0: completed", "teei-api-gateway v1.1.0: completed", "teei-q2q-ai v1.2.0: rolled-back",
		"the bad version served", "teei-api-gateway: rolled-back", "no file is left",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q", want)
		}
	}
	t.Logf("%s", out)
}
