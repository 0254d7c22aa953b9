package build

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder makes a folder with executables of these names.
func folder(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestProvidedNeedsNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assets := folder(t, etcd, controllerManager, rolloutsController, kubectl, kubectlArgo, prometheus)
	kubebuilder := folder(t, etcd, apiServer, kubectl, prometheus)
	cache := filepath.Join(t.TempDir(), "not made")
	w := watch(Options{}, nil)
	got, err := Ensure(t.Context(), Options{
		Cache: cache, Assets: assets, Kubebuilder: kubebuilder, Progress: w.opts.Progress,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Binaries{
		Etcd: filepath.Join(assets, etcd), APIServer: filepath.Join(kubebuilder, apiServer),
		ControllerManager: filepath.Join(assets, controllerManager), Rollouts: filepath.Join(assets, rolloutsController),
		Kubectl: filepath.Join(assets, kubectl), KubectlArgo: filepath.Join(assets, kubectlArgo),
		Prometheus: filepath.Join(assets, prometheus),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("binaries (-want +got):\n%s", diff)
	}
	w.wantPhases(t, Provided)
	if len(w.events) != 7 || w.events[1] != (Event{Name: apiServer, Phase: Provided, Path: want.APIServer}) {
		t.Errorf("events %+v", w.events)
	}
	if _, err := os.Stat(cache); !os.IsNotExist(err) {
		t.Errorf("a cache was made for nothing: %v", err)
	}
}

func TestKubebuilderGivesNoMoreThanItIsKnownFor(t *testing.T) {
	opts := Options{Kubebuilder: folder(t, etcd, apiServer, kubectl, controllerManager, prometheus)}
	got, err := opts.provided([]string{etcd, apiServer, kubectl, controllerManager, prometheus})
	if err != nil || len(got) != 3 || got[controllerManager] != "" || got[prometheus] != "" {
		t.Errorf("provided = %v, %v", got, err)
	}
}

func TestTheRestIsBuilt(t *testing.T) {
	assets, cache := folder(t, "renamed"), t.TempDir()
	w := watch(Options{Cache: cache, Assets: assets}, small())
	paths, err := w.ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if paths["renamed"] != filepath.Join(assets, "renamed") {
		t.Errorf("renamed is %s, want the provided one", paths["renamed"])
	}
	built, err := os.ReadDir(filepath.Dir(paths["pack"]))
	if err != nil || len(built) != 1 {
		t.Errorf("built %v, %v, want pack alone", built, err)
	}
}

func TestProvidedIsAbsolute(t *testing.T) {
	dir := folder(t, etcd)
	t.Chdir(filepath.Dir(dir))
	got, err := Options{Assets: filepath.Base(dir)}.provided([]string{etcd})
	if err != nil || got[etcd] != filepath.Join(dir, etcd) {
		t.Errorf("provided = %v, %v, want %s", got, err, filepath.Join(dir, etcd))
	}
}

func TestProvidedMistakes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	unfit := folder(t, etcd)
	if err := os.Chmod(filepath.Join(unfit, etcd), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Options{Assets: missing}.provided([]string{etcd})
	wantError(t, err, assetsKey, missing, "no folder")
	_, err = Options{Assets: unfit}.provided([]string{etcd})
	wantError(t, err, "provided etcd", "not executable")

	got, err := Options{Kubebuilder: missing}.provided([]string{etcd})
	if err != nil || len(got) != 0 {
		t.Errorf("provided = %v, %v: other tools want KUBEBUILDER_ASSETS too", got, err)
	}
}
