package build

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	pinned := map[string]string{}
	for _, v := range Versions() {
		pinned[v.Component] = strings.TrimPrefix(v.Version, "v")
	}
	steps := Describe("go1.99.0")
	if len(steps) != 2 {
		t.Fatalf("%d steps, want 2", len(steps))
	}
	for i, want := range [][]string{
		{
			"build", "-v", "-o", "OUT/", "-trimpath", "-ldflags",
			"-s -w -X k8s.io/component-base/version.gitVersion=v" + pinned[apiServer] +
				" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34" +
				" -X k8s.io/component-base/version.gitTreeState=clean" +
				" -X github.com/argoproj/argo-rollouts/utils/version.version=" + pinned[rolloutsController],
			"go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kube-apiserver",
			"k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kubectl",
			"github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
			"github.com/argoproj/argo-rollouts/cmd/kubectl-argo-rollouts",
		}, {
			"build", "-v", "-o", "OUT/", "-trimpath", "-ldflags",
			"-s -w -X github.com/prometheus/common/version.Version=" + pinned[prometheus],
			"-tags", "netgo,remove_all_sd,enable_kubernetes_sd",
			"github.com/prometheus/prometheus/cmd/prometheus",
		},
	} {
		if diff := cmp.Diff(want, steps[i].Build("OUT")); diff != "" {
			t.Errorf("%s: go (-want +got):\n%s", steps[i].Module, diff)
		}
	}
	wantEnv := []string{
		"CGO_ENABLED=0", "GO111MODULE=on", "GOARCH=" + runtime.GOARCH, "GOFLAGS=-mod=readonly",
		"GOOS=" + runtime.GOOS, "GOTOOLCHAIN=local", "GOWORK=off",
	}
	if diff := cmp.Diff(wantEnv, steps[0].Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestDescribeOnlyWhatIsMissing(t *testing.T) {
	steps := Describe("go1.99.0", kubectl)
	if len(steps) != 1 || !cmp.Equal(steps[0].Packages, []string{"k8s.io/kubernetes/cmd/kubectl"}) {
		t.Errorf("steps for kubectl alone: %+v", steps)
	}
}

func TestOlderGoFetchesTheOneThatThePinsWant(t *testing.T) {
	for _, s := range Describe("go1.22.0") {
		env := strings.Join(s.Env, " ")
		if !strings.Contains(env, "GOTOOLCHAIN=auto") || s.Go != s.module.pin.goVersion {
			t.Errorf("%s: compiles with %s, environment %s", s.Module, s.Go, env)
		}
	}
}

func TestKeyTellsEverythingThatMatters(t *testing.T) {
	base := small()[0]
	key := func(change func(*module), goVersion string, names ...string) string {
		m := base
		change(&m)
		return describe([]module{m}, goVersion, names)[0].Key
	}
	same := func(*module) {}
	keys := map[string]string{key(same, "go1.27.0"): "the module as it is"}
	if again := key(same, "go1.27.0"); keys[again] == "" {
		t.Error("the same step has another key the second time")
	}
	for what, k := range map[string]string{
		"another Go":     key(same, "go1.27.1"),
		"fewer tools":    key(same, "go1.27.0", "pack"),
		"another go.mod": key(func(m *module) { m.pin.mod = []byte("module b\n") }, "go1.27.0"),
		"another go.sum": key(func(m *module) { m.pin.sum = []byte("b\n") }, "go1.27.0"),
		"other tags":     key(func(m *module) { m.tags = "netgo" }, "go1.27.0"),
		"another stamp":  key(func(m *module) { m.stamp = "-X main.version=1" }, "go1.27.0"),
	} {
		if keys[k] != "" {
			t.Errorf("%s and %s have one key", what, keys[k])
		}
		keys[k] = what
	}
}
