// Package probe is what every probe answers with: a verdict, and the checks on which it rests.
package probe

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Verdict is what a probe or one of its checks found.
type Verdict string

// The verdicts. Error is neither of the other two: nothing is known, so that it must never count as a pass.
const (
	Passed Verdict = "passed" // it was measured, and is as it should be
	Failed Verdict = "failed" // it was measured, and is not
	Error  Verdict = "error"  // it could not be measured
)

// Measure is one measured value, and the bound that it had to keep.
type Measure struct {
	Value float64  `json:"value"`
	Unit  string   `json:"unit"` // such as seconds, percent, pixels
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
}

// Check is one thing that was looked at.
type Check struct {
	Name     string             `json:"name"`
	Verdict  Verdict            `json:"verdict"`
	Message  string             `json:"message,omitempty"` // what is wrong, or worth knowing
	Seconds  float64            `json:"seconds,omitempty"` // the time it took, all attempts and the pauses between them
	Measured map[string]Measure `json:"measured,omitempty"`
	Evidence map[string]string  `json:"evidence,omitempty"` // files, or data URIs
}

// Result is a probe's answer. Its JSON form is an interface.
type Result struct {
	Probe    string   `json:"probe"` // smoke, genai or visual
	Verdict  Verdict  `json:"verdict"`
	Error    string   `json:"error,omitempty"` // why it could not be measured
	Targets  []string `json:"targets"`         // URLs, without credentials and query
	Seconds  float64  `json:"seconds"`
	Warnings []string `json:"warnings,omitempty"` // what the verdict leaves out
	Checks   []Check  `json:"checks"`
}

// New starts the answer of a probe of targets.
func New(name string, targets ...string) Result {
	return Result{Probe: name, Targets: targets, Checks: []Check{}}
}

// Conclude draws the verdict from the checks, after the time it took. Evidence against outweighs what could not be
// measured, and a pass takes at least one check.
func (r *Result) Conclude(took time.Duration) {
	r.Seconds = Seconds(took)
	is := func(v Verdict) func(Check) bool { return func(c Check) bool { return c.Verdict == v } }
	broken := slices.IndexFunc(r.Checks, is(Error))
	switch {
	case slices.ContainsFunc(r.Checks, is(Failed)):
		r.Verdict = Failed
	case r.Error != "":
		r.Verdict = Error
	case broken >= 0:
		r.Verdict, r.Error = Error, fmt.Sprintf("%s: %s", r.Checks[broken].Name, r.Checks[broken].Message)
	case len(r.Checks) == 0:
		r.Verdict, r.Error = Error, "nothing was checked"
	default:
		r.Verdict = Passed
	}
}

// Broken is the answer of a probe that could measure nothing.
func (r Result) Broken(why error, took time.Duration) Result {
	r.Error = why.Error()
	r.Conclude(took)
	return r
}

// Count tells how many checks have the verdict.
func (r Result) Count(v Verdict) int {
	n := 0
	for _, c := range r.Checks {
		if c.Verdict == v {
			n++
		}
	}
	return n
}

// Seconds is d in seconds, to a tenth of a millisecond.
func Seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 1e4 }

// Took measures a length of time that must be at most limit. A limit of 0 is none.
func Took(d, limit time.Duration) Measure {
	m := Measure{Value: Seconds(d), Unit: "seconds"}
	if limit > 0 {
		m.Max = Bound(limit.Seconds())
	}
	return m
}

// Bound is a bound of a Measure.
func Bound(v float64) *float64 { return &v }
