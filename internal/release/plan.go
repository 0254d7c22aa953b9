// Package release decides how a release goes through the regions of a fleet.
//
// It is pure: it imports the standard library alone, holds no client and no clock. [Decide] is told what was seen in
// each region and what time it is, and returns the new state and what is to be done; doing it is the engine's work.
package release

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Plan is one image of one rollout, resolved: where it goes, in which order, and by which rules. It is a snapshot,
// fixed before the first region is touched.
type Plan struct {
	Namespace string        `json:"namespace"`
	Rollout   string        `json:"rollout"`
	Image     string        `json:"image"`
	Waves     [][]string    `json:"waves"`   // regions that go together, in the order of the waves
	Timeout   time.Duration `json:"timeout"` // for one region, from its turn to verified, beyond the pauses that its rollout declares
	Wait      time.Duration `json:"wait"`    // how long a verified wave must hold before the next one starts
	Promote   bool          `json:"promote"` // promote manual pauses without asking
}

// Validate says what makes the plan impossible to carry out, or nil.
func (p Plan) Validate() error {
	var errs []error
	if p.Rollout == "" {
		errs = append(errs, errors.New("the rollout has no name"))
	}
	if p.Image == "" || strings.ContainsAny(p.Image, " \t\n") {
		errs = append(errs, fmt.Errorf("%q is not an image: give one like ghcr.io/org/name:tag", p.Image))
	}
	if p.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("a region's timeout must be longer than zero, not %s", p.Timeout))
	}
	if p.Wait < 0 {
		errs = append(errs, fmt.Errorf("the wait between regions cannot be negative: %s", p.Wait))
	}
	seen := map[string]bool{}
	for _, wave := range p.Waves {
		for _, region := range wave {
			if seen[region] {
				errs = append(errs, fmt.Errorf("region %s is listed twice", region))
			}
			seen[region] = true
		}
	}
	if len(seen) == 0 {
		errs = append(errs, errors.New("the plan has no region"))
	}
	return errors.Join(errs...)
}
