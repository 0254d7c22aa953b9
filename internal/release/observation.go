package release

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Observation is what was read of one region at one time. Unreachable is a value: it is neither health nor failure.
type Observation struct {
	Unreachable string // why the region could not be read; empty when it was
	Refused     string // why the rollout there cannot be released at all: missing, not permitted, no such container
	Trouble     string // what acting on it failed with last; it is tried again
	Shortcut    string // why setting Image would skip all gates: Argo would take it for a rollback

	Image    string        // the image that the rollout's template asks for
	Stable   Version       // what the stable pods run
	Before   Version       // was stable before a release of Image brought that in; zero where no release did, or it is not known
	Pauses   time.Duration // that the rollout declares before it is complete
	Settled  bool          // the controller has acted on the newest generation of the rollout
	Complete bool          // fully on Image: pods, stable hash, Service selectors and route weights agree
	Lacking  []string      // what Complete still wants
	Progress string        // how far the controller has come, for people: "step 3 of 7, 25 % canary"
	Aborted  bool
	Degraded bool
	Message  string // the controller's own word on its state
	Pause    Pause
	PausedAt string   // tells one pause from the next
	Hash     string   // pod template hash of Image's ReplicaSet, empty until it exists
	Gates    []string // the analyses that the rollout declares, each by the name that [Analysis.Gate] gives to its run
	Analyses []Analysis

	Approval Approval  // the operator's answer in this region, if asked
	Return   *Returned // how rolling this region back ended, once it has
}

// Unread is the reason of Unreachable in a region that has had no time to answer.
const Unread = "not observed yet"

// Version is one ReplicaSet of the rollout.
type Version struct {
	Image string `json:"image"`
	Hash  string `json:"hash"` // pod template hash
}

// Pause says for whom a paused rollout waits.
type Pause string

// The reasons that matter to a release. A timed pause ends by itself and counts as no pause.
const (
	PauseNone         Pause = ""
	PauseManual       Pause = "manual"       // a promotion is wanted: blue/green, or a canary pause without duration
	PauseUser         Pause = "user"         // somebody set spec.paused
	PauseInconclusive Pause = "inconclusive" // an analysis could not tell
)

// Approval is an operator's answer to a wanted promotion.
type Approval string

// An operator has said nothing, yes, or no.
const (
	ApprovalNone    Approval = ""
	ApprovalGranted Approval = "granted"
	ApprovalRefused Approval = "refused"
)

// Returned is the result of rolling one region back. Err is empty where the region was verified on its last good version.
type Returned struct {
	Err  string
	Gate *Analysis // that had failed on the version left behind, as read afterwards; nil where none had
}

// Verdict is what an analysis, or one metric of it, has to say.
type Verdict string

// The verdicts are Argo's phases.
const (
	Pending      Verdict = "Pending"
	Running      Verdict = "Running"
	Successful   Verdict = "Successful"
	Failed       Verdict = "Failed"
	Errored      Verdict = "Error"
	Inconclusive Verdict = "Inconclusive"
)

// Bad tells the verdicts that end a release: only success passes a gate, and what could not be measured was not passed.
func (v Verdict) Bad() bool { return v == Failed || v == Errored || v == Inconclusive }

// Analysis is one AnalysisRun of the release's revision.
type Analysis struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`           // Step, Background, PrePromotion or PostPromotion
	Step    string   `json:"step,omitempty"` // of the canary, counted from 0, for the kind Step
	Verdict Verdict  `json:"verdict"`
	Message string   `json:"message,omitempty"`
	Metrics []Metric `json:"metrics,omitempty"`
	// Terminated says that the controller ended it before its time. A background analysis ends in no other way; any other
	// was cut short by somebody's promotion, and Argo calls it Successful whatever it was about to find.
	Terminated bool `json:"terminated,omitempty"`
}

// background is the kind of the analyses that run beside a canary's steps.
const background = "Background"

// Metric is one metric of an analysis, with its counts of measurements.
type Metric struct {
	Name         string  `json:"name"`
	Verdict      Verdict `json:"verdict"`
	Successes    int     `json:"successes"`
	Failures     int     `json:"failures"`
	Errors       int     `json:"errors"`
	Inconclusive int     `json:"inconclusive"`
	DryRun       bool    `json:"dryRun,omitempty"`
	Value        string  `json:"value,omitempty"` // of the measurement that decided, else the last one
	Query        string  `json:"query,omitempty"` // as it was sent
	Job          string  `json:"job,omitempty"`   // whose log says why, for a metric that a Job measures
	Message      string  `json:"message,omitempty"`
}

// Gate names the place in the rollout's strategy that the run was made for.
func (a Analysis) Gate() string { return strings.TrimSpace(a.Kind + " " + a.Step) }

// Measured is the value for people: four digits of it.
func (m Metric) Measured() string {
	v, err := strconv.ParseFloat(m.Value, 64)
	if err != nil {
		return m.Value
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Worst is the first analysis that speaks against the release, and whether there is one.
func Worst(runs []Analysis) (Analysis, bool) {
	for _, run := range runs {
		if run.Verdict.Bad() {
			return run, true
		}
	}
	return Analysis{}, false
}

// Explain names the measurement that decided: the metric, what was measured, and what came of it.
func (a Analysis) Explain() string {
	for _, m := range a.Metrics {
		if !m.Verdict.Bad() || m.DryRun {
			continue
		}
		text := fmt.Sprintf("analysis %s: metric %s is %s", a.Name, m.Name, m.Verdict)
		if m.Value != "" {
			text += ": measured " + m.Measured()
		}
		if m.Message != "" {
			text += " (" + m.Message + ")"
		}
		if m.Job != "" {
			text += ": the log of Job " + m.Job + " says why"
		}
		return text
	}
	if a.Message != "" {
		return fmt.Sprintf("analysis %s is %s: %s", a.Name, a.Verdict, a.Message)
	}
	return fmt.Sprintf("analysis %s is %s", a.Name, a.Verdict)
}

// ended tells that the run will measure no more.
func (a Analysis) ended() bool { return a.Verdict != Running && a.Verdict != Pending }

// unmeasured names a metric of which there is no successful measurement, or is empty. Argo calls a run Successful that was
// ended before it measured anything: argoproj/argo-rollouts#4479.
func (a Analysis) unmeasured() string {
	for _, m := range a.Metrics {
		if m.Successes == 0 && !m.DryRun {
			return m.Name
		}
	}
	return ""
}

// proves tells that the run counts as evidence.
func (a Analysis) proves() bool {
	return a.Verdict == Successful && a.unmeasured() == "" && (!a.Terminated || a.Kind == background)
}
