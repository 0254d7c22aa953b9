package release

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// advance moves one region by what was seen of it.
func advance(s State, r Region, o Observation, now time.Time) (Region, []Action) {
	switch r.Phase {
	case Waiting:
		r.Started, r.Why = now, ""
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
		return hold(r, o.Refused, now) // nothing was written that could be seen
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
	case expired:
		return hold(r, fmt.Sprintf("the image could not be set within %s: %s", p.Timeout, cmp.Or(o.Trouble, strings.Join(o.Lacking, "; "), "the request did not arrive")), now)
	case !o.Settled:
		return r, nil
	case r.Found == "" && !o.Aborted && !o.Complete:
		if o.Hash != o.Stable.Hash {
			return hold(r, fmt.Sprintf("another release is under way there: it is on its way to %s (%s)", o.Image, strings.Join(o.Lacking, "; ")), now)
		}
		return r, nil // a pod restarts, perhaps: it is waited for
	case r.Found != "" && r.Found != o.Image:
		return hold(r, fmt.Sprintf("someone else set the image to %s", o.Image), now)
	case r.Found == "" && o.Shortcut != "":
		return hold(r, o.Shortcut, now)
	}
	r.Found, r.From, r.Changed, r.Pauses = o.Image, o.Stable, true, o.Pauses
	return r, []Action{{Kind: SetImage, Region: r.Name, Why: "its turn"}}
}

// watching follows a region whose rollout asks for the image: bad news first, then time, then progress.
func watching(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	expired := !now.Before(deadline(p, r))
	if !o.Complete || o.Unreachable != "" {
		r.Whole = time.Time{} // a bake begins anew
	}
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
	if o.Settled {
		if r.Hash != "" && r.Hash != o.Hash {
			return hold(r, "someone else changed the rollout's pod template: what was proven was another version", now)
		}
		r.Hash = o.Hash
	}
	r.Proven = proven(r.Proven, o.Analyses)
	if why, gate := bad(o); why != "" {
		r.Unsaid = gate == nil && o.Aborted
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
		return fmt.Sprintf("not verified within %s: %s", limit(p, r), unproven(r, o))
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

// proven adds the gates of runs that count as evidence to those that were proven before.
func proven(before []string, runs []Analysis) []string {
	gates := slices.Clone(before)
	for _, run := range runs {
		if run.proves() && !slices.Contains(gates, run.Gate()) {
			gates = append(gates, run.Gate())
		}
	}
	return gates
}

// unproven says what is missing before a complete region has proven the version, or is empty. What was there before the
// release is held to the runs that there are, and to no gate that has none.
func unproven(r Region, o Observation) string {
	for _, run := range o.Analyses {
		if !run.ended() {
			return fmt.Sprintf("analysis %s is still %s", run.Name, run.Verdict)
		}
	}
	for _, run := range o.Analyses {
		if metric := run.unmeasured(); metric != "" {
			return fmt.Sprintf("nothing proves it: metric %s of analysis %s has no successful measurement", metric, run.Name)
		}
	}
	for _, gate := range o.Gates {
		if r.Changed && !slices.Contains(r.Proven, gate) {
			return fmt.Sprintf("nothing proves it: its analysis %s never ran, was cut short, or its run is gone", gate)
		}
	}
	return ""
}

// complete asks for the evidence, then for the bake. Missing evidence is no failure: somebody promoted the rollout past its
// gates, perhaps, and had a reason. It is theirs to judge, and nothing widens.
func complete(p Plan, r Region, o Observation, now time.Time) (Region, []Action) {
	why := unproven(r, o)
	switch {
	case r.Phase == Baking:
		if r.Whole.IsZero() {
			r.Whole = now
		}
		if why == "" && !now.Before(bakedAt(p, r)) {
			return enter(r, Passed, now), nil
		}
		return r, nil
	case why != "" && r.Phase != Verifying:
		return enter(r, Verifying, now), nil
	case why != "":
		if ended(o.Analyses) && !now.Before(r.Since.Add(lag)) {
			return hold(r, why, now)
		}
		return r, nil
	case p.Wait > 0 && r.Wave < len(p.Waves)-1:
		r.Whole = now
		return enter(r, Baking, now), nil
	}
	return enter(r, Passed, now), nil
}

func ended(runs []Analysis) bool {
	return !slices.ContainsFunc(runs, func(run Analysis) bool { return !run.ended() })
}

// rollingBack asks again until a result is in. An abort may be seen before the run that caused it; the result names it.
func rollingBack(r Region, o Observation, now time.Time) (Region, []Action) {
	if o.Return == nil {
		return r, []Action{{Kind: RollBack, Region: r.Name, Why: r.Why}}
	}
	if r.Unsaid && o.Return.Gate != nil {
		r.Gate, r.Why = o.Return.Gate, o.Return.Gate.Explain()
	}
	if o.Return.Err != "" {
		return hold(r, r.Why+"; the rollback is not verified: "+o.Return.Err, now)
	}
	return enter(r, RolledBack, now), nil
}
