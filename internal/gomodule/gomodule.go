// Package gomodule fetches Go modules for the files in them, such as the CRDs that projects ship beside their code.
package gomodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// Module is a Go module to read files from.
type Module struct {
	Path    string
	Version string // empty: the version that this repository's go.mod asks for, checked against go.sum
	Sum     string // the h1 hash of a version that go.mod does not know
}

// Fetched is what the go command says about a module in its cache. Dir is the folder of its files.
type Fetched struct{ Path, Version, Sum, Dir, Error string }

// Fetch has the go command put the module in its cache, and checks that it is the one that was pinned.
func (m Module) Fetch(ctx context.Context) (Fetched, error) {
	name := m.Path
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json")
	if m.Version != "" {
		name += "@" + m.Version
		// Outside of any module: an explicit version must not find its way into this repository's go.sum.
		cmd.Dir = os.TempDir()
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	}
	cmd.Args = append(cmd.Args, name)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	var got Fetched
	if jsonErr := json.Unmarshal(out, &got); jsonErr == nil && got.Error != "" {
		err = errors.New(got.Error)
	}
	if err != nil {
		return got, fmt.Errorf("download module %s: %w\n%s", name, err, stderr)
	}
	if m.Sum != "" && got.Sum != m.Sum {
		return got, fmt.Errorf("module %s has hash %s, pinned is %s", name, got.Sum, m.Sum)
	}
	return got, nil
}
