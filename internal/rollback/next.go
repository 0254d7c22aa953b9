// Package rollback knows the shortest safe way back to a rollout's last good version, from whatever state it is in.
//
// It is pure: it imports the standard library alone. A rollback is a loop over [Next]: observe, take the one step that
// Next names, observe again. Each step is chosen from what is seen, not from what was done, so a rollback may be killed
// and started again at any point, or run twice at once.
package rollback

// Strategy is how a rollout brings a new version in.
type Strategy string

// The two strategies of Argo Rollouts.
const (
	Canary    Strategy = "canary"
	BlueGreen Strategy = "blueGreen"
)

// State is what was observed of one rollout, seen from the version it is to go back to.
type State struct {
	Strategy Strategy
	Routed   bool // canary weights are set by a traffic router, not by pod counts

	Target  string // pod template hash of the version to return to
	Stable  string // status.stableRS
	Current string // status.currentPodHash
	Active  string // blue/green: the hash that the active Service selects

	OnTarget bool // the rollout's template is the target's
	Settled  bool // the controller has acted on the newest generation
	Aborted  bool // status.abort
	Full     bool // status.promoteFull
	Paused   bool // spec.paused: somebody holds the controller still
	Window   bool // spec.rollbackWindow covers the target
	Warm     bool // the target's ReplicaSet has all its pods available

	Routes   bool // Service selectors and route weights send everything to the target
	Traffic  bool // Routes, and the target has available pods to take it
	Restored bool // Traffic, and the rollout is wholly on the target again: pods, stable hash, healthy
}

// Kind is one of the closed set of steps.
type Kind string

// The steps. Each is one patch, but for Wait and Done.
const (
	Wait            Kind = "wait"             // the controller is at work; look again when something changes
	Abort           Kind = "abort"            // status: abort true, promoteFull false
	RestoreTemplate Kind = "restore template" // spec: the target's pod template
	PromoteFull     Kind = "promote full"     // status: promoteFull true
	Unpause         Kind = "unpause"          // spec: paused false
	Done            Kind = "done"
)

// Step is the next thing to do, and why.
type Step struct {
	Kind   Kind
	Paused bool // RestoreTemplate: hold the controller still with the same patch
	Why    string
}

// Next is the one step to take now.
func Next(s State) Step {
	switch {
	case s.Restored && !s.Paused:
		return Step{Kind: Done, Why: "traffic and pods are on the last good version"}
	case s.OnTarget:
		return onTarget(s)
	case s.Settled && midUpdate(s):
		return midway(s)
	}
	return restore(s)
}

// midUpdate holds while the target is still the stable version and takes, or can take at once, all traffic: an abort is
// all it needs. After a blue/green switch abort is no way back: it does nothing where the new pods are not all available,
// and then scales the ReplicaSet that serves to zero.
func midUpdate(s State) bool {
	if s.Stable != s.Target || s.Current == s.Target {
		return false
	}
	return s.Strategy == Canary || s.Active == s.Target
}

// midway stops the update first, for that is one reconcile, and puts the template back once the traffic has returned.
func midway(s State) Step {
	switch {
	case !s.Aborted || s.Full:
		// promoteFull makes the controller drop an abort: argoproj/argo-rollouts#4461. The patch clears it.
		return Step{Kind: Abort, Why: "the update has not been promoted: abort sends traffic to stable in one reconcile"}
	case s.Routed && !s.Routes:
		return Step{Kind: Wait, Why: "for the route to return to stable"}
	}
	// Left aborted, the rollout would begin the bad version again at its next change, and its canary Service would flap
	// between two selectors for abortScaleDownDelaySeconds: argoproj/argo-rollouts#3078.
	return Step{Kind: RestoreTemplate, Why: "aborted: the template must not ask for the bad version any longer"}
}

// restore goes back to a version that is no longer the stable one.
func restore(s State) Step {
	if s.Strategy == Canary && s.Warm && !s.Window && s.Stable != s.Target {
		// Without a rollback window the controller would first shrink the warm ReplicaSet to the size of step 0.
		return Step{Kind: RestoreTemplate, Paused: true, Why: "promoted, the old pods are warm, no rollback window: held still so that they are not scaled down"}
	}
	return Step{Kind: RestoreTemplate, Why: "the rollout must ask for the last good version"}
}

// onTarget waits for the controller, and lifts what keeps it from going all the way at once.
func onTarget(s State) Step {
	switch {
	case !s.Settled || s.Current != s.Target:
		// promoteFull that arrives before the controller has seen the template is lost without a word.
		return Step{Kind: Wait, Why: "for the controller to see the template"}
	case s.Stable != s.Target && !s.Full:
		return Step{Kind: PromoteFull, Why: "no steps, pauses or analyses on the way back to a version that was good"}
	case s.Paused:
		return Step{Kind: Unpause, Why: "the rollout is held still and asks for the last good version"}
	}
	return Step{Kind: Wait, Why: "for traffic and pods to be back"}
}
