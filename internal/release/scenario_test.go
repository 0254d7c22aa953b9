package release

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// world is one scenario: a state, what each region shows, and a clock that only the script moves.
type world struct {
	state State
	seen  map[string]Observation
	now   time.Time
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestScenarios runs testdata/scenarios, a folder of their own beside what rapid leaves of a failure. Regenerate with -rewrite and read the diff.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		w := &world{seen: map[string]Observation{}, now: epoch}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "plan":
				return w.plan(t, d)
			case "see":
				w.see(t, d)
				return ""
			case "decide":
				return w.decide(t, d)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func (w *world) plan(t *testing.T, d *datadriven.TestData) string {
	p := Plan{Namespace: "default", Rollout: "shop", Image: "v2", Timeout: 30 * time.Minute, Wait: 5 * time.Minute}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "wave":
			p.Waves = append(p.Waves, arg.Vals)
		case "wait":
			p.Wait = duration(t, d, arg.Vals[0])
		case "promote":
			p.Promote = true
		default:
			d.Fatalf(t, "unknown plan argument %q", arg.Key)
		}
	}
	if err := p.Validate(); err != nil {
		return err.Error() + "\n"
	}
	w.state = Start(p)
	return w.print(nil)
}

func duration(t *testing.T, d *datadriven.TestData, s string) time.Duration {
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}

// see replaces what one region shows. A region is settled and reachable unless the line says otherwise.
func (w *world) see(t *testing.T, d *datadriven.TestData) {
	o := Observation{Settled: true}
	region := d.CmdArgs[0].Key
	for _, arg := range d.CmdArgs[1:] {
		value := strings.Join(arg.Vals, " ")
		switch arg.Key {
		case "image":
			o.Image = value
		case "stable":
			o.Stable = Version{Image: value, Hash: value}
		case "complete":
			o.Complete = true
		case "unsettled":
			o.Settled = false
		case "aborted":
			o.Aborted = true
		case "degraded":
			o.Degraded = true
		case "message":
			o.Message = value
		case "lacking":
			o.Lacking = []string{value}
		case "unreachable":
			o.Unreachable = value
		case "refused":
			o.Refused = value
		case "pause":
			o.Pause = Pause(value)
		case "approval":
			o.Approval = Approval(value)
		case "back":
			o.Return = &Returned{Err: value}
		case "hash":
			o.Hash = value
		case "trouble":
			o.Trouble = value
		case "shortcut":
			o.Shortcut = value
		case "before":
			o.Before = Version{Image: value, Hash: value}
		case "pauses":
			o.Pauses = duration(t, d, value)
		case "gates":
			o.Gates = arg.Vals
		case "failed": // what the rollback found to have failed on the version it left
			gate := analysis(arg.Vals)
			o.Return.Gate = &gate
		case "run":
			o.Analyses = append(o.Analyses, analysis(arg.Vals))
		default:
			d.Fatalf(t, "unknown observation %q", arg.Key)
		}
	}
	w.seen[region] = o
}

// analysis reads name, verdict and, for each metric, its successes and optionally the value that failed it. The name is
// the gate's, too: a kind, and after a dash the step.
func analysis(vals []string) Analysis {
	a := Analysis{Name: vals[0], Verdict: Verdict(vals[1])}
	a.Kind, a.Step, _ = strings.Cut(a.Name, "-")
	if vals[1] == "Terminated" { // what Argo makes of it
		a.Verdict, a.Terminated = Successful, true
	}
	for _, m := range vals[2:] {
		name, rest, _ := strings.Cut(m, ":")
		metric := Metric{Name: name, Verdict: a.Verdict}
		if value, failed := strings.CutPrefix(rest, "!"); failed {
			metric.Value = value
		} else {
			metric.Successes, _ = strconv.Atoi(rest)
		}
		a.Metrics = append(a.Metrics, metric)
	}
	return a
}

func (w *world) decide(t *testing.T, d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		w.now = w.now.Add(duration(t, d, strings.TrimPrefix(arg.Key, "+")))
	}
	before := fmt.Sprint(w.state)
	state, actions := Decide(w.state, w.seen, w.now)
	if after := fmt.Sprint(w.state); after != before {
		d.Fatalf(t, "Decide changed the state it was given:\n%s\n%s", before, after)
	}
	w.state = state
	return w.print(actions)
}

func (w *world) print(actions []Action) string {
	var b strings.Builder
	for _, r := range w.state.Regions {
		fmt.Fprintf(&b, "%s %s", r.Name, r.Phase)
		if r.From.Image != "" {
			fmt.Fprintf(&b, " from %s", r.From.Image)
		}
		if r.Why != "" {
			fmt.Fprintf(&b, ": %s", r.Why)
		}
		if r.Gate != nil {
			fmt.Fprintf(&b, " [%s]", r.Gate.Name)
		}
		b.WriteByte('\n')
	}
	for _, a := range actions {
		fmt.Fprintf(&b, "-> %s %s\n", a.Kind, strings.TrimSpace(a.Region+" ("+a.Why+")"))
	}
	if wake, ok := Wake(w.state, w.now); ok {
		fmt.Fprintf(&b, "wake in %s\n", wake.Sub(w.now))
	}
	if w.state.Outcome != "" {
		fmt.Fprintf(&b, "outcome %s\n", w.state.Outcome)
	}
	return b.String()
}
