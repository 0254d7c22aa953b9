package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

func newLabDown(s streams) *cobra.Command {
	var dir labFolder
	cmd := &cobra.Command{
		Use:     "down",
		Short:   "Take the lab down; nothing of it is left",
		Example: "  tidegate lab down",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			started := time.Now()
			err := lab.Down(cmd.Context(), string(dir))
			if errors.Is(err, lab.ErrNone) {
				fmt.Fprintln(s.err, "There is no lab to take down.")
				return nil
			}
			if err == nil {
				fmt.Fprintf(s.err, "The lab is gone after %.1f s.\n", time.Since(started).Seconds())
			}
			return err
		},
	}
	dir.add(cmd)
	return cmd
}
