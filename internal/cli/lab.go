package cli

import (
	"context"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

// labFolder is the flag that all verbs of the lab have in common.
type labFolder string

func (d *labFolder) add(cmd *cobra.Command) {
	cmd.Flags().StringVar((*string)(d), "dir", "", "state folder of the lab (default $"+lab.Variable+", else tidegate/lab below $XDG_STATE_HOME or ~/.local/state)")
	_ = cmd.MarkFlagDirname("dir")
}

// status asks the lab in the folder what it says of itself.
func (d *labFolder) status(ctx context.Context) (lab.State, error) {
	c, err := lab.Open(string(*d))
	if err != nil {
		return lab.State{}, err
	}
	return c.Status(ctx)
}

func newLab(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Regions on this machine, from real components",
		Long: `Regions on this machine, from real components: etcd, kube-apiserver, kube-controller-manager, the unmodified Argo
Rollouts controller and Prometheus for each, built once from pinned Go modules. The node, which runs each Pod as an HTTP
server, and the mesh, which routes requests to them by weight, are Tidegate's own. No Docker, no root.

What an image does is told, not compiled in: see 'tidegate lab image'.`,
		Example: `  tidegate lab up --speed 30
  eval "$(tidegate lab env)"
  kubectl get rollouts --context k8s-us-west
  tidegate lab image ghcr.io/henrigkroine/teei-q2q-ai:v2 --errors 5%
  tidegate lab down`,
	}
	cmd.AddCommand(newLabUp(s), newLabDown(s), newLabStatus(s), newLabEnv(s), newLabLogs(s), newLabImage(s), newLabApply(s), newLabBuild(s),
		newLabSupervise())
	return cmd
}
