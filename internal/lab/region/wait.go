package region

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/lab/proc"
)

const (
	// patience is what one component may take to become ready. It takes a second or two; a machine that starts several
	// regions on few cores, under load, ten times that. Past this it hangs.
	patience = 90 * time.Second
	// pause between two questions to a component that offers nothing to watch.
	pause = 20 * time.Millisecond
	// quoted is how many of the last lines of a log an error shows, and excerpt from how many bytes they are taken.
	quoted  = 12
	excerpt = 64 << 10
	// anyStatus accepts every answer of an HTTP server.
	anyStatus = 0
)

// poll asks ready until it has no error. It ends early when the process ends, and after patience; then its error names
// the component and shows the end of its log.
func poll(ctx context.Context, p *proc.Process, spec proc.Spec, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not ready after %s", patience))
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return spoken(spec, fmt.Errorf("start %s: exited: %w", spec.Name, exitError(p)))
		case <-ctx.Done():
			return spoken(spec, fmt.Errorf("start %s: %w: %w", spec.Name, context.Cause(ctx), err))
		case <-ticker.C:
		}
	}
}

func exitError(p *proc.Process) error {
	if err := p.Err(); err != nil {
		return err
	}
	return errors.New("exit status 0")
}

// spoken adds the end of a process's log to an error.
func spoken(spec proc.Spec, err error) error {
	lines := tail(spec.Log, quoted)
	if lines == "" {
		return err
	}
	return fmt.Errorf("%w\n%s says (%s):\n%s", err, spec.Name, spec.Log, lines)
}

// tail returns the last n lines of a file, indented, or "" if there is nothing to read. Where a Go program crashed they
// end a little after its last words: the stacks that follow tell less than what came before.
func tail(path string, n int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > excerpt {
		if _, err := f.Seek(-excerpt, io.SeekEnd); err != nil {
			return ""
		}
	}
	content, err := io.ReadAll(io.LimitReader(f, excerpt))
	if err != nil {
		return ""
	}
	content = bytes.TrimSpace(content)
	if len(content) == 0 {
		return ""
	}
	lines := strings.Split(string(content), "\n")
	end := len(lines)
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			end = min(end, i+n/2)
			break
		}
	}
	return "  " + strings.Join(lines[max(0, end-n):end], "\n  ")
}

// answers asks an HTTP server for a page: an answer with status want, or anyStatus, is no error.
func answers(client *http.Client, url, token string, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, excerpt))
		if err != nil {
			return err
		}
		if want != anyStatus && resp.StatusCode != want {
			return fmt.Errorf("%s: %s: %s", url, resp.Status, bytes.TrimSpace(body))
		}
		return nil
	}
}
