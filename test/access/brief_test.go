//go:build lab

package access

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

// TestTheBriefsCommands types what the brief shows, as it stands, into a region of its own: a lab's own services have
// shortened pauses, and applying the manifests over them would lengthen those.
func TestTheBriefsCommands(t *testing.T) {
	fleet.Quiet(t)
	f := fleet.Another(t, lab.Options{Regions: []string{region}, Empty: true, Speed: 1, Load: 10})
	run := func(script string) string { t.Helper(); return shellIn(t, f, script) }

	run("kubectl apply -k k8s/base/argo-rollouts/")
	run("kubectl -n argo-rollouts rollout status deployment argo-rollouts --timeout 60s")
	if pods := run("kubectl -n argo-rollouts get pods"); strings.Count(pods, "Running") != 2 {
		t.Errorf("kubectl -n argo-rollouts get pods:\n%s", pods)
	}
	if crds := run("kubectl get crd | grep argoproj"); strings.Count(crds, "\n") != 5 {
		t.Errorf("kubectl get crd | grep argoproj:\n%s", crds)
	}
	for _, folder := range []string{"analysis", "blue-green", "canary"} {
		run("kubectl apply -k k8s/rollouts/" + folder + "/")
	}
	services := containers(t, f)
	for rollout := range services {
		run("kubectl argo rollouts status " + rollout + " --timeout 60s")
	}
	if list := run("kubectl argo rollouts list rollouts"); strings.Count(list, "Healthy") != len(services) {
		t.Errorf("kubectl argo rollouts list rollouts:\n%s", list)
	}
	t.Run("release", func(t *testing.T) { typedRelease(t, f, services) })
	t.Run("analysisrun", func(t *testing.T) {
		for rollout := range services {
			if err := measured(t, f, rollout); err != nil {
				t.Errorf("kubectl get analysisrun -l rollout=%s: %v", rollout, err)
			}
		}
	})
	t.Run("way back", func(t *testing.T) { typedWayBack(t, f, services) })
}

// service is what `set image` is typed with.
type service struct{ container, image string }

// containers lists the Rollouts that there are, whatever their number.
func containers(t *testing.T, f *rig.Fleet) map[string]service {
	t.Helper()
	const path = `{range .items[*]}{.metadata.name} {.spec.template.spec.containers[0].name} {.spec.template.spec.containers[0].image}{"\n"}{end}`
	services := map[string]service{}
	for line := range strings.Lines(shellIn(t, f, "kubectl get rollouts -o jsonpath='"+path+"'")) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			t.Fatalf("%q is no Rollout with a container", line)
		}
		services[fields[0]] = service{fields[1], fields[2]}
	}
	for name, container := range map[string]string{q2q: "q2q-ai", gateway: "api-gateway"} {
		if services[name].container != container {
			t.Fatalf("Rollouts %v, without container %s of %s", services, container, name)
		}
	}
	return services
}

// typedRelease takes every Rollout to a new image as far as its first pause, and one step on.
func typedRelease(t *testing.T, f *rig.Fleet, services map[string]service) {
	for rollout, s := range services {
		shellIn(t, f, fmt.Sprintf("kubectl argo rollouts set image %s %s=ghcr.io/henrigkroine/%s:v1.1.0", rollout, s.container, rollout))
	}
	for rollout := range services {
		// Paused, or stopped by a gate before promotion: whether that is right, the gates' own tests know.
		f.Until(t, region, rollout, rollout+" at its first stop", time.Minute, func(u *unstructured.Unstructured) bool {
			phase := rig.Str(u, "status", "phase")
			return rig.Settled(u) && strings.HasSuffix(rig.ImageIn(u, "spec", "template", "spec"), ":v1.1.0") && (phase == "Paused" || phase == "Degraded")
		})
	}
	// It goes on until it is ended, which is no error of its own.
	for rollout := range services {
		watch := shellIn(t, f, fmt.Sprintf("timeout --foreground --preserve-status --signal INT 3 kubectl argo rollouts get rollout %s --watch", rollout))
		for _, want := range []string{rollout, "Status:", ":v1.1.0", "revision:2", "ReplicaSet", "Pod"} {
			if !strings.Contains(watch, want) {
				t.Errorf("get rollout %s --watch does not show %q:\n%s", rollout, want, watch)
			}
		}
	}
	for rollout := range services {
		if said := shellIn(t, f, "kubectl argo rollouts promote "+rollout); !strings.Contains(said, "promoted") {
			t.Errorf("promote %s: %s", rollout, said)
		}
	}
}

// measured waits until the Rollout's analysis runs are found by the label that the brief names.
func measured(t *testing.T, f *rig.Fleet, rollout string) error {
	t.Helper()
	named := regexp.MustCompile(`(?m)^` + rollout + `-\S+ +(Running|Successful|Pending|Failed|Error|Inconclusive)?`)
	var shown string
	// kubectl itself knows no way to wait for the first object with a label.
	err := wait.PollUntilContextTimeout(t.Context(), time.Second/4, time.Minute, true, func(ctx context.Context) (bool, error) {
		var err error
		shown, err = f.Shell(ctx, "kubectl get analysisrun -l rollout="+rollout)
		return named.MatchString(shown), err
	})
	if err != nil {
		return fmt.Errorf("%w, last shown:\n%s", err, shown)
	}
	return nil
}

// typedWayBack stops the release and undoes it.
func typedWayBack(t *testing.T, f *rig.Fleet, services map[string]service) {
	for rollout := range services {
		if said := shellIn(t, f, "kubectl argo rollouts abort "+rollout); !strings.Contains(said, "aborted") {
			t.Errorf("abort %s: %s", rollout, said)
		}
	}
	for rollout := range services {
		if said := shellIn(t, f, "kubectl argo rollouts undo "+rollout); !strings.Contains(said, "undo") {
			t.Errorf("undo %s: %s", rollout, said)
		}
	}
	for rollout, s := range services {
		shellIn(t, f, "kubectl argo rollouts status "+rollout+" --timeout 60s")
		f.Until(t, region, rollout, rollout+" back on "+s.image, time.Minute, rig.Promoted(s.image))
		if err := f.ServesOnly(t.Context(), region, rollout, s.image); err != nil {
			t.Error(err)
		}
	}
}
