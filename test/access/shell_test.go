//go:build lab

package access

import (
	"context"
	"errors"
	"testing"
	"time"

	"tidegate.io/tidegate/test/rig"
)

// shell runs a script as an administrator, in the checkout. It must succeed.
func shell(t *testing.T, script string) {
	t.Helper()
	shellIn(t, fleet, script)
}

// shellIn is shell in another lab, and returns what the script printed.
func shellIn(t *testing.T, f *rig.Fleet, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the script did not end within two minutes"))
	defer cancel()
	out, err := f.Shell(ctx, "cd "+checkout+"\n"+script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
