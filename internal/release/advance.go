package release

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

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
		switch {
		case o.Stable.Image != p.Image:
			r.From, r.Changed = o.Stable, true // an update half done, by an earlier run or by hand: from here on it is ours
		case o.Before.Hash != "":
			r.From, r.Changed = o.Before, true // an earlier run brought it in: nobody knows any more whether it was proven
		}
		r.Pauses = o.Pauses
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
	r.Found, r.From, r.Changed, r.Pauses = o.Image, o.Stable, true, o.Pauses
	return r, []Action{{Kind: SetImage, Region: r.Name, Why: "its turn"}}
}

// watching follows a region whose rollout asks for the image: bad news first, then time, then progress.
func watching(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	expired := !now.Before(deadline(p, r))
	if o.Unreachable != "" {
		if expired {
			return fail(r, fmt.Sprintf("unreachable until its deadline of %s: %s", limit(p, r), o.Unreachable), nil, now)
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
		return "nobody promoted it within " + limit(p, r)
	case o.Complete:
		why, _ := unproven(o.Analyses)
		return fmt.Sprintf("not verified within %s: %s", limit(p, r), why)
	}
	return fmt.Sprintf("not complete within %s: %s", limit(p, r), strings.Join(o.Lacking, "; "))
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
			return fmt.Sprintf("complete, but nothing proves it: its analysis %s never ran, or its run is gone (was it promoted past its gates by hand, or within the rollback window?)", gate)
		}
	}
	return ""
}

// complete asks for the evidence, then for the bake.
func complete(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	why, wait := unproven(o.Analyses)
	if gate := skipped(r, o); gate != "" {
		if r.Phase == Verifying && !now.Before(r.Since.Add(lag)) {
			return hold(r, gate, now) // a person may have had a reason to promote it: it is theirs to judge
		}
		why, wait = gate, true
	}
	switch {
	case why != "" && !wait:
		return fail(r, why, nil, now)
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
