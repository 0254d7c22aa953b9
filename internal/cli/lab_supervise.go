package cli

import (
	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

// newLabSupervise is the process that 'lab up' starts. It is not for people: it wants a leash and a lock on open files.
func newLabSupervise() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise DIR",
		Hidden: true,
		Args:   named("DIR"),
		RunE:   func(cmd *cobra.Command, _ []string) error { return lab.Supervise(cmd.Context()) },
	}
}
