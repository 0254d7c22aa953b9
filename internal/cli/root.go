// Package cli is the face of Tidegate: one file a verb, each of which parses, validates, makes one call and renders.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// streams are the three ends of the terminal. The answer goes to out, progress and errors to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs the command line and returns the process's exit code (see exit.go).
func Main(args []string, in io.Reader, out, err io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)   // a second signal ends the process
	klog.SetLogger(logr.Discard()) // client-go's own log is not for people
	return runArgs(ctx, streams{in: in, out: out, err: err}, args)
}

// runArgs runs one command line and returns its exit code.
func runArgs(ctx context.Context, s streams, args []string) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	understood := false
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	err := root.ExecuteContext(ctx)
	if err != nil && !understood {
		err = usageError{err} // cobra itself could make nothing of it
	}
	return exitCode(ctx, s, err)
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "tidegate",
		Short: "Carry a release through every region on unmodified Argo Rollouts, and take it back out in seconds",
		Long: `Tidegate carries a release through every region of a fleet, gate by gate, on unmodified
Argo Rollouts, and takes it back out of all of them in seconds.

Exit codes:
` + exitCodesHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee '%s --help'", err, c.CommandPath())}
	})
	root.AddCommand(newRollout(s), newRollback(s), newProbe(s), newDemo(s), newLab(s))
	return root
}

// usageError is a command line that cannot be carried out as it was typed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// reported wraps an outcome that has already been rendered: it sets the exit code and prints nothing more.
type reported struct{ code int }

func (e reported) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func exitCode(ctx context.Context, s streams, err error) int {
	var done reported
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &done):
		return done.code
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "tidegate: %v\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintf(s.err, "tidegate: interrupted: %v\n", err)
		return exitInterrupted
	default:
		fmt.Fprintf(s.err, "tidegate: %v\n", err)
		return exitFailed
	}
}
