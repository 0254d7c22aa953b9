// Package images holds the Dockerfiles; this test holds them to the code, without Docker.
package images

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	goImage = regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+) `)
	copied  = regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`)
	built   = regexp.MustCompile(`(?m)go build .* (\./\S+)$`)
	goLine  = regexp.MustCompile(`(?m)^go (\d+\.\d+)`)
)

// TestWhatIsCopiedIsEnough puts what a Dockerfile copies into a folder of its own, and asks Go whether the binary can be
// built from it: no package and no embedded file is missing.
func TestWhatIsCopiedIsEnough(t *testing.T) {
	for _, name := range []string{"tidegate", "tidegate-chromium"} {
		t.Run(name, func(t *testing.T) {
			text := read(t, filepath.Join(name, "Dockerfile"))
			src := t.TempDir()
			for _, m := range copied.FindAllStringSubmatch(text, -1) {
				for _, source := range strings.Fields(m[1]) {
					copyTo(t, filepath.Join(src, source), filepath.Join("..", source))
				}
			}
			target := built.FindStringSubmatch(text)
			if target == nil {
				t.Fatal("nothing is built")
			}
			list := exec.CommandContext(t.Context(), "go", "list", "-deps", target[1])
			list.Dir = src
			list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
			var said bytes.Buffer
			list.Stderr = &said
			if err := list.Run(); err != nil {
				t.Errorf("%v\n%s", err, said.String())
			}
		})
	}
}

func TestGoVersion(t *testing.T) {
	want := goLine.FindStringSubmatch(read(t, "../go.mod"))[1]
	for _, name := range []string{"tidegate", "tidegate-chromium"} {
		m := goImage.FindStringSubmatch(read(t, filepath.Join(name, "Dockerfile")))
		if m == nil || m[1] != want {
			t.Errorf("%s is built with Go %v, go.mod wants %s", name, m, want)
		}
	}
}

// TestOneBinary: both images are built in the same way.
func TestOneBinary(t *testing.T) {
	stage := func(name string) string {
		text := read(t, filepath.Join(name, "Dockerfile"))
		_, text, _ = strings.Cut(text, "\nFROM golang")
		text, _, found := strings.Cut(text, "\n\n")
		if !found {
			t.Fatalf("%s has no stage that builds", name)
		}
		return text
	}
	if a, b := stage("tidegate"), stage("tidegate-chromium"); a != b {
		t.Errorf("two ways to build one binary:\n%s\n\n%s", a, b)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// copyTo copies a file or a folder.
func copyTo(t *testing.T, to, from string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatalf("what is copied is not there: %v", err)
	}
	if info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else {
		err = os.WriteFile(to, []byte(read(t, from)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
