package visual

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

// Run shoots every path on both services, with one browser, and compares. A page that does not load, answers with an error
// or is empty has failed; a browser that does not start has measured nothing. When Run returns, the browser is gone.
func Run(ctx context.Context, c Config) probe.Result {
	begun := time.Now()
	result := probe.New("visual", web.Redact(c.Active), web.Redact(c.Preview))
	if c.Out != "" {
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return result.Broken(fmt.Errorf("folder for the pictures: %w", err), time.Since(begun))
		}
	}
	if c.SkipVerify {
		result.Warnings = append(result.Warnings, "certificates were not verified: anybody may have answered")
	}
	b, err := startBrowser(ctx, c)
	if err != nil {
		return result.Broken(err, time.Since(begun))
	}
	defer b.close()
	if err := b.checkMasks(c.Masks, c.Timeout); err != nil {
		return result.Broken(err, time.Since(begun))
	}
	pairs, checks := make([]pair, len(c.Paths)), make([]probe.Check, len(c.Paths))
	all, limited := errgroup.WithContext(ctx)
	all.SetLimit(max(1, c.Parallel))
	for i, path := range c.Paths {
		all.Go(func() error {
			started := time.Now()
			active, preview, err := b.both(limited, c, path)
			if err != nil { // the browser is no more, or nobody waits
				return fmt.Errorf("%s: %w", web.RedactPath(path), err)
			}
			pairs[i], checks[i] = c.judge(path, active, preview)
			checks[i].Seconds = probe.Seconds(time.Since(started))
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		result.Error = err.Error()
	}
	for i, check := range checks {
		if check.Verdict != "" {
			result.Warnings = append(result.Warnings, c.warnings(pairs[i])...)
			c.attach(&result, check, pairs[i])
		}
	}
	result.Conclude(time.Since(begun))
	return result
}

// both shoots a path on both services at once.
func (b *browser) both(ctx context.Context, c Config, path string) (active, preview shot, err error) {
	all, ctx := errgroup.WithContext(ctx)
	for _, each := range []struct {
		base *url.URL
		into *shot
	}{{c.Active, &active}, {c.Preview, &preview}} {
		address, err := web.Join(each.base, path)
		if err != nil {
			return active, preview, err
		}
		all.Go(func() (err error) {
			*each.into, err = b.shoot(ctx, c, address)
			return err
		})
	}
	err = all.Wait()
	return active, preview, err
}
