// Package engine carries decisions out: it observes, asks a pure core what to do, looks again, and acts. It is driven by
// watches. All regions are driven at once, each with its own deadline, so that a dead one never delays a live one.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidegate.io/tidegate/internal/rollback"
	"tidegate.io/tidegate/internal/rollouts"
)

// Back is one region's way back to its last good version.
type Back struct {
	Region *rollouts.Region
	Target string // pod template hash to return to; empty means the last good version
	Reason string
	Report func(step rollback.Step) // told of each patch once it is written; may be nil
}

// Version is a pod template hash and the images it runs.
type Version struct {
	Hash   string   `json:"hash"`
	Images []string `json:"images,omitempty"`
}

// Returned is how a region's rollback went. Seconds count from before the first request.
type Returned struct {
	Region  string   `json:"region"`
	From    Version  `json:"from,omitzero"`
	To      Version  `json:"to,omitzero"`
	Traffic *float64 `json:"trafficRestoredSeconds,omitempty"` // all user traffic on To, seen in Services and routes
	Pods    *float64 `json:"podsRestoredSeconds,omitempty"`    // and the rollout whole on it: verified
	Steps   []string `json:"steps"`                            // the patches that were written
	Err     string   `json:"error,omitempty"`                  // why it is not verified
	Served  *Served  `json:"served,omitempty"`                 // by From, where it was counted
	Unknown string   `json:"servedUnknown,omitempty"`          // why it was not
	start   time.Time
}

// Count notes what the version left behind has served, or why that is not known.
func (r *Returned) Count(served Served, err error) {
	if err != nil {
		r.Unknown = err.Error()
		return
	}
	r.Served = &served
}

// OK tells that the region was verified on its last good version.
func (r *Returned) OK() bool { return r.Err == "" && r.Pods != nil }

// Run takes the region back and verifies it, until ctx ends. It can be interrupted at any point and run again.
func (b Back) Run(ctx context.Context) *Returned {
	res := &Returned{Region: b.Region.Name, Steps: []string{}, start: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	w := b.Region.Watch(ctx)
	defer w.Wait()
	defer cancel()

	// The first look does not wait for the watches to be filled.
	seen, err := b.read(ctx)
	var last error
	var denial time.Time // since when there has been nothing but denials
	for {
		if err == nil {
			var done bool
			if done, err = b.step(ctx, res, seen); done {
				return res
			}
		}
		if err != nil {
			last = err
		}
		if !errors.Is(err, rollouts.ErrDenied) {
			denial = time.Time{}
		} else if denial.IsZero() {
			denial = time.Now()
		}
		if final(err) || !denial.IsZero() && time.Since(denial) >= rollouts.DeniedFor {
			res.Err = err.Error()
			return res
		}
		retry := time.NewTimer(retryAfter) // a patch that failed changes nothing that could be watched
		select {
		case <-w.Changed():
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			res.Err = unfinished(context.Cause(ctx), last)
			return res
		}
		retry.Stop()
		// A watch that broke comes back in its own time, up to a minute after the API server has.
		if seen, err = w.Snapshot(); err != nil {
			seen, err = b.read(ctx)
		}
	}
}

func (b *Back) read(ctx context.Context) (*rollouts.Snapshot, error) {
	asked, cancel := soon(ctx)
	defer cancel()
	return b.Region.Read(asked)
}

// final tells the errors that waiting does not mend.
func final(err error) bool {
	return errors.Is(err, rollouts.ErrRefused) || errors.Is(err, rollback.ErrNoTarget)
}

func unfinished(cause, last error) string {
	if last == nil {
		return cause.Error()
	}
	return fmt.Sprintf("%v; last seen: %v", cause, last)
}

// step takes the one step that seen calls for. The decision is made once more on a fresh look before anything is written
// or called done, and again for as long as the rollout moves under it.
func (b *Back) step(ctx context.Context, res *Returned, seen *rollouts.Snapshot) (done bool, err error) {
	if err := b.aim(res, seen); err != nil {
		return false, err
	}
	for fresh := false; ; fresh = true {
		next := res.note(seen.State(b.Target))
		switch {
		case next.Kind == rollback.Wait:
			return false, errors.New(next.Why)
		case !fresh:
		case next.Kind == rollback.Done:
			res.Pods = res.since()
			return true, nil
		default:
			err := b.take(ctx, res, seen, next)
			if !errors.Is(err, rollouts.ErrMoved) {
				return false, err
			}
		}
		if seen, err = b.read(ctx); err != nil {
			return false, err
		}
	}
}

// aim settles, once, what is left and what is returned to.
func (b *Back) aim(res *Returned, seen *rollouts.Snapshot) error {
	if b.Target == "" {
		target, err := seen.LastGood()
		if err != nil {
			return fmt.Errorf("%s: %w", b.Region.Name, err)
		}
		b.Target = target
	}
	if res.To.Hash == "" {
		res.To = Version{Hash: b.Target, Images: seen.Images(b.Target)}
		res.From = Version{Images: seen.Images("")}
		if hash := seen.AskedHash(); hash != b.Target {
			res.From.Hash = hash
		} else if mark, ok := seen.Mark(); ok && mark.To == b.Target {
			res.From = Version{Hash: mark.From, Images: seen.Images(mark.From)} // an earlier rollback brought it here
		}
	}
	return nil
}

// note records since when traffic has been seen to be back, and returns the next step.
func (r *Returned) note(s rollback.State) rollback.Step {
	switch {
	case !s.Traffic:
		r.Traffic = nil // it had not come to stay
	case r.Traffic == nil:
		r.Traffic = r.since()
	}
	return rollback.Next(s)
}

func (r *Returned) since() *float64 {
	seconds := time.Since(r.start).Seconds()
	return &seconds
}

func (b *Back) take(ctx context.Context, res *Returned, seen *rollouts.Snapshot, step rollback.Step) error {
	ctx, cancel := soon(ctx)
	defer cancel()
	var err error
	switch step.Kind {
	case rollback.Abort:
		err = b.Region.Abort(ctx, seen)
	case rollback.RestoreTemplate:
		if res.From.Hash == "" {
			res.From.Hash = seen.AskedHash() // at the first look the controller had not seen the version yet
		}
		mark := rollouts.Mark{From: res.From.Hash, To: b.Target, Reason: b.Reason, At: time.Now().UTC().Truncate(time.Second)}
		err = b.Region.Restore(ctx, seen, mark, step.Paused)
	case rollback.PromoteFull:
		err = b.Region.PromoteFull(ctx, seen)
	case rollback.Unpause:
		err = b.Region.Unpause(ctx, seen)
	}
	if err != nil {
		return err
	}
	res.Steps = append(res.Steps, string(step.Kind))
	if b.Report != nil {
		b.Report(step)
	}
	return nil
}
