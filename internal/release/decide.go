package release

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Decide takes the state of a release, what was seen in each region, and the time, and returns the new state and what
// is to be done now. It does not change s. A region without an observation counts as unreachable.
//
// Two rules stand above the others: nothing widens unless every region before it has passed and still holds, and once
// one region has failed, whatever is in flight comes back and nothing starts any more.
func Decide(s State, seen map[string]Observation, now time.Time) (State, []Action) {
	s.Regions = slices.Clone(s.Regions)
	if s.Outcome != "" {
		return s, nil
	}
	var actions []Action
	step := func(i int) {
		o := observation(seen, s.Regions[i].Name)
		r, acts := advance(s, s.Regions[i], o, now)
		if o.Image != "" {
			r.Image = o.Image
		}
		s.Regions[i] = r
		actions = append(actions, acts...)
	}
	for i := range s.Regions {
		if s.Regions[i].Phase != Waiting {
			step(i)
		}
	}
	for i := range s.Regions {
		if s.Regions[i].Phase != Waiting || !due(s, s.Regions[i]) {
			continue
		}
		if why := barred(s, s.Regions[i], seen); why != "" {
			s.Regions[i] = kept(s.Plan, s.Regions[i], why, now)
			continue
		}
		step(i)
	}
	if why := trouble(s, seen); why != "" {
		actions = recall(&s, actions, why, now)
	}
	if outcome := concluded(s, seen); outcome != "" {
		s.Outcome = outcome
		actions = append(actions, Action{Kind: Finish, Why: string(outcome)})
	}
	return s, actions
}

func observation(seen map[string]Observation, region string) Observation {
	if o, ok := seen[region]; ok {
		return o
	}
	return Observation{Unreachable: Unread}
}

// due holds when every earlier wave has passed.
func due(s State, r Region) bool {
	for _, before := range s.Regions {
		if before.Wave < r.Wave && before.Phase != Passed {
			return false
		}
	}
	return true
}

// barred looks again at the regions that have passed, and says why a region that is due must not start after all.
func barred(s State, r Region, seen map[string]Observation) string {
	if why := trouble(s, seen); why != "" {
		return why
	}
	for _, before := range s.Regions {
		if before.Wave >= r.Wave {
			continue
		}
		o := observation(seen, before.Name)
		switch {
		case o.Unreachable != "":
			return fmt.Sprintf("%s, which had passed, is unreachable: %s", before.Name, o.Unreachable)
		case o.Refused != "":
			return fmt.Sprintf("%s, which had passed, can be read no longer: %s", before.Name, o.Refused)
		case !o.Complete:
			return fmt.Sprintf("%s, which had passed, does not hold: %s", before.Name, strings.Join(o.Lacking, "; "))
		}
	}
	return ""
}

// kept holds back a region that is due, until its time is over.
func kept(p Plan, r Region, why string, now time.Time) Region {
	if r.Started.IsZero() {
		r.Started = now
	}
	r.Why = why
	if !now.Before(deadline(p, r)) {
		r, _ = hold(r, why, now)
	}
	return r
}

// trouble says why the release must not go on: a region failed or is held, or one that had passed has left the image.
func trouble(s State, seen map[string]Observation) string {
	for _, r := range s.Regions {
		switch r.Phase {
		case RollingBack, RolledBack:
			return fmt.Sprintf("%s failed: %s", r.Name, r.Why)
		case Held:
			return fmt.Sprintf("%s is held: %s", r.Name, r.Why)
		}
		if left(s, r, seen) {
			return fmt.Sprintf("%s passed and was then moved to %s", r.Name, seen[r.Name].Image)
		}
	}
	return ""
}

// left tells that a passed region was taken off the image by someone else.
func left(s State, r Region, seen map[string]Observation) bool {
	o := observation(seen, r.Name)
	return r.Phase == Passed && o.Unreachable == "" && o.Refused == "" && o.Image != s.Plan.Image
}

// recall takes every region in flight back. What was asked of these regions in the same breath is withdrawn.
func recall(s *State, actions []Action, why string, now time.Time) []Action {
	for i, r := range s.Regions {
		if !r.Phase.inFlight() {
			continue
		}
		actions = slices.DeleteFunc(actions, func(a Action) bool { return a.Region == r.Name })
		r, acts := fail(r, "taken back with the release: "+why, nil, now)
		s.Regions[i] = r
		actions = append(actions, acts...)
	}
	return actions
}

// concluded is the outcome once nothing is in flight and nothing may start, else empty.
func concluded(s State, seen map[string]Observation) Outcome {
	waiting, held, back := false, false, false
	for _, r := range s.Regions {
		switch {
		case r.Phase.inFlight() || r.Phase == RollingBack:
			return ""
		case r.Phase == Waiting:
			waiting = true
		case r.Phase == RolledBack:
			back = true
		case r.Phase == Held || left(s, r, seen):
			held = true
		}
	}
	switch {
	case held:
		return OutcomeHeld
	case back:
		return OutcomeRolledBack
	case waiting:
		return ""
	}
	return OutcomeCompleted
}
