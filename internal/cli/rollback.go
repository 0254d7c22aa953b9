package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/engine"
	"tidegate.io/tidegate/internal/fleet"
	"tidegate.io/tidegate/internal/rollback"
)

// rollbackOptions are the flags of 'tidegate rollback'.
type rollbackOptions struct {
	streams
	namespace  string
	context    string
	regions    string
	timeout    seconds
	prometheus string
	output     format
	name       string
	reason     string
}

func newRollback(s streams) *cobra.Command {
	o := &rollbackOptions{streams: s, timeout: seconds(2 * time.Minute), output: "table"}
	cmd := &cobra.Command{
		Use:   "rollback ROLLOUT REASON",
		Short: "Take a rollout back to its last good version, in all regions at once",
		Long: `Take a rollout back to its last good version, in all regions at once, each with its own deadline.

It works from any state: in the middle of a canary, promoted, and on either side of a blue/green switch. The state decides
the shortest safe way. What counts as back is read from Services, route weights and pods, not from the rollout's phase.
It can be interrupted and run again, and run by two people at once.`,
		Example: `  # everywhere
  tidegate rollback teei-q2q-ai "answers are wrong since 14:02"

  # one region
  tidegate rollback teei-q2q-ai "errors in eu-west only" --context k8s-eu-west

  # two regions, result as JSON
  tidegate rollback teei-q2q-ai "bad release" --regions us-west,eu-west:prod-eu -o json`,
		Args: named("ROLLOUT", "REASON"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.reason = args[0], args[1]
			switch given := cmd.Flags().Changed; {
			case given("context") && given("regions"):
				return usagef("--context names one region and --regions several: give one of the two")
			case given("context") && o.context == "":
				return usagef("--context is empty: name a context, or leave it out to roll back all regions")
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of the Rollout")
	f.StringVarP(&o.context, "context", "c", "", "roll back this kubeconfig context alone")
	f.StringVarP(&o.regions, "regions", "r", "us-west,us-east,eu-west,eu-central", "regions to roll back, as name or name:context")
	f.Var(&o.timeout, "timeout", "time for one region to be verified, in seconds or as 2m")
	f.StringVar(&o.prometheus, "prometheus", defaultPrometheus, prometheusHelp)
	f.VarP(&o.output, "output", "o", "format of the result: table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	return cmd
}

func (o *rollbackOptions) targets() ([]fleet.Region, error) {
	if o.context != "" {
		return []fleet.Region{{Name: strings.TrimPrefix(o.context, "k8s-"), Context: o.context}}, nil
	}
	regions, err := fleet.Parse(o.regions)
	if err != nil {
		return nil, usageError{fmt.Errorf("--regions: %w", err)}
	}
	return regions, nil
}

func (o *rollbackOptions) run(ctx context.Context) error {
	if o.namespace == "" {
		return errNoNamespace
	}
	if strings.TrimSpace(o.reason) == "" {
		return usagef("REASON is empty: say in a few words why, it is kept on the Rollout")
	}
	if o.timeout <= 0 {
		return usagef("--timeout is 0: a rollback needs some time to be verified")
	}
	if err := checkPrometheus(o.prometheus); err != nil {
		return err
	}
	regions, err := o.targets()
	if err != nil {
		return err
	}
	log := newProgress(o.err)
	rows := make([]*engine.Returned, len(regions))
	var all sync.WaitGroup
	for i, region := range regions {
		all.Go(func() { rows[i] = o.back(ctx, region, log) })
	}
	all.Wait()
	out := rollbackResult{Namespace: o.namespace, Rollout: o.name, Reason: o.reason, Outcome: "rolled-back", Regions: rows}
	for _, row := range rows {
		if !row.OK() {
			out.Outcome = "unverified"
		}
	}
	if err := render(o.out, o.output, out, out.table); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return reported{exitInterrupted}
	case out.Outcome != "rolled-back":
		return reported{exitUnverified}
	}
	return nil
}

// back rolls one region back. What is wrong with a region is its own row's matter: the others must not wait for it.
func (o *rollbackOptions) back(ctx context.Context, region fleet.Region, log *progress) *engine.Returned {
	started := time.Now()
	to, err := connect(region, o.namespace, o.name, o.prometheus)
	if err != nil {
		log.line(region.Name, "Held", err.Error())
		return &engine.Returned{Region: region.Name, Steps: []string{}, Err: err.Error()}
	}
	limited, cancel := context.WithTimeoutCause(ctx, time.Duration(o.timeout), fmt.Errorf("not verified within %s", time.Duration(o.timeout)))
	defer cancel()
	row := engine.Back{Region: to.region, Reason: o.reason, Report: func(step rollback.Step) {
		log.line(region.Name, "RollingBack", string(step.Kind)+": "+step.Why)
	}}.Run(limited)
	if !row.OK() {
		log.line(region.Name, "Held", row.Err)
		return row
	}
	log.line(region.Name, "RolledBack", fmt.Sprintf("traffic after %s, pods after %s", length(row.Traffic), length(row.Pods)))
	if row.From.Hash != "" {
		row.Count(to.served(ctx, o.namespace, row.From.Hash, started.Add(-time.Hour)))
	}
	return row
}

// rollbackResult is the stable JSON form of a rollback.
type rollbackResult struct {
	Outcome   string             `json:"outcome"` // rolled-back or unverified
	Namespace string             `json:"namespace"`
	Rollout   string             `json:"rollout"`
	Reason    string             `json:"reason"`
	Regions   []*engine.Returned `json:"regions"`
}

func (r rollbackResult) table(out io.Writer) error {
	err := columns(out, func(w io.Writer) {
		fmt.Fprintln(w, "REGION\tFROM\tTO\tTRAFFIC BACK\tPODS BACK\tSTEPS")
		for _, row := range r.Regions {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Region, dash(tags(row.From.Images)), dash(tags(row.To.Images)),
				length(row.Traffic), length(row.Pods), dash(strings.Join(row.Steps, ", ")))
		}
	})
	if err != nil {
		return err
	}
	var notes strings.Builder
	for _, row := range r.Regions {
		switch {
		case row.Err != "":
			fmt.Fprintf(&notes, "\n%s is not verified: %s", row.Region, row.Err)
		case row.Unknown != "":
			fmt.Fprintf(&notes, "\n%s: the pods that were left behind have served %s", row.Region, describeServed(nil, row.Unknown))
		case row.Served != nil:
			fmt.Fprintf(&notes, "\n%s: the pods that were left behind have served %s", row.Region, describeServed(row.Served, ""))
		}
	}
	if notes.Len() > 0 {
		fmt.Fprintln(out, notes.String())
	}
	_, err = fmt.Fprintf(out, "\n%s: %s\n", r.Rollout, newPaint(out).bold(r.Outcome))
	return err
}
