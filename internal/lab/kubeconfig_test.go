//go:build lab

package lab_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"tidegate.io/tidegate/internal/lab"
)

// TestTheUsersKubeconfigIsNotTouched brings a lab up, and down, from a shell that has a kubeconfig of its own.
func TestTheUsersKubeconfigIsNotTouched(t *testing.T) {
	dir, mine := filepath.Join(t.TempDir(), "lab"), filepath.Join(t.TempDir(), "config")
	const content = "apiVersion: v1\nkind: Config\ncurrent-context: production\n"
	if err := os.WriteFile(mine, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	tidegate := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(within(t, upWithin, strings.Join(args, " ")), os.Getenv(binary), append(args, "--dir", dir)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+mine)
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, said)
		}
		return string(said)
	}
	t.Cleanup(func() { _ = lab.Down(context.Background(), dir) }) // should this test fail, it is not to leave a lab
	said := tidegate("lab", "up", "--empty", "--regions", "one,two")
	theirs := filepath.Join(dir, "kubeconfig")
	if line := "export KUBECONFIG='" + theirs + "'"; !slices.Contains(strings.Split(said, "\n"), line) {
		t.Errorf("lab up does not print the line %q:\n%s", line, said)
	}
	config, err := clientcmd.LoadFromFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Contexts) != 2 || config.Contexts["k8s-one"] == nil || config.Contexts["k8s-two"] == nil {
		t.Errorf("contexts %v, want k8s-one and k8s-two", config.Contexts)
	}
	tidegate("lab", "down")
	if now, err := os.ReadFile(mine); err != nil || string(now) != content {
		t.Errorf("the user's own kubeconfig is now %q (%v)", now, err)
	}
}
