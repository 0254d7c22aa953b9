package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"
)

const (
	// downWithin is what a lab may take to go down by itself: a few seconds, and the supervisor gives up after teardown.
	downWithin = teardown + 10*time.Second
	// lookAgain is the pause between two looks at the lock: a lock tells nobody that it was dropped.
	lookAgain = 20 * time.Millisecond
)

// Down takes down the lab whose state is in dir ("" is DefaultDir), and returns once neither a process nor a file of it
// is left. A supervisor that does not answer or does not finish is killed, and its remains are swept. Where there is no
// lab the error is ErrNone.
func Down(ctx context.Context, dir string) error {
	c, err := Open(dir)
	if errors.Is(err, ErrDied) {
		return nil // Open has done it
	}
	if err != nil {
		return err
	}
	return c.Down(ctx)
}

// Down takes the lab down; see the function Down.
func (c *Client) Down(ctx context.Context) error {
	asked := c.call(ctx, http.MethodPost, "/down", nil, nil)
	if asked == nil {
		waiting, cancel := context.WithTimeoutCause(ctx, downWithin, fmt.Errorf("still there after %s", downWithin))
		defer cancel()
		asked = c.gone(waiting)
	}
	if asked == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("take down the lab in %s: %w", c.dir, context.Cause(ctx))
	}
	if err := c.stored.Supervisor.Kill(); err != nil {
		return fmt.Errorf("take down the lab in %s: %w", c.dir, errors.Join(asked, err))
	}
	waiting, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("its supervisor, pid %d, is still there", c.stored.Supervisor.PID))
	defer cancel()
	if err := c.gone(waiting); err != nil {
		return fmt.Errorf("take down the lab in %s: %w", c.dir, errors.Join(asked, err))
	}
	return nil
}

// gone waits until nobody holds the lock and the supervisor has exited, and sweeps what was left in the state folder.
func (c *Client) gone(ctx context.Context) error {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	for {
		held, err := lock(c.dir, false)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has cleaned up itself, and is about to exit
			if !c.stored.Supervisor.Ours() {
				return nil
			}
		case err == nil:
			return sweep(c.dir, held)
		case !errors.Is(err, errHeld):
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// sweep ends what a dead supervisor left: processes, which the kernel has mostly ended with it, and files. Only processes
// that are certainly the lab's are touched. It takes over the lock, and lets go of it at the end.
func sweep(dir string, held *os.File) error {
	var errs []error
	s, err := read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err) // cut short by a full disk, say; the files go all the same
	}
	for _, r := range s.Regions {
		for _, c := range r.Components {
			if c.Record != nil {
				errs = append(errs, c.Record.Kill())
			}
		}
	}
	errs = append(errs, remove(dir), held.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep the lab in %s: %w", dir, err)
	}
	return nil
}
