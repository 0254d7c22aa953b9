//go:build lab

package access

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tidegate.io/tidegate/test/rig"
)

// shell runs a script as an administrator, in the checkout, and returns what it printed. It must succeed.
func shell(t *testing.T, script string) string {
	t.Helper()
	return shellIn(t, fleet, script)
}

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

func served(groups []metav1.APIGroup, name string) bool {
	for _, group := range groups {
		if group.Name == name {
			return true
		}
	}
	return false
}
