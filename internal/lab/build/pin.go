package build

import (
	"embed"
	"strings"
)

// The files are not called go.mod: a folder with a go.mod is another module, which cannot be embedded.
//
//go:embed pins/*/go.mod.pin pins/*/go.sum.pin
var pinFiles embed.FS

// pin is a module without code that requires, and so pins, tools and everything they import.
type pin struct {
	mod, sum  []byte
	goVersion string            // the least version of Go that builds it, such as go1.26.1
	versions  map[string]string // module path → version, replacements applied
}

func readPin(name string) pin {
	mod, modErr := pinFiles.ReadFile("pins/" + name + "/go.mod.pin")
	sum, sumErr := pinFiles.ReadFile("pins/" + name + "/go.sum.pin")
	if modErr != nil || sumErr != nil {
		panic("build: pins of " + name + " are not embedded")
	}
	return newPin(mod, sum)
}

// newPin understands go.mod as go mod tidy writes it.
func newPin(mod, sum []byte) pin {
	p := pin{mod: mod, sum: sum, versions: map[string]string{}}
	replaced := map[string]string{}
	block := ""
	for line := range strings.Lines(string(mod)) {
		code, _, _ := strings.Cut(line, "//")
		words := strings.Fields(code)
		switch {
		case len(words) == 0:
			continue
		case words[0] == ")":
			block = ""
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		switch {
		case words[0] == "go" && len(words) == 2:
			p.goVersion = "go" + words[1]
		case words[0] == "require" && len(words) == 3:
			p.versions[words[1]] = words[2]
		case words[0] == "replace" && len(words) == 5 && words[2] == "=>":
			replaced[words[1]] = words[4]
		}
	}
	for path, version := range replaced {
		if _, required := p.versions[path]; required {
			p.versions[path] = version
		}
	}
	return p
}
