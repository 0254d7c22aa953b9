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
		r, acts := advance(s, s.Regions[i], observation(seen, s.Regions[i].Name), now)
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
	for _, before := range s.Regions {
		if o := observation(seen, before.Name); before.Wave < r.Wave && o.Unreachable != "" {
			return fmt.Sprintf("%s, which had passed, is unreachable: %s", before.Name, o.Unreachable)
		}
	}
	return trouble(s, seen)
}

// kept holds back a region that is due, until its time is over.
func kept(p Plan, r Region, why string, now time.Time) Region {
	if r.Started.IsZero() {
		r.Started = now
	}
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

// advance moves one region by what was seen of it.
func advance(s State, r Region, o Observation, now time.Time) (Region, []Action) {
	switch r.Phase {
	case Waiting:
		r.Started = now
		return setting(s.Plan, enter(r, Setting, now), o, now)
	case Setting:
		return setting(s.Plan, r, o, now)
	case Updating, AwaitingApproval, Verifying, Baking:
		return watching(s.Plan, r, o, now)
	case RollingBack:
		return rollingBack(r, o, now)
	}
	return r, nil
}

func enter(r Region, p Phase, now time.Time) Region {
	r.Phase, r.Since = p, now
	return r
}

func hold(r Region, why string, now time.Time) (Region, []Action) {
	r.Why = why
	return enter(r, Held, now), nil
}

// fail rolls back a region that this release changed, and holds one that it did not: there is nothing to take back.
func fail(r Region, why string, gate *Analysis, now time.Time) (Region, []Action) {
	if !r.Changed {
		return hold(r, why, now)
	}
	r.Why, r.Gate = why, gate
	return enter(r, RollingBack, now), []Action{{Kind: RollBack, Region: r.Name, Why: why}}
}

// setting brings the region to the point where its rollout asks for the image, and refuses to start where the last good
// version is not known for certain.
func setting(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	expired := !now.Before(deadline(p, r))
	switch {
	case o.Refused != "":
		return fail(r, o.Refused, nil, now)
	case o.Unreachable != "":
		if expired {
			return fail(r, fmt.Sprintf("unreachable for %s: %s", p.Timeout, o.Unreachable), nil, now)
		}
		return r, nil
	case o.Image == p.Image && o.Aborted && !r.Changed:
		return hold(r, "the rollout already asks for this image and was aborted on it; roll it back first", now)
	case o.Image == p.Image:
		if o.Stable.Image != p.Image {
			r.From, r.Changed = o.Stable, true // an update half done, by an earlier run or by hand: from here on it is ours
		}
		return watching(p, enter(r, Updating, now), o, now)
	case !o.Settled && !expired:
		return r, nil
	case r.Found == "" && !o.Complete && !o.Aborted:
		return hold(r, fmt.Sprintf("another release is under way there: it is on its way to %s (%s)", o.Image, strings.Join(o.Lacking, "; ")), now)
	case r.Found != "" && r.Found != o.Image:
		return hold(r, fmt.Sprintf("someone else set the image to %s", o.Image), now)
	case expired:
		return fail(r, fmt.Sprintf("the image could not be set within %s", p.Timeout), nil, now)
	}
	r.Found, r.From, r.Changed = o.Image, o.Stable, true
	return r, []Action{{Kind: SetImage, Region: r.Name, Why: "its turn"}}
}

// watching follows a region whose rollout asks for the image: bad news first, then time, then progress.
func watching(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	expired := !now.Before(deadline(p, r))
	if o.Unreachable != "" {
		if expired {
			return fail(r, fmt.Sprintf("unreachable until its deadline of %s: %s", p.Timeout, o.Unreachable), nil, now)
		}
		return r, nil
	}
	if o.Refused != "" {
		return hold(r, o.Refused, now)
	}
	if o.Image != p.Image {
		return hold(r, fmt.Sprintf("someone else moved the rollout to %s", o.Image), now)
	}
	if !o.Settled && !expired {
		return r, nil
	}
	r.Hash = o.Hash
	r.Ran = ran(r.Ran, o.Analyses)
	if why, gate := bad(o); why != "" {
		return fail(r, why, gate, now)
	}
	if expired {
		return fail(r, late(p, r, o), nil, now)
	}
	if o.Complete {
		return complete(p, r, o, now)
	}
	return incomplete(p, r, o, now)
}

// bad is why what was seen ends the release here, with the analysis that says so, or empty.
func bad(o Observation) (string, *Analysis) {
	if run, ok := Worst(o.Analyses); ok {
		return run.Explain(), &run
	}
	switch {
	case o.Pause == PauseInconclusive:
		return "an analysis could not tell: " + o.Message, nil
	case o.Aborted:
		return "the rollout was aborted: " + o.Message, nil
	case o.Degraded:
		return "the rollout is degraded: " + o.Message, nil
	}
	return "", nil
}

func late(p Plan, r Region, o Observation) string {
	switch {
	case r.Phase == AwaitingApproval:
		return fmt.Sprintf("nobody promoted it within %s", p.Timeout)
	case o.Complete:
		why, _ := unproven(o.Analyses)
		if why == "" {
			why = skipped(r, o)
		}
		return fmt.Sprintf("not verified within %s: %s", p.Timeout, why)
	}
	return fmt.Sprintf("not complete within %s: %s", p.Timeout, strings.Join(o.Lacking, "; "))
}

// incomplete is the way to completion: the controller works, or waits for somebody.
func incomplete(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	if r.Phase == Baking || r.Phase == Verifying {
		return r, nil // it was complete; a pod restarts, perhaps. The deadline watches.
	}
	if o.Pause != PauseManual {
		if r.Phase != Updating {
			r = enter(r, Updating, now)
		}
		return r, nil
	}
	switch {
	case o.Approval == ApprovalRefused:
		return fail(r, "the promotion was refused", nil, now)
	case p.Promote || o.Approval == ApprovalGranted:
		return r, []Action{{Kind: Promote, Region: r.Name, Why: "its gates have not failed"}}
	case r.Phase != AwaitingApproval:
		r = enter(r, AwaitingApproval, now)
	}
	return r, []Action{{Kind: AskApproval, Region: r.Name, Why: "the rollout waits for a promotion"}}
}

// ran adds the gates of runs to those that were seen before.
func ran(before []string, runs []Analysis) []string {
	gates := slices.Clone(before)
	for _, run := range runs {
		if !slices.Contains(gates, run.Gate()) {
			gates = append(gates, run.Gate())
		}
	}
	return gates
}

// skipped names a gate that the release went past without a run, or is empty. A promotion in full does that, and so does
// a version within the rollback window. What was there before the release is not held to it.
func skipped(r Region, o Observation) string {
	for _, gate := range o.Gates {
		if r.Changed && !slices.Contains(r.Ran, gate) {
			return fmt.Sprintf("complete, but nothing proves it: its analysis %s never ran (promoted past its gates by hand, or within the rollback window)", gate)
		}
	}
	return ""
}

// complete asks for the evidence, then for the bake.
func complete(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	why, wait := unproven(o.Analyses)
	if why != "" && !wait {
		return fail(r, why, nil, now)
	}
	if why == "" {
		if why = skipped(r, o); why != "" && r.Phase == Verifying && !now.Before(r.Since.Add(lag)) {
			return hold(r, why, now) // a person may have had a reason to promote it: it is theirs to judge
		}
	}
	switch {
	case r.Phase == Baking:
		if why == "" && !now.Before(bakedAt(p, r)) {
			return enter(r, Passed, now), nil
		}
		return r, nil
	case why != "":
		if r.Phase != Verifying {
			r = enter(r, Verifying, now)
		}
		return r, nil
	case p.Wait > 0 && r.Wave < len(p.Waves)-1:
		return enter(r, Baking, now), nil
	}
	return enter(r, Passed, now), nil
}

// rollingBack asks again until a result is in. An abort may be seen before the run that caused it; the result names it.
func rollingBack(r Region, o Observation, now time.Time) (Region, []Action) {
	if o.Return == nil {
		return r, []Action{{Kind: RollBack, Region: r.Name, Why: r.Why}}
	}
	if r.Gate == nil {
		r.Gate = o.Return.Gate
	}
	if o.Return.Err != "" {
		return hold(r, r.Why+"; the rollback is not verified: "+o.Return.Err, now)
	}
	return enter(r, RolledBack, now), nil
}
