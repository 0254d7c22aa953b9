package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/image"
)

type labImageOptions struct {
	streams
	dir     labFolder
	region  string
	healthy bool
	errors  share
	latency factor
	tokens  factor
	b       image.Behaviour
	output  format
}

func newLabImage(s streams) *cobra.Command {
	o := &labImageOptions{streams: s, output: "table"}
	cmd := &cobra.Command{
		Use:   "image [IMAGE]",
		Short: "Tell what an image does, or show what has been told",
		Long: `Tell what an image does when it runs in the lab, at any time, in one region or in all. What is told replaces what was told
before, and bites at the next request. Without an IMAGE, show what has been told.`,
		Example: `  tidegate lab image ghcr.io/henrigkroine/teei-q2q-ai:v2 --errors 5% --latency 2x
  tidegate lab image ghcr.io/henrigkroine/teei-q2q-ai:v2 --crash --region us-west
  tidegate lab image ghcr.io/henrigkroine/teei-q2q-ai:v2 --healthy
  tidegate lab image`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := lab.Open(string(o.dir))
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return o.show(cmd.Context(), c)
			}
			return o.tell(cmd.Context(), c, args[0])
		},
	}
	cmd.ValidArgsFunction = completeLab(&o.dir, labImages)
	f := cmd.Flags()
	f.StringVar(&o.region, "region", "", "in this region alone")
	f.BoolVar(&o.healthy, "healthy", false, "nothing is wrong with it (any more)")
	f.Var(&o.errors, "errors", "share of requests answered with 500, like 5%")
	f.Var(&o.latency, "latency", "how many times slower it answers, like 2x")
	f.Var(&o.tokens, "tokens", "how many times more tokens it takes, like 1.4x")
	f.BoolVar(&o.b.Crash, "crash", false, "it exits right after its start")
	f.DurationVar(&o.b.SlowStart, "slow-start", 0, "time from its start until it is ready, like 20s")
	f.StringSliceVar(&o.b.Violations, "violation", nil, "kinds of GDPR violation that each request reports: residency, pii")
	f.VarP(&o.output, "output", "o", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	_ = cmd.RegisterFlagCompletionFunc("region", completeLab(&o.dir, labRegions))
	o.dir.add(cmd)
	return cmd
}

func (o *labImageOptions) tell(ctx context.Context, c *lab.Client, name string) error {
	o.b.Errors, o.b.Latency, o.b.Tokens = float64(o.errors), float64(o.latency), float64(o.tokens)
	if o.b.IsZero() != o.healthy {
		return usagef("say what %s does, or --healthy; not both", name)
	}
	if err := o.b.Validate(); err != nil {
		return usageError{err}
	}
	return c.SetImage(ctx, o.region, name, o.b)
}

func (o *labImageOptions) show(ctx context.Context, c *lab.Client) error {
	told, err := c.Images(ctx)
	if err != nil {
		return err
	}
	return render(o.out, o.output, told, func(out io.Writer) error {
		return columns(out, func(w io.Writer) {
			fmt.Fprintln(w, "REGION\tIMAGE\tDOES")
			for _, region := range c.Regions() {
				for _, name := range slices.Sorted(maps.Keys(told[region])) {
					fmt.Fprintf(w, "%s\t%s\t%s\n", region, name, describeImage(told[region][name]))
				}
			}
		})
	})
}

// describeImage writes a behaviour as the flags that tell it.
func describeImage(b image.Behaviour) string {
	var words []string
	add := func(is bool, format string, args ...any) {
		if is {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(b.Errors > 0, "--errors %g%%", b.Errors*100)
	add(b.Latency > 0, "--latency %gx", b.Latency)
	add(b.Tokens > 0, "--tokens %gx", b.Tokens)
	add(b.Crash, "--crash")
	add(b.SlowStart > 0, "--slow-start %s", b.SlowStart.Round(time.Millisecond))
	add(len(b.Violations) > 0, "--violation %s", strings.Join(b.Violations, ","))
	return strings.Join(words, " ")
}

// share is a flag like 5% or 0.05.
type share float64

func (s *share) String() string { return fmt.Sprintf("%g%%", float64(*s)*100) }
func (s *share) Type() string   { return "percent" }
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no share: write 5%%, or 0.05", text)
	}
	*s = share(v)
	return nil
}

// factor is a flag like 2x or 2.
type factor float64

func (f *factor) String() string { return fmt.Sprintf("%gx", float64(*f)) }
func (f *factor) Type() string   { return "factor" }
func (f *factor) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v > 0) {
		return fmt.Errorf("%q is no factor: write 2x, or 1.4x", text)
	}
	*f = factor(v)
	return nil
}
