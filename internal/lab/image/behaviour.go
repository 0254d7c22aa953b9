// Package image says what a container image does in the lab: told at run time, never compiled in.
package image

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"
)

// MaxFactor bounds Latency and Tokens: beyond it a typing error is likelier than a wish.
const MaxFactor = 10_000

// maxViolations bounds the kinds one image reports: each is a time series of its own.
const maxViolations = 8

// Behaviour is what an image does. The zero value is healthy.
type Behaviour struct {
	Errors     float64       // share of requests answered 500, 0 to 1
	Latency    float64       // factor on the base latency; 0 means 1
	Crash      bool          // exits with code 1: right after its start, or at the next request if it already runs
	SlowStart  time.Duration // from the container's start to the first answer other than 503
	Tokens     float64       // factor on GenAI tokens per request; 0 means 1
	Violations []string      // kinds of GDPR violation that each request reports, such as "residency" and "pii"
}

// IsZero reports whether b is the healthy behaviour.
func (b Behaviour) IsZero() bool {
	return b.Errors == 0 && b.Latency == 0 && !b.Crash && b.SlowStart == 0 && b.Tokens == 0 && len(b.Violations) == 0
}

// Validate says what cannot be honoured, naming the field and the limit.
func (b Behaviour) Validate() error {
	// The comparison is written so that NaN fails it.
	if !(b.Errors >= 0 && b.Errors <= 1) {
		return fmt.Errorf("errors: %v is no share: want 0 to 1", b.Errors)
	}
	if err := validateFactor("latency", b.Latency); err != nil {
		return err
	}
	if err := validateFactor("tokens", b.Tokens); err != nil {
		return err
	}
	if b.SlowStart < 0 {
		return fmt.Errorf("slowStart: %v is negative", b.SlowStart)
	}
	return validateViolations(b.Violations)
}

func validateFactor(name string, f float64) error {
	if math.IsNaN(f) || f < 0 || f > MaxFactor {
		return fmt.Errorf("%s: %v is no factor: want 0 (unchanged) to %d", name, f, MaxFactor)
	}
	return nil
}

func validateViolations(kinds []string) error {
	if len(kinds) > maxViolations {
		return fmt.Errorf("violations: %d kinds, at most %d", len(kinds), maxViolations)
	}
	word := regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	for i, kind := range kinds {
		if !word.MatchString(kind) {
			return fmt.Errorf("violations: %q is no kind: want a lower-case word such as residency or pii", kind)
		}
		if slices.Contains(kinds[:i], kind) {
			return fmt.Errorf("violations: %q is named twice", kind)
		}
	}
	return nil
}

func (b Behaviour) clone() Behaviour {
	b.Violations = slices.Clone(b.Violations)
	return b
}
