// Package image says what a container image does in the lab: told at run time, never compiled in.
package image

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxFactor bounds every factor: beyond it a typing error is likelier than a wish.
const MaxFactor = 10_000

// maxViolations bounds the kinds one image reports: each is a time series of its own.
const maxViolations = 8

// The ways in which an image's HTML page can differ from a healthy one's.
const (
	PageMoved      = "moved"      // the button sits elsewhere
	PageRecoloured = "recoloured" // the panel has another colour
)

// Pages returns the values of Behaviour.Page, but for "".
func Pages() []string { return []string{PageMoved, PageRecoloured} }

// Behaviour is what an image does. The zero value is healthy.
type Behaviour struct {
	Errors       float64       // share of requests answered 500, 0 to 1
	ClientErrors float64       // share of requests answered 400, 0 to 1; no request is both
	Latency      float64       // factor on the base latency; 0 means 1
	Crash        bool          // exits with code 1: right after its start, or at the next request if it already runs
	SlowStart    time.Duration // from the container's start to the first answer other than 503
	Tokens       float64       // factor on GenAI tokens per request; 0 means 1
	Garbled      bool          // GenAI answers break the protocol: they offer no choice
	Quality      float64       // mean score of AI answers, above 0 to 1; 0 is a healthy one's
	Queries      float64       // factor on the time of ClickHouse queries; 0 means 1
	Vitals       float64       // factor on web vitals; 0 means 1
	Page         string        // how the HTML page differs: one of Pages, or ""
	Violations   []string      // kinds of GDPR violation that each request reports, such as "residency" and "pii"
	Unaudited    float64       // share of requests not written to the audit trail, 0 to 1
}

// IsZero reports whether b is the healthy behaviour.
func (b Behaviour) IsZero() bool {
	if len(b.Violations) == 0 {
		b.Violations = nil // an empty list says no more than none
	}
	return reflect.ValueOf(b).IsZero()
}

// Validate says what cannot be honoured, naming the field and the limit.
func (b Behaviour) Validate() error {
	for _, share := range []struct {
		name  string
		value float64
	}{{"errors", b.Errors}, {"clientErrors", b.ClientErrors}, {"quality", b.Quality}, {"unaudited", b.Unaudited}} {
		// The comparison is written so that NaN fails it.
		if !(share.value >= 0 && share.value <= 1) {
			return fmt.Errorf("%s: %v is no share: want 0 to 1", share.name, share.value)
		}
	}
	if sum := b.Errors + b.ClientErrors; sum > 1 {
		return fmt.Errorf("errors and clientErrors: %v of the requests fail together: want at most 1", sum)
	}
	for _, factor := range []struct {
		name  string
		value float64
	}{{"latency", b.Latency}, {"tokens", b.Tokens}, {"queries", b.Queries}, {"vitals", b.Vitals}} {
		if !(factor.value >= 0 && factor.value <= MaxFactor) {
			return fmt.Errorf("%s: %v is no factor: want 0 (unchanged) to %d", factor.name, factor.value, MaxFactor)
		}
	}
	if b.SlowStart < 0 {
		return fmt.Errorf("slowStart: %v is negative", b.SlowStart)
	}
	if b.Page != "" && !slices.Contains(Pages(), b.Page) {
		return fmt.Errorf("page: %q is not known: want %s", b.Page, strings.Join(Pages(), " or "))
	}
	return validateViolations(b.Violations)
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
