package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

func newLabStatus(s streams) *cobra.Command {
	var dir labFolder
	output := format("table")
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the regions and their components",
		Example: `  tidegate lab status
  tidegate lab status -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := dir.status(cmd.Context())
			if err != nil {
				return err
			}
			return render(s.out, output, state, func(out io.Writer) error { return labTable(out, state) })
		},
	}
	cmd.Flags().VarP(&output, "output", "o", "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	dir.add(cmd)
	return cmd
}

func labTable(out io.Writer, state lab.State) error {
	fmt.Fprintf(out, "lab in %s: %s, speed %d, %g requests/s for each service\n\n", state.Dir, state.Phase, state.Speed, state.Load)
	return columns(out, func(w io.Writer) {
		fmt.Fprintln(w, "REGION\tCOMPONENT\tSTATE\tPID\tLOG")
		for _, r := range state.Regions {
			for _, c := range r.Components {
				pid := "-" // a part of the supervisor
				if c.PID != 0 {
					pid = fmt.Sprint(c.PID)
				}
				text := c.State
				if c.Error != "" {
					text += ": " + c.Error
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, c.Name, text, pid, dash(c.Log))
			}
		}
	})
}
