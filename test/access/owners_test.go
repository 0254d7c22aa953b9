//go:build lab

package access

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// TestOwnersOfANamespace takes the roles that the installation adds to Kubernetes' own view, edit and admin by their word.
// Each owner has their own and those before it, which is what Kubernetes adds up in a cluster.
func TestOwnersOfANamespace(t *testing.T) {
	roles := []string{"view", "edit", "admin"}
	for i, role := range roles {
		may := owner(t, "owner-"+role, roles[:i+1])
		for question, from := range map[string]int{ // the first of roles that may
			"get rollouts.argoproj.io":                         0,
			"watch analysisruns.argoproj.io":                   0,
			"list analysistemplates.argoproj.io":               0,
			"create rollouts.argoproj.io":                      1,
			"patch rollouts.argoproj.io":                       1,
			"delete analysistemplates.argoproj.io":             1,
			"create analysisruns.argoproj.io":                  1,
			"patch rollouts.argoproj.io --subresource status":  1, // promote, abort
			"patch rollouts.argoproj.io --subresource scale":   1,
			"patch analysisruns.argoproj.io":                   2, // and with it the verdict
			"update rollouts.argoproj.io --subresource status": 3,
			"update analysisruns.argoproj.io":                  3,
			"deletecollection rollouts.argoproj.io":            3,
			"create experiments.argoproj.io":                   3,
			"patch rollouts.argoproj.io -n kube-system":        3,
			"get rollouts.argoproj.io -A":                      3,
			"patch clusteranalysistemplates.argoproj.io":       3,
			"get secrets": 3,
			"create pods": 3,
		} {
			if got := may(question); got != (i >= from) {
				t.Errorf("%s: kubectl auth can-i %s: %t", role, question, got)
			}
		}
	}
}

// owner makes an account with the roles that are aggregated to these, in the namespace of the Rollouts, until the test
// ends. The answer asks what it may do.
func owner(t *testing.T, name string, roles []string) func(question string) bool {
	t.Helper()
	var do, undo strings.Builder
	fmt.Fprintf(&do, "kubectl -n %s create serviceaccount %s\n", home, name)
	fmt.Fprintf(&undo, "kubectl -n %s delete serviceaccount %s\n", home, name)
	for _, role := range roles {
		fmt.Fprintf(&do, "kubectl create rolebinding %s-%s --clusterrole argo-rollouts-aggregate-to-%s --serviceaccount %s:%s\n", name, role, role, home, name)
		fmt.Fprintf(&undo, "kubectl delete rolebinding %s-%s\n", name, role)
	}
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Shell(t.Context(), do.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := fleet.Shell(context.Background(), undo.String()); err != nil {
			t.Error(err)
		}
	})
	who := as(t, home, name, nil)
	return func(question string) bool {
		t.Helper()
		switch out := who.run(t, "kubectl", append([]string{"auth", "can-i"}, strings.Fields(question)...)...); strings.TrimSpace(out.stdout) {
		case "yes":
			return true
		case "no":
			return false
		default:
			t.Fatalf("kubectl auth can-i %s: %s%s", question, out.stdout, out.stderr)
			return false
		}
	}
}
