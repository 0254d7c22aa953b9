package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

type labUpOptions struct {
	streams
	dir     labFolder
	options lab.Options
}

func newLabUp(s streams) *cobra.Command {
	o := &labUpOptions{streams: s}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring up regions, and the services in them",
		Long: `Bring up regions, apply Argo Rollouts and the services of k8s/rollouts in each, and send requests to them. The first time
the components are built, which takes some minutes. Stopped half way, it leaves nothing behind.

The kubeconfig is the lab's own, with a context k8s-<region> for each region; yours is never touched.`,
		Example: `  tidegate lab up
  tidegate lab up --regions us-west,eu-west --speed 30
  tidegate lab up --services teei-q2q-ai,teei-api-gateway
  tidegate lab up --dir /tmp/second        # a second lab beside the first`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.options.Regions, "regions", lab.DefaultRegions(), "names of the regions, in order")
	f.IntVar(&o.options.Speed, "speed", 1, "time lapse: divide every pause, interval, delay and PromQL range of what is applied by this")
	f.Float64Var(&o.options.Load, "load", 50, "requests per second sent to each Rollout in each region; 0 for none")
	f.StringSliceVar(&o.options.Services, "services", nil, "names of the Rollouts to run, with what belongs to them (default all of k8s/rollouts)")
	f.BoolVar(&o.options.Empty, "empty", false, "no services, only Argo Rollouts")
	_ = cmd.RegisterFlagCompletionFunc("services", completeServices)
	o.dir.add(cmd)
	return cmd
}

func (o *labUpOptions) run(ctx context.Context) error {
	switch { // in Options, 0 is the default
	case o.options.Speed == 0:
		return usagef("--speed 0: want 1 or more")
	case o.options.Load < 0:
		return usagef("--load %g: want 0 or more", o.options.Load)
	case o.options.Load == 0:
		o.options.Load = -1
	}
	if _, err := o.options.Complete(); err != nil {
		return usageError{err}
	}
	started := time.Now()
	o.options.Dir = string(o.dir)
	o.options.Progress = labProgress(o.err)
	l, err := lab.Start(ctx, o.options)
	if err != nil {
		return err
	}
	if err := l.Release(); err != nil {
		return err
	}
	fmt.Fprintf(o.err, "%d regions are ready after %.1f s. Use them with:\n", len(l.Regions()), time.Since(started).Seconds())
	return exportLab(o.out, "sh", l.Client)
}
