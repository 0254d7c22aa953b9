package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

func newLabBuild(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the components ahead of time",
		Long: `Build etcd, kube-apiserver, kube-controller-manager, kubectl, Argo Rollouts with its kubectl plugin, and Prometheus from
Go modules at pinned versions and checksums, into the cache folder. 'lab up' does the same when it has to.

TIDEGATE_LAB_ASSETS names a folder of binaries to take instead; KUBEBUILDER_ASSETS serves for etcd, kube-apiserver, kubectl.`,
		Example: "  tidegate lab build",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			started := time.Now()
			b, err := lab.Build(cmd.Context(), "", labProgress(s.err))
			if err != nil {
				return err
			}
			fmt.Fprintf(s.err, "components are ready after %.1f s\n", time.Since(started).Seconds())
			for _, path := range []string{b.Etcd, b.APIServer, b.ControllerManager, b.Rollouts, b.Prometheus, b.Kubectl, b.KubectlArgo} {
				fmt.Fprintln(s.out, path)
			}
			return nil
		},
	}
}
