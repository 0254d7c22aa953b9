package cli

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/probe/visual"
	"tidegate.io/tidegate/internal/probe/web"
)

type probeVisualOptions struct {
	streams
	c       visual.Config
	masks   []string
	timeout seconds
	settle  seconds
	output  format
}

func newProbeVisual(s streams) *cobra.Command {
	o := &probeVisualOptions{
		streams: s, output: "json", timeout: seconds(30 * time.Second), settle: seconds(5 * time.Second),
	}
	cmd := &cobra.Command{
		Use:   "visual ACTIVE-URL PREVIEW-URL",
		Short: "Compare what a browser shows of two versions, pixel by pixel",
		Long: `Open every path on both servers in Chromium, take a picture of each, and count the pixels that differ. Pages are compared at
rest: fonts loaded, network quiet, animations ended, two pictures in a row the same. What a mask matches on either page is
not compared on both. More than --max-diff percent fails.

A page that answers 400 or more, leads to another server or path, or shows nothing has failed: two equal error pages are no
success, nor are two equal login pages. Masks that leave less than a quarter of a page are an error.
With --out, the pictures of each path are kept there; with --inline-diff, the result of a failed path shows what differs.`,
		Example: `  tidegate probe visual http://cockpit.shop:4321 http://cockpit-preview.shop:4321 --path /,/reports
  tidegate probe visual https://shop.example.org https://preview.shop.example.org --mask '.clock, #ads' --out pictures -o table`,
		Args: named("ACTIVE-URL", "PREVIEW-URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args[0], args[1]); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.c.Paths, "path", []string{"/"}, "path to compare (repeatable)")
	f.StringArrayVar(&o.masks, "mask", nil, "CSS selectors of what is not compared (repeatable)")
	f.Float64Var(&o.c.MaxDiff, "max-diff", 0.1, "percent of the compared pixels that may differ")
	f.Uint8Var(&o.c.Tolerance, "tolerance", 2, "by how much a colour channel may differ, 0 to 255")
	f.IntVar(&o.c.Width, "width", 1280, "width of the viewport in pixels")
	f.IntVar(&o.c.Height, "height", 800, "height of the viewport in pixels")
	f.BoolVar(&o.c.FullPage, "full-page", false, "compare whole pages, not the viewport alone")
	f.StringVar(&o.c.Out, "out", "", "folder in which to keep the pictures")
	f.BoolVar(&o.c.Inline, "inline-diff", true, "show in the result what differs, as a data URI")
	f.StringVar(&o.c.Browser, "browser", "", "Chromium's executable (default chromium, chromium-browser or google-chrome in the PATH)")
	f.BoolVar(&o.c.SkipVerify, "insecure-skip-verify", false, "verify no certificate; the result says so")
	f.Var(&o.timeout, "timeout", "time for one page to load")
	f.Var(&o.settle, "settle", "time for a page that has loaded to come to rest")
	f.IntVar(&o.c.Retries, "retries", 2, "attempts after the first, for a page that does not load or answers 429 or 5xx")
	f.IntVar(&o.c.Parallel, "parallel", 2, "paths that are looked at at a time; each takes two tabs' memory")
	f.VarP(&o.output, "output", "o", "json, yaml or table")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.MarkFlagFilename("browser")
	return cmd
}

// complete makes a comparison of the command line; its errors are those of usage.
func (o *probeVisualOptions) complete(active, preview string) (err error) {
	if o.c.Active, err = base("ACTIVE-URL", active); err != nil {
		return err
	}
	if o.c.Preview, err = base("PREVIEW-URL", preview); err != nil {
		return err
	}
	for _, path := range o.c.Paths {
		if _, err := web.Join(&url.URL{}, path); err != nil {
			return usagef("--path: %w", err)
		}
	}
	for _, mask := range o.masks {
		if strings.TrimSpace(mask) != "" { // a manifest's way to say none
			o.c.Masks = append(o.c.Masks, mask)
		}
	}
	const most = 8192
	switch {
	case len(o.c.Paths) == 0:
		return usagef("--path is empty: name at least one, like /")
	case !(o.c.MaxDiff >= 0 && o.c.MaxDiff <= 100): // nor is NaN
		return usagef("--max-diff: want 0 to 100, in percent")
	case o.c.Width < 1 || o.c.Width > most || o.c.Height < 1 || o.c.Height > most:
		return usagef("--width and --height: want 1 to %d pixels", most)
	case o.c.Parallel < 1:
		return usagef("--parallel: want 1 or more")
	case o.settle <= 0:
		return usagef("--settle: want more than 0")
	}
	o.c.Timeout, o.c.Settle = time.Duration(o.timeout), time.Duration(o.settle)
	return positive(o.timeout, o.c.Retries)
}

func (o *probeVisualOptions) run(ctx context.Context) error {
	result := visual.Run(ctx, o.c)
	return answerProbe(ctx, o.streams, o.output, result, result)
}
