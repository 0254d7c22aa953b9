package build

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewPin(t *testing.T) {
	p := newPin([]byte(`module example // require no/such v0.0.1

go 1.26.1

tool (
	a.io/one/cmd
)

require d.io/alone v4.0.0

require (
	a.io/one v1.2.3
	b.io/two v0.0.0-20260101000000-abcdefabcdef // indirect
	// c.io/three v9.9.9
)

replace b.io/two => fork.io/two v2.0.0

replace (
	a.io/one => a.io/one v1.2.2
	e.io/absent => e.io/absent v1.0.0
)
`), nil)
	want := map[string]string{"a.io/one": "v1.2.2", "b.io/two": "v2.0.0", "d.io/alone": "v4.0.0"}
	if diff := cmp.Diff(want, p.versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	if p.goVersion != "go1.26.1" {
		t.Errorf("Go %q, want go1.26.1", p.goVersion)
	}
}

func TestVersions(t *testing.T) {
	release := regexp.MustCompile(`^v[1-9]\d*\.\d+\.\d+$`)
	var names []string
	for _, v := range Versions() {
		names = append(names, v.Component)
		if !release.MatchString(v.Version) {
			t.Errorf("%s is pinned at %q, which is no release", v.Component, v.Version)
		}
	}
	want := []string{etcd, apiServer, controllerManager, kubectl, rolloutsController, kubectlArgo, prometheus}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
}

func TestRelease(t *testing.T) {
	const prom = "github.com/prometheus/prometheus"
	for _, tc := range []struct{ module, version, want string }{
		{"k8s.io/kubernetes", "v1.34.4", "v1.34.4"},
		{prom, "v0.316.0", "v3.16.0"},
		{prom, "v0.305.1", "v3.5.1"},
		{prom, "v0.53.0", "v0.53.0"}, // of the 2.x releases, which have no such rule
		{prom, "v1.8.2", "v1.8.2"},
	} {
		if got := release(tc.module, tc.version); got != tc.want {
			t.Errorf("release(%s, %s) = %s, want %s", tc.module, tc.version, got, tc.want)
		}
	}
}

// One module of Kubernetes that lags behind builds, and then fails at run time.
func TestPinsAreOfOneKubernetes(t *testing.T) {
	p := readPin("kubernetes")
	want := strings.Replace(p.versions["k8s.io/kubernetes"], "v1.", "v0.", 1)
	for line := range strings.Lines(string(p.mod)) {
		words := strings.Fields(line)
		if len(words) == 4 && words[1] == "=>" && words[0] != "k8s.io/kubernetes" && words[3] != want {
			t.Errorf("%s is replaced by %s, want %s", words[0], words[3], want)
		}
	}
}

// Without it go mod tidy, in update.sh, would drop what the tool needs.
func TestPinsNameEveryTool(t *testing.T) {
	for _, m := range modules() {
		for _, tool := range m.tools {
			named := regexp.MustCompile(`(?m)^(tool |\t)` + regexp.QuoteMeta(tool.path) + `$`)
			if !named.Match(m.pin.mod) {
				t.Errorf("pins of %s: no tool %s", m.name, tool.path)
			}
		}
	}
}
