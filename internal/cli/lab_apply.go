package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

type labApplyOptions struct {
	streams
	dir       labFolder
	region    string
	kustomize string
	file      string
}

func newLabApply(s streams) *cobra.Command {
	o := &labApplyOptions{streams: s}
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Apply manifests to the regions, at the lab's speed",
		Long: `Apply manifests to the regions, with every pause, interval, delay and PromQL range divided by the lab's --speed. At speed 1
it is what 'kubectl apply --server-side' does, in all regions at once.`,
		Example: `  tidegate lab apply -k k8s/rollouts/canary
  tidegate lab apply -f my-rollout.yaml --region us-west`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.kustomize, "kustomize", "k", "", "folder with a kustomization")
	f.StringVarP(&o.file, "filename", "f", "", "file of YAML or JSON documents")
	f.StringVar(&o.region, "region", "", "to this region alone")
	_ = cmd.RegisterFlagCompletionFunc("region", completeLab(&o.dir, labRegions))
	o.dir.add(cmd)
	return cmd
}

func (o *labApplyOptions) run(ctx context.Context) error {
	if (o.kustomize == "") == (o.file == "") {
		return usagef("name either a folder with -k or a file with -f")
	}
	c, err := lab.Open(string(o.dir))
	if err != nil {
		return err
	}
	regions := c.Regions()
	if o.region != "" {
		if !slices.Contains(regions, o.region) {
			return usagef("--region %s: the lab has no such region", o.region)
		}
		regions = []string{o.region}
	}
	manifests, err := c.Manifests(o.kustomize, o.file)
	if err != nil {
		return err
	}
	errs := make([]error, len(regions))
	var all sync.WaitGroup
	for i, region := range regions {
		all.Go(func() { errs[i] = c.Apply(ctx, region, manifests) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(o.err, "%d objects applied in %d regions at speed %d\n", len(manifests), len(regions), c.Speed())
	return nil
}
