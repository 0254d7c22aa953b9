package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/engine"
	"tidegate.io/tidegate/internal/fleet"
	"tidegate.io/tidegate/internal/release"
	"tidegate.io/tidegate/internal/rollouts"
)

// rolloutOptions are the flags of 'tidegate rollout'.
type rolloutOptions struct {
	streams
	namespace  string
	order      []fleet.Region
	timeout    seconds
	wait       seconds
	promote    bool
	prometheus string
	output     format
	name       string
	image      string
}

func newRollout(s streams) *cobra.Command {
	o := &rolloutOptions{streams: s, order: fleet.Default(), timeout: seconds(30 * time.Minute), wait: seconds(5 * time.Minute), output: "table"}
	cmd := &cobra.Command{
		Use:   "rollout ROLLOUT IMAGE",
		Short: "Carry an image through every region, gate by gate",
		Long: `Carry an image of one Rollout through every region, one region after the other.

A region passes when its rollout is wholly on the image (pods, Service selectors and route weights agree), every analysis
of that revision was successful with at least one successful measurement for each metric, and it has held for the wait
between regions. When a region fails it is rolled back at once, and the regions after it never start.

The command can be interrupted and run again: it takes up each region where it stands.`,
		Example: `  # the four regions, one after the other
  tidegate rollout teei-q2q-ai ghcr.io/henrigkroine/teei-q2q-ai:v1.1.0

  # two regions, ten minutes for each, no wait between them, result as JSON
  tidegate rollout teei-q2q-ai ghcr.io/henrigkroine/teei-q2q-ai:v1.1.0 \
    --order us-west,eu-west:prod-eu --timeout 600 --analysis-wait 0 -o json

  # a blue/green service with manual promotion: promote as soon as its gates allow
  tidegate rollout teei-api-gateway ghcr.io/henrigkroine/teei-api-gateway:v1.1.0 --promote`,
		Args: named("ROLLOUT", "IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.image = args[0], args[1]
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.namespace, "namespace", "n", "default", "namespace of the Rollout")
	f.VarP(orderFlag{o}, "order", "o", "regions in order, as name or name:context; also takes json, yaml or table for --output")
	f.Var(&o.output, "output", "format of the result: table, json or yaml")
	f.VarP(&o.timeout, "timeout", "t", "time for one region beyond the pauses of its own steps, in seconds or as 30m")
	f.VarP(&o.wait, "analysis-wait", "a", "how long a region must hold before the next one starts, in seconds or as 5m")
	f.BoolVar(&o.promote, "promote", false, "promote manual pauses once the gates before them have not failed, without asking")
	f.StringVar(&o.prometheus, "prometheus", defaultPrometheus, prometheusHelp)
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	return cmd
}

// orderFlag is -o, for the order of regions, and by everybody's habit for the output format.
type orderFlag struct{ *rolloutOptions }

func (f orderFlag) Type() string { return "regions" }
func (f orderFlag) String() string {
	if f.rolloutOptions == nil {
		return ""
	}
	var names []string
	for _, r := range f.order {
		names = append(names, r.Name)
	}
	return strings.Join(names, ",")
}

func (f orderFlag) Set(s string) error {
	if slices.Contains(formats, s) {
		return f.output.Set(s)
	}
	regions, err := fleet.Parse(s)
	if err == nil {
		f.order = regions
	}
	return err
}

func (o *rolloutOptions) run(ctx context.Context) error {
	if o.namespace == "" {
		return errNoNamespace
	}
	if err := checkPrometheus(o.prometheus); err != nil {
		return err
	}
	plan := release.Plan{
		Namespace: o.namespace, Rollout: o.name, Image: o.image,
		Timeout: time.Duration(o.timeout), Wait: time.Duration(o.wait), Promote: o.promote,
	}
	regions, reached := map[string]*rollouts.Region{}, map[string]reach{}
	for _, r := range o.order {
		plan.Waves = append(plan.Waves, []string{r.Name})
		to, err := connect(r, o.namespace, o.name, o.prometheus)
		if err != nil {
			return err
		}
		regions[r.Name], reached[r.Name] = to.region, to
	}
	if err := plan.Validate(); err != nil {
		return usageError{err}
	}
	started := time.Now()
	log, ask := newProgress(o.err), o.ask()
	log.promotion = func(region string) string { return o.promotion(region, ask != nil) }
	rel := engine.Release{
		Plan: plan, Regions: regions, Ask: ask,
		Served: func(ctx context.Context, region, hash string, since time.Time) (engine.Served, error) {
			return reached[region].served(ctx, o.namespace, hash, since)
		},
		Report: log.region,
	}
	result, err := rel.Run(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return o.finish(result, started, err)
}

// promotion is how to promote in a region: with a command, or by an answer where somebody is asked.
func (o *rolloutOptions) promotion(region string, asked bool) string {
	how := fmt.Sprintf("kubectl argo rollouts promote %s -n %s", o.name, o.namespace)
	for _, r := range o.order {
		if r.Name == region {
			how += " --context " + r.Context
		}
	}
	if asked {
		how += ", or answer here"
	}
	return how
}

// ask asks on the terminal, where there is one; elsewhere it is nil and a promotion is waited for.
func (o *rolloutOptions) ask() func(context.Context, string) (bool, error) {
	if !isTerminal(o.in) || !isTerminal(o.err) {
		return nil
	}
	lines := make(chan string)
	go func() { // ends with the process: a read of a terminal cannot be called off
		for scan := bufio.NewScanner(o.in); scan.Scan(); {
			lines <- scan.Text()
		}
		close(lines)
	}()
	var one sync.Mutex // question at a time
	return func(ctx context.Context, region string) (bool, error) {
		one.Lock()
		defer one.Unlock()
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		for typedAhead(lines) { // an answer to no question
		}
		fmt.Fprintf(o.err, "%s: promote %s in %s? [yes/no] ", region, o.name, region)
		for {
			select {
			case line, open := <-lines:
				switch answer := strings.ToLower(strings.TrimSpace(line)); {
				case !open:
					return false, errors.New("the terminal was closed")
				case answer == "yes" || answer == "y":
					return true, nil
				case answer == "no" || answer == "n":
					return false, nil
				}
				fmt.Fprint(o.err, "please answer yes or no: ")
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
		}
	}
}

// typedAhead takes a line that waits already, and tells whether there was one.
func typedAhead(lines <-chan string) bool {
	select {
	case _, open := <-lines:
		return open
	default:
		return false
	}
}

// named wants exactly these arguments, and names the one that is missing.
func named(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing\nUsage: %s", names[len(args)], cmd.UseLine())
		case len(args) > len(names):
			return usagef("unexpected argument %q\nUsage: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}
