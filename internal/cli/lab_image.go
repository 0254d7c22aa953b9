package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

type labImageOptions struct {
	streams
	dir     labFolder
	region  string
	healthy bool
	does    behaviour
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
  tidegate lab image ghcr.io/henrigkroine/teei-q2q-ai:v2 --quality 60% --tokens 1.4x
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
	o.does.add(cmd)
	f.VarP(&o.output, "output", "o", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	_ = cmd.RegisterFlagCompletionFunc("region", completeLab(&o.dir, labRegions))
	o.dir.add(cmd)
	return cmd
}

func (o *labImageOptions) tell(ctx context.Context, c *lab.Client, name string) error {
	if o.does.IsZero() != o.healthy {
		return usagef("say what %s does, or --healthy; not both", name)
	}
	if err := o.does.Validate(); err != nil {
		return usageError{err}
	}
	return c.SetImage(ctx, o.region, name, o.does.Behaviour)
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
