package build

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"go/version"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Step is one run of go build: what Ensure does, as data.
type Step struct {
	Module     string   // which pins, "kubernetes" or "prometheus"
	Components []string // what comes out of it
	Packages   []string // the main packages, in the order of Components
	Flags      []string // that decide on the content of the binaries
	Env        []string // KEY=value, on top of the user's own environment
	Go         string   // version of Go that compiles, such as go1.26.8
	Key        string   // folder in the cache: the module's name and a hash of all the above and the pins

	module module
}

// Describe returns the steps that make the named components, or all if none is named. goVersion is the version of
// Go at hand; a step whose pins need a newer one has Go fetch that, which is a module as well.
func Describe(goVersion string, names ...string) []Step {
	return describe(modules(), goVersion, names)
}

func describe(modules []module, goVersion string, names []string) []Step {
	var steps []Step
	for _, m := range modules {
		s := Step{Module: m.name, Go: goVersion, module: m}
		for _, t := range m.tools {
			if len(names) == 0 || slices.Contains(names, t.name) {
				s.Components = append(s.Components, t.name)
				s.Packages = append(s.Packages, t.path)
			}
		}
		if len(s.Components) == 0 {
			continue
		}
		toolchain := "local" // pinned as well: whatever GOTOOLCHAIN the user has set
		if version.Compare(goVersion, m.pin.goVersion) < 0 {
			toolchain, s.Go = "auto", m.pin.goVersion
		}
		s.Flags = []string{"-trimpath", "-ldflags", strings.TrimSpace("-s -w " + m.stamp)}
		if m.tags != "" {
			s.Flags = append(s.Flags, "-tags", m.tags)
		}
		s.Env = []string{
			"CGO_ENABLED=0", "GO111MODULE=on", "GOARCH=" + runtime.GOARCH, "GOFLAGS=-mod=readonly",
			"GOOS=" + runtime.GOOS, "GOTOOLCHAIN=" + toolchain, "GOWORK=off",
		}
		s.Key = s.key()
		steps = append(steps, s)
	}
	return steps
}

func (s Step) key() string {
	text, err := json.Marshal(struct {
		Step Step
		Mod  string
		Sum  string
	}{s, string(s.module.pin.mod), string(s.module.pin.sum)})
	if err != nil {
		panic("build: a step is not JSON: " + err.Error()) // strings alone
	}
	sum := sha256.Sum256(text)
	return s.Module + "-" + hex.EncodeToString(sum[:16])
}

// List returns the arguments of go that download the modules and tell on stdout, one line each, the packages that
// must be compiled. It runs in a folder with the pins.
func (s Step) List() []string {
	args := append([]string{"list", "-deps", "-f", "{{if .Stale}}" + stale + "{{.StaleReason}}{{end}}"}, s.Flags...)
	return append(args, s.Packages...)
}

// Build returns the arguments of go that compile and link everything into the folder out, and tell on stderr, one
// line each, the packages that were compiled. It runs in a folder with the pins.
func (s Step) Build(out string) []string {
	args := append([]string{"build", "-v", "-o", out + string(filepath.Separator)}, s.Flags...)
	return append(args, s.Packages...)
}
