//go:build lab

package access

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/test/rig"
)

// never is what no account may do, as `kubectl auth can-i` asks for it.
var never = []string{
	"get secrets", "get secrets -n tidegate", "get secrets -n argo-rollouts", "get secrets -n monitoring", "list secrets -A",
	"create pods --subresource exec", "get pods --subresource exec", "create pods --subresource attach",
	"create pods --subresource portforward", "create pods", "delete pods", "create pods --subresource eviction", "patch replicasets", "delete replicasets",
	"create rollouts.argoproj.io", "update rollouts.argoproj.io", "delete rollouts.argoproj.io", "deletecollection rollouts.argoproj.io",
	"patch rollouts.argoproj.io -n argo-rollouts", "patch rollouts.argoproj.io -A",
	"create analysisruns.argoproj.io", "patch analysisruns.argoproj.io", "delete analysisruns.argoproj.io",
	"patch analysistemplates.argoproj.io", "patch services", "patch virtualservices.networking.istio.io",
	"create services/prometheus-server:9090 --subresource proxy -n monitoring", "get services/grafana:80 --subresource proxy -n monitoring",
	"create serviceaccounts --subresource token -n tidegate", "impersonate users", "patch roles.rbac.authorization.k8s.io",
	"create rolebindings.rbac.authorization.k8s.io",
}

func TestWhatNobodyMayDo(t *testing.T) {
	script := "while read -r what; do echo \"$what: $(kubectl auth can-i $what 2>/dev/null)\"; done <<'END'\n" + strings.Join(never, "\n") + "\nEND"
	for _, name := range accounts {
		t.Run(name, func(t *testing.T) {
			who := as(t, home, name, nil)
			answers := strings.Split(strings.TrimSpace(who.must(t, "bash", "-c", script)), "\n")
			if len(answers) != len(never) {
				t.Fatalf("%d answers to %d questions: %q", len(answers), len(never), answers)
			}
			for _, answer := range answers {
				if !strings.HasSuffix(answer, ": no") {
					t.Errorf("kubectl auth can-i %s", answer)
				}
			}
			refuses(t, who, deeds(t))
		})
	}
}

// deeds are the same by doing. Each would succeed in the hands of an administrator.
func deeds(t *testing.T) []string {
	t.Helper()
	pod, err := fleet.Shell(t.Context(), "kubectl get pods -l app="+q2q+" -o name | head -1")
	if err != nil {
		t.Fatal(err)
	}
	pod = strings.TrimPrefix(strings.TrimSpace(pod), "pod/")
	return []string{
		"kubectl get secrets",
		"kubectl -n tidegate create token tidegate-releaser",
		"kubectl get --raw /api/v1/namespaces/default/pods/" + pod + "/exec?command=true&stdout=true",
		"kubectl delete --raw /api/v1/namespaces/default/pods/" + pod,
		"kubectl delete --raw /apis/argoproj.io/v1alpha1/namespaces/default/rollouts/" + q2q,
		"kubectl create rolebinding mine --clusterrole cluster-admin --serviceaccount tidegate:tidegate-viewer",
	}
}

func refuses(t *testing.T, who account, commands []string) {
	t.Helper()
	for _, command := range commands {
		args := strings.Fields(command)
		out := who.run(t, args[0], args[1:]...)
		if out.code == 0 || !strings.Contains(strings.ToLower(out.stderr), "forbidden") {
			t.Errorf("%s did this: $ %s\nexit code %d\n%s%s", who.name, command, out.code, out.stdout, out.stderr)
		}
	}
}

func TestViewerChangesNothing(t *testing.T) {
	promoted(t, q2q, rig.NewImage(q2q)) // so that there is something to go back to
	viewer := as(t, home, "tidegate-viewer", nil)
	before, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, viewer, []string{
		"kubectl argo rollouts set image " + q2q + " *=" + rig.NewImage(q2q),
		"kubectl argo rollouts promote " + q2q,
		"kubectl argo rollouts abort " + q2q,
		"kubectl argo rollouts undo " + q2q,
		"kubectl patch rollout " + q2q + " --type merge -p {\"spec\":{\"paused\":true}}",
	})
	for _, args := range [][]string{
		{"rollout", q2q, rig.NewImage(q2q), "--order", region, "--timeout", "60"},
		{"rollback", q2q, "test: not mine to do", "--context", "k8s-" + region},
	} {
		started := time.Now()
		var r result
		out := viewer.tidegate(t, &r, args...)
		if out.code != 4 || len(r.Regions) != 1 {
			t.Errorf("%v: exit code %d, want 4\n%s%s", args, out.code, out.stdout, out.stderr)
			continue
		}
		if why := r.Regions[0].Why + r.Regions[0].Error; !strings.Contains(why, "forbidden") || !strings.Contains(why, "tidegate-viewer") {
			t.Errorf("%v does not say what was forbidden to whom: %s", args, why)
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%v tried for %s what waiting will not change", args, took)
		}
	}
	after, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	if before.GetGeneration() != after.GetGeneration() || fmt.Sprint(before.GetAnnotations()) != fmt.Sprint(after.GetAnnotations()) {
		t.Errorf("the Rollout was changed: generation %d to %d, annotations %v to %v", before.GetGeneration(), after.GetGeneration(),
			before.GetAnnotations(), after.GetAnnotations())
	}
}
