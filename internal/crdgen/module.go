package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// module is a Go module to read files from.
type module struct {
	path    string
	version string // empty: the version that this repository's go.mod asks for, checked against go.sum
	sum     string // the h1 hash of a version that go.mod does not know
}

// fetchedModule is what the go command says about a module in its cache.
type fetchedModule struct{ Path, Version, Sum, Dir, Error string }

// fetch has the go command put the module in its cache, and checks that it is the one that was pinned.
func (m module) fetch(ctx context.Context) (fetchedModule, error) {
	name := m.path
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json")
	if m.version != "" {
		name += "@" + m.version
		// Outside of any module: an explicit version must not find its way into this repository's go.sum.
		cmd.Dir = os.TempDir()
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	}
	cmd.Args = append(cmd.Args, name)
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	var got fetchedModule
	if jsonErr := json.Unmarshal(out, &got); jsonErr == nil && got.Error != "" {
		err = errors.New(got.Error)
	}
	if err != nil {
		return got, fmt.Errorf("download module %s: %w\n%s", name, err, stderr)
	}
	if m.sum != "" && got.Sum != m.sum {
		return got, fmt.Errorf("module %s has hash %s, pinned is %s", name, got.Sum, m.sum)
	}
	return got, nil
}
