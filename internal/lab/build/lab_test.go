//go:build lab

package build

import (
	"os/exec"
	"strings"
	"testing"
)

func TestComponentsAreOfThePinnedVersions(t *testing.T) {
	opts, err := DefaultOptions()
	if err != nil {
		t.Fatal(err)
	}
	opts.Assets, opts.Kubebuilder = "", ""
	got, err := Ensure(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{
		etcd: {got.Etcd, "--version"}, apiServer: {got.APIServer, "--version"},
		controllerManager: {got.ControllerManager, "--version"}, kubectl: {got.Kubectl, "version", "--client"},
		kubectlArgo: {got.KubectlArgo, "version"}, prometheus: {got.Prometheus, "--version"},
		rolloutsController: {got.Rollouts, "--version"},
	}
	for _, v := range Versions() {
		argv := commands[v.Component]
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), strings.TrimPrefix(v.Version, "v")) {
			t.Errorf("%s: want %s: %v\n%s", strings.Join(argv, " "), v.Version, err, out)
		}
	}
}

// What a user watches for minutes: it must move, and end where it says it will.
func TestProgressOfAColdBuild(t *testing.T) {
	t.Setenv("GOCACHE", t.TempDir())
	_, w := mustBuild(t, t.TempDir())
	w.wantPhases(t, Download, Compile, Link, Done)
	last := w.events[len(w.events)-1]
	if last.Total < 50 {
		t.Errorf("%d packages in all, of two programs that need 50 of Go's own at the least", last.Total)
	}
	done := 0
	for _, e := range w.events {
		if e.Phase != Compile && e.Phase != Link {
			continue
		}
		if e.Done != done || e.Total != last.Total {
			t.Fatalf("event %+v, want %d of %d", e, done, last.Total)
		}
		done++
	}
	if done != last.Total+1 {
		t.Errorf("%d of %d packages were told", done-1, last.Total)
	}
}
