package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tidegate.io/tidegate/internal/engine"
	"tidegate.io/tidegate/internal/release"
)

// progress writes one line whenever there is something new to say of a region.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	paint paint
	last  map[string]string
	// promotion says how to promote in a region.
	promotion func(region string) string
}

func newProgress(out io.Writer) *progress {
	return &progress{out: out, paint: newPaint(out), last: map[string]string{}}
}

func (p *progress) line(region, state, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last[region] == state+text {
		return
	}
	p.last[region] = state + text
	fmt.Fprintf(p.out, "%s  %-12s %s", p.paint.dim(time.Now().Format(time.TimeOnly)), region, p.phase(state))
	if text != "" {
		fmt.Fprintf(p.out, "  %s", text)
	}
	fmt.Fprintln(p.out)
}

func (p *progress) phase(state string) string {
	padded := fmt.Sprintf("%-16s", state)
	switch release.Phase(state) {
	case release.Passed, release.RolledBack:
		return p.paint.good(padded)
	case release.RollingBack, release.Held:
		return p.paint.bad(padded)
	case release.Waiting:
		return p.paint.dim(padded)
	}
	return p.paint.busy(padded)
}

func (p *progress) region(r release.Region, seen release.Observation) {
	text := r.Why
	switch {
	case text != "":
	case r.Phase == release.Waiting:
		return
	case seen.Unreachable == release.Unread:
	case seen.Unreachable != "":
		text = "unreachable: " + seen.Unreachable
	case seen.Trouble != "":
		text = "tried again: " + seen.Trouble
	case r.Phase == release.AwaitingApproval:
		text = "waits for a promotion: " + p.promotion(r.Name)
	case r.Phase == release.Updating:
		text = seen.Progress
	}
	p.line(r.Name, string(r.Phase), text)
}

// rolloutResult is the stable JSON form of a finished release.
type rolloutResult struct {
	Outcome   string          `json:"outcome"` // completed, rolled-back, held or interrupted
	Namespace string          `json:"namespace"`
	Rollout   string          `json:"rollout"`
	Image     string          `json:"image"`
	Seconds   float64         `json:"seconds"`
	Regions   []rolloutRegion `json:"regions"`
}

type rolloutRegion struct {
	Region   string            `json:"region"`
	Context  string            `json:"context"` // in the kubeconfig
	Phase    release.Phase     `json:"phase"`
	From     string            `json:"from,omitempty"` // the image it ran before
	To       string            `json:"to,omitempty"`   // the image it was left asking for
	Seconds  float64           `json:"seconds,omitempty"`
	Why      string            `json:"why,omitempty"`
	Gate     *release.Analysis `json:"failedAnalysis,omitempty"`
	Served   *engine.Served    `json:"served,omitempty"` // by the version that was taken back
	Unknown  string            `json:"servedUnknown,omitempty"`
	Traffic  *float64          `json:"trafficRestoredSeconds,omitempty"`
	Pods     *float64          `json:"podsRestoredSeconds,omitempty"`
	Rollback []string          `json:"rollbackSteps,omitempty"`
}

func (o *rolloutOptions) finish(result engine.Result, started time.Time, interrupted error) error {
	out := rolloutResult{
		Outcome: string(result.State.Outcome), Namespace: o.namespace, Rollout: o.name, Image: o.image,
		Seconds: time.Since(started).Seconds(),
	}
	if interrupted != nil {
		out.Outcome = "interrupted"
	}
	for i, r := range result.State.Regions { // one region a wave, in the order given
		row := resultOf(r, result.Returned[r.Name])
		row.Context = o.order[i].Context
		out.Regions = append(out.Regions, row)
	}
	if err := render(o.out, o.output, out, out.table); err != nil {
		return err
	}
	switch {
	case interrupted != nil:
		fmt.Fprintln(o.err, "Stopped. The regions were left as they are: run the same command to go on, or 'tidegate rollback' to go back.")
		return reported{exitInterrupted}
	case result.State.Outcome == release.OutcomeRolledBack:
		return reported{exitRolledBack}
	case result.State.Outcome == release.OutcomeHeld:
		return reported{exitUnverified}
	}
	return nil
}

func resultOf(r release.Region, back *engine.Returned) rolloutRegion {
	row := rolloutRegion{Region: r.Name, Phase: r.Phase, From: r.From.Image, Why: r.Why, Gate: r.Gate}
	if !r.Since.IsZero() { // one that is kept back has begun, and entered no phase yet
		row.Seconds = r.Since.Sub(r.Started).Seconds()
	}
	switch r.Phase {
	case release.Waiting:
	case release.RolledBack:
		row.To = r.From.Image // verified by a fresh look, which the watch may still lag behind
	default:
		row.To = r.Image
	}
	if back != nil {
		row.Served, row.Unknown = back.Served, back.Unknown
		row.Traffic, row.Pods, row.Rollback = back.Traffic, back.Pods, back.Steps
	}
	return row
}

func (r rolloutResult) table(out io.Writer) error {
	p := newPaint(out)
	err := columns(out, func(w io.Writer) {
		fmt.Fprintln(w, "REGION\tSTATE\tFROM\tTO\tTIME\tTRAFFIC BACK\tPODS BACK")
		for _, row := range r.Regions {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Region, row.Phase, dash(tag(row.From)), dash(tag(row.To)),
				length(&row.Seconds), length(row.Traffic), length(row.Pods))
		}
	})
	if err != nil {
		return err
	}
	for _, row := range r.Regions {
		if row.Why == "" {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", p.bold(row.Region), row.Why)
		if row.Gate != nil {
			measured(out, row.Gate, fmt.Sprintf("kubectl --context %s -n %s logs job/", row.Context, r.Namespace))
		}
		if row.Pods != nil {
			fmt.Fprintf(out, "  the bad version served %s\n", describeServed(row.Served, row.Unknown))
		}
	}
	_, err = fmt.Fprintf(out, "\n%s %s: %s\n", r.Rollout, tag(r.Image), p.bold(r.Outcome))
	return err
}

// measured names each metric that spoke against the release, with its counts, and its query or how to read its Job's log.
func measured(out io.Writer, gate *release.Analysis, logs string) {
	for _, m := range gate.Metrics {
		if m.Verdict.Bad() {
			fmt.Fprintf(out, "  metric %s: %s, measured %s (%d passed, %d failed, %d inconclusive, %d errors)\n",
				m.Name, m.Verdict, dash(m.Measured()), m.Successes, m.Failures, m.Inconclusive, m.Errors)
			if m.Query != "" {
				fmt.Fprintf(out, "    %s\n", newPaint(out).dim(strings.Join(strings.Fields(m.Query), " ")))
			}
			if m.Job != "" {
				fmt.Fprintf(out, "    why: %s%s\n", logs, m.Job)
			}
		}
	}
}
