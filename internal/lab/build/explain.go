package build

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

// goError is a go command that failed.
type goError struct {
	err    error
	output []string // the last lines of what it said
}

func (e *goError) Error() string {
	return fmt.Sprintf("%v\n\t%s", e.err, strings.Join(e.output, "\n\t"))
}

func (e *goError) Unwrap() error { return e.err }

// explain says what to do about the errors that are no fault of the pins.
func explain(err error, cache string) error {
	var failed *goError
	said := ""
	if errors.As(err, &failed) {
		said = strings.Join(failed.output, "\n")
	}
	noToolchain := regexp.MustCompile(`requires go >=|golang\.org/toolchain|toolchain not available`)
	noNetwork := regexp.MustCompile(`(?m)dial tcp|no such host|proxyconnect|TLS handshake timeout|i/o timeout|` +
		`connection reset|network is unreachable|module lookup disabled|: 40[347] |: 5\d\d `)
	switch {
	case errors.Is(err, syscall.ENOSPC) || strings.Contains(said, syscall.ENOSPC.Error()):
		return fmt.Errorf("the disk is full: a first build needs about 5 GB in Go's caches and 1 GB in %s: %w", cache, err)
	case noToolchain.MatchString(said):
		return fmt.Errorf("a newer Go is needed and could not be fetched: install it (https://go.dev/dl): %w", err)
	case noNetwork.MatchString(said):
		return fmt.Errorf("the modules could not be downloaded: is there a network, and do GOPROXY and HTTPS_PROXY suit it? %w", err)
	}
	return err
}
