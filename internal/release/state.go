package release

import (
	"fmt"
	"time"
)

// State is everything a release remembers. It is plain data, so that it can be printed, compared and kept.
type State struct {
	Plan    Plan     `json:"plan"`
	Regions []Region `json:"regions"` // in the order of the plan's waves
	Outcome Outcome  `json:"outcome,omitempty"`
}

// Region is how far the release has come in one region.
type Region struct {
	Name    string        `json:"name"`
	Wave    int           `json:"wave"`
	Phase   Phase         `json:"phase"`
	Started time.Time     `json:"started,omitzero"` // its turn came
	Since   time.Time     `json:"since,omitzero"`   // it entered its phase
	Whole   time.Time     `json:"whole,omitzero"`   // of a bake: since when every look found it complete
	Found   string        `json:"found,omitempty"`  // the image the rollout asked for when its turn came
	From    Version       `json:"from,omitzero"`    // the last good version: what its stable pods ran then
	Changed bool          `json:"changed"`          // this release, or an earlier run of it, asked the region for the image
	Pauses  time.Duration `json:"pauses,omitempty"` // that its rollout declares: they are no part of the timeout
	Why     string        `json:"why,omitempty"`    // what failed it or holds it
	Gate    *Analysis     `json:"gate,omitempty"`   // the analysis that failed it
	Hash    string        `json:"hash,omitempty"`   // pod template hash of the released version
	Proven  []string      `json:"proven,omitempty"` // gates of which a run has proven the version: Argo deletes the oldest runs as it goes on
	Image   string        `json:"image,omitempty"`  // that the rollout was last seen to ask for
	Unsaid  bool          `json:"unsaid,omitempty"` // it was aborted, and no analysis was seen that says why
}

// Phase is where a region stands. The way is Waiting → Setting → Updating (⇄ AwaitingApproval) → Verifying → Baking →
// Passed; off it, RollingBack → RolledBack, or Held.
type Phase string

// The phases.
const (
	Waiting          Phase = "Waiting"          // its wave has not come
	Setting          Phase = "Setting"          // the image is to be set
	Updating         Phase = "Updating"         // the controller is at work
	AwaitingApproval Phase = "AwaitingApproval" // a person must promote
	Verifying        Phase = "Verifying"        // on the image; the evidence is not complete
	Baking           Phase = "Baking"           // verified; must hold before the next wave
	Passed           Phase = "Passed"
	RollingBack      Phase = "RollingBack"
	RolledBack       Phase = "RolledBack"
	Held             Phase = "Held" // needs a person: could not be reached, verified or taken back
)

// Outcome is how a release ended. It is empty while it runs.
type Outcome string

// The outcomes.
const (
	OutcomeCompleted  Outcome = "completed"   // every region passed
	OutcomeRolledBack Outcome = "rolled-back" // a region failed; what was in flight is back on its last good version
	OutcomeHeld       Outcome = "held"        // a region needs a person
)

// inFlight tells the phases in which this release may have changed a region and has not yet finished with it.
func (p Phase) inFlight() bool {
	switch p {
	case Setting, Updating, AwaitingApproval, Verifying, Baking:
		return true
	}
	return false
}

// ActionKind is one of a closed set of things a release can ask for.
type ActionKind string

// The actions.
const (
	SetImage    ActionKind = "SetImage"    // ask the rollout for the plan's image
	Promote     ActionKind = "Promote"     // end the manual pause that was observed
	AskApproval ActionKind = "AskApproval" // ask a person whether to promote
	RollBack    ActionKind = "RollBack"    // take the region back to the version it came from
	Finish      ActionKind = "Finish"      // the release is over; Outcome says how
)

// Action is one thing to do, in one region but for Finish. An action is asked for again at each decision until an
// observation shows that it was done: carrying it out twice must do no harm.
type Action struct {
	Kind   ActionKind
	Region string
	Why    string
}

// Start is the state of a release that has touched nothing.
func Start(p Plan) State {
	s := State{Plan: p}
	for i, wave := range p.Waves {
		for _, name := range wave {
			s.Regions = append(s.Regions, Region{Name: name, Wave: i, Phase: Waiting})
		}
	}
	return s
}

// Wake is the earliest time after now at which the passing of time alone changes a decision, and false when none does.
func Wake(s State, now time.Time) (time.Time, bool) {
	var wake time.Time
	consider := func(at time.Time) {
		if at.After(now) && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	for _, r := range s.Regions {
		switch {
		case r.Phase == Baking:
			if !r.Whole.IsZero() {
				consider(bakedAt(s.Plan, r))
			}
			consider(deadline(s.Plan, r))
		case r.Phase == Verifying:
			consider(r.Since.Add(lag))
			consider(deadline(s.Plan, r))
		case r.Phase.inFlight() || r.Phase == Waiting && !r.Started.IsZero():
			consider(deadline(s.Plan, r))
		}
	}
	return wake, !wake.IsZero()
}

// lag bounds how much later than the rollout its analysis runs may be seen: each kind of object is watched by itself.
const lag = 10 * time.Second

// deadline is when a region in flight has had its time. A bake has its own: one that never ends whole must end all the same.
func deadline(p Plan, r Region) time.Time {
	if r.Phase == Baking {
		return r.Since.Add(p.Wait + p.Timeout)
	}
	return r.Started.Add(p.Timeout + r.Pauses)
}

// limit says for people how long a region had.
func limit(p Plan, r Region) string {
	if r.Pauses == 0 {
		return p.Timeout.String()
	}
	return fmt.Sprintf("%s beyond its own pauses of %s", p.Timeout, r.Pauses)
}

func bakedAt(p Plan, r Region) time.Time { return r.Whole.Add(p.Wait) }
