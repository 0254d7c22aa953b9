package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

// look is how often a followed log is looked at: a file tells nobody that it grew.
const look = 200 * time.Millisecond

func newLabLogs(s streams) *cobra.Command {
	var dir labFolder
	follow := false
	cmd := &cobra.Command{
		Use:   "logs [REGION COMPONENT]",
		Short: "Print the log of a component, or of the lab itself",
		Example: `  tidegate lab logs
  tidegate lab logs us-west rollouts-controller --follow`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			state, err := dir.status(cmd.Context())
			if err != nil {
				return err
			}
			path, err := logOf(state, args)
			if err != nil {
				return err
			}
			return copyLog(cmd.Context(), s.out, path, follow)
		},
	}
	cmd.ValidArgsFunction = completeLab(&dir, labLogs)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	dir.add(cmd)
	return cmd
}

func logOf(state lab.State, args []string) (string, error) {
	if len(args) == 0 {
		return state.Log, nil
	}
	region, err := state.Region(args[0])
	if err != nil {
		return "", usageError{err}
	}
	names := logged(region)
	if len(args) == 2 && slices.Contains(names, args[1]) {
		c, err := region.Component(args[1])
		return c.Log, err
	}
	return "", usagef("name one of the components of %s: %s", region.Name, strings.Join(names, ", "))
}

// logged names the components of a region that have a log of their own.
func logged(r lab.RegionState) []string {
	var names []string
	for _, c := range r.Components {
		if c.Log != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

func copyLog(ctx context.Context, out io.Writer, path string, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer f.Close()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		if _, err := io.Copy(out, f); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // interrupted is how following ends
		case <-ticker.C:
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil // the lab is gone
		}
	}
}
