package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/image"
)

const (
	canaryService    = "teei-q2q-ai"
	blueGreenService = "teei-api-gateway"
	registry         = "ghcr.io/henrigkroine/"
	goodVersion      = "v1.1.0"
	badVersion       = "v1.2.0"
)

// demoOptions are the flags of 'tidegate demo'.
type demoOptions struct {
	streams
	speed int
}

func newDemo(s streams) *cobra.Command {
	o := &demoOptions{streams: s}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Four real regions on this machine: a good release, a bad one, and the way back",
		Long: `Bring up four real regions on this machine, carry a good version of two services through them, then a bad one.
The first region's own analysis catches it, Tidegate takes it back, and everything is torn down without a trace.

The first run builds the components from Go modules, which takes some minutes; later runs start at once.`,
		Example: "  tidegate demo\n  tidegate demo --speed 20",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().IntVar(&o.speed, "speed", 30, "time lapse: a canary of 30 minutes takes 30 minutes divided by this")
	return cmd
}

func (o *demoOptions) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tidegate-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	o.say("Four regions, each etcd, kube-apiserver, kube-controller-manager, Argo Rollouts and Prometheus; time runs %d times faster.", o.speed)
	regions, err := lab.Start(ctx, lab.Options{
		Dir: dir, Speed: o.speed, Services: []string{blueGreenService, canaryService}, Progress: labProgress(o.err),
	})
	if err != nil {
		return err
	}
	err = o.play(ctx, regions)
	stop, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), time.Minute, errors.New("the lab did not stop within a minute"))
	defer cancel()
	if err := errors.Join(err, regions.Stop(stop)); err != nil {
		return err
	}
	o.say("The regions are gone: no process, no port, no file is left.")
	return nil
}

// play is the story. A step that ends otherwise than it should ends the demo with an error: the demo is a test, too.
func (o *demoOptions) play(ctx context.Context, regions *lab.Lab) error {
	if err := os.Setenv("KUBECONFIG", regions.Kubeconfig()); err != nil {
		return fmt.Errorf("use the lab's kubeconfig: %w", err)
	}
	if err := regions.SetImage(ctx, "", registry+canaryService+":"+badVersion, image.Behaviour{Errors: 0.05}); err != nil {
		return err
	}
	steps := []struct {
		say  string
		args []string
		want int
	}{
		{"A good version of the canary service, one region after the other.",
			[]string{"rollout", canaryService, registry + canaryService + ":" + goodVersion, "--analysis-wait", "2"}, exitOK},
		{"A good version of the blue/green service; it is promoted as soon as its gates allow.",
			[]string{"rollout", blueGreenService, registry + blueGreenService + ":" + goodVersion, "--analysis-wait", "2", "--promote"}, exitOK},
		{"Now a bad one: it answers 5 % of its requests with an error. Watch the first region.",
			[]string{"rollout", canaryService, registry + canaryService + ":" + badVersion, "--analysis-wait", "2"}, exitRolledBack},
		{"And a rollback by hand, in all regions at once, of a version that was promoted everywhere.",
			[]string{"rollback", blueGreenService, "customers cannot log in"}, exitOK},
	}
	for _, step := range steps {
		o.say("%s", step.say)
		fmt.Fprintf(o.out, "%s\n", newPaint(o.out).dim("$ tidegate "+strings.Join(quoted(step.args), " ")))
		if code := runArgs(ctx, o.streams, step.args); code != step.want {
			return fmt.Errorf("the demo stops here: exit code %d where %d was expected", code, step.want)
		}
	}
	return nil
}

func (o *demoOptions) say(format string, args ...any) {
	fmt.Fprintf(o.out, "\n%s\n", newPaint(o.out).bold(fmt.Sprintf(format, args...)))
}

// quoted writes arguments as they would be typed.
func quoted(args []string) []string {
	var out []string
	for _, arg := range args {
		if strings.Contains(arg, " ") {
			arg = `"` + arg + `"`
		}
		out = append(out, arg)
	}
	return out
}
