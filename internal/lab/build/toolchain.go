package build

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	// switches is the first Go that fetches a newer one when a go.mod asks for it.
	switches = "go1.21"
	// answerWithin bounds "go env", which takes 20 ms: more only from a cold network disk.
	answerWithin = time.Minute
)

// toolchain is the Go at hand.
type toolchain struct {
	path    string
	version string // such as go1.26.8
}

// findGo looks for go in PATH. wanted is the version to recommend, missing what cannot be had without it.
func findGo(ctx context.Context, wanted string, missing []string) (toolchain, error) {
	mend := fmt.Sprintf("install Go %s or newer (https://go.dev/dl), or set %s to a folder with %s",
		strings.TrimPrefix(wanted, "go"), assetsKey, strings.Join(missing, ", "))
	path, err := exec.LookPath("go")
	if err != nil {
		return toolchain{}, fmt.Errorf("the lab's components are built with Go, which is not in PATH: %s", mend)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer within %v", answerWithin))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "env", "GOVERSION")
	cmd.Dir = os.TempDir() // away from any go.mod that asks for another version
	cmd.Env = overlay(os.Environ(), "GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off")
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return toolchain{}, fmt.Errorf("%s env GOVERSION: %w: %s", path, err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return toolchain{}, fmt.Errorf("%s env GOVERSION: %w", path, err)
	}
	// After the version may come experiments, and "devel" before it.
	words := strings.Fields(string(out))
	at := slices.IndexFunc(words, version.IsValid)
	if at < 0 || version.Compare(words[at], switches) < 0 {
		return toolchain{}, fmt.Errorf("%s is %s, too old to build the lab's components: %s",
			path, strings.Join(words, " "), mend)
	}
	return toolchain{path, words[at]}, nil
}

// overlay returns env with the given KEY=value instead of what it has for these keys.
func overlay(env []string, set ...string) []string {
	key := func(kv string) string { k, _, _ := strings.Cut(kv, "="); return k }
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return slices.ContainsFunc(set, func(s string) bool { return key(s) == key(kv) })
	})
	return append(out, set...)
}
