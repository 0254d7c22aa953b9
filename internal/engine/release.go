package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"tidegate.io/tidegate/internal/release"
	"tidegate.io/tidegate/internal/rollouts"
)

const (
	resync      = 30 * time.Second // the watches drive; this only bounds how long a missed signal can matter
	retryAfter  = time.Second
	rollbackFor = 2 * time.Minute // a region's rollback gives up being verified after this
	answerFor   = 15 * time.Second
)

// Release carries one plan through its regions.
type Release struct {
	Plan    release.Plan
	Regions map[string]*rollouts.Region                                                     // by name, one for each of the plan's regions
	Ask     func(ctx context.Context, region string) (bool, error)                          // asks a person whether to promote; nil when there is nobody
	Served  func(ctx context.Context, region, hash string, since time.Time) (Served, error) // nil where requests cannot be counted
	Report  func(region release.Region, seen release.Observation)                           // told whenever a region's phase or progress changes; may be nil
}

// Result is a finished or interrupted release.
type Result struct {
	State    release.State
	Returned map[string]*Returned // by region, those that were rolled back
}

// run is a release under way. Its fields belong to the goroutine of Run; workers answer through done.
type run struct {
	Release
	life      context.Context // of the watches and of rollbacks, which a first interruption does not end
	state     release.State
	watchers  map[string]*rollouts.Watcher
	returned  map[string]*Returned
	failed    map[string]*release.Analysis // by region, what had failed on the version that was rolled back
	questions map[string]*question
	failures  map[string]failure   // of acting on a region, while they matter
	retry     map[string]time.Time // not before
	busy      map[string]bool
	done      chan func()
	workers   sync.WaitGroup
}

// failure is what acting on a region last failed with, and since when it has.
type failure struct {
	err         error
	since, last time.Time // the same kind of it: first and latest
}

// lasts tells that the API server has denied it often enough to be believed. One denial tells nothing, however old.
func (f failure) lasts() bool {
	return errors.Is(f.err, rollouts.ErrDenied) && f.last.Sub(f.since) >= rollouts.DeniedFor
}

// Run drives the release to its outcome. It returns early, with the cause, when ctx ends: rollbacks under way are finished,
// the other regions are left as they are, for a later run of the same plan to take up.
func (r Release) Run(ctx context.Context) (Result, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	x := &run{
		Release: r, life: life, state: release.Start(r.Plan), watchers: map[string]*rollouts.Watcher{}, returned: map[string]*Returned{},
		failed: map[string]*release.Analysis{}, questions: map[string]*question{}, failures: map[string]failure{},
		retry: map[string]time.Time{}, busy: map[string]bool{}, done: make(chan func()),
	}
	changed := make(chan struct{}, 1)
	for name, region := range r.Regions {
		w := region.Watch(life)
		x.watchers[name] = w
		x.workers.Go(func() { forward(life, w.Changed(), changed) })
	}
	err := x.loop(ctx, changed)
	cancel()
	for _, q := range x.questions {
		q.cancel()
	}
	x.workers.Wait()
	for _, w := range x.watchers {
		w.Wait()
	}
	return Result{State: x.state, Returned: x.returned}, err
}

func forward(ctx context.Context, from <-chan struct{}, to chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-from:
			select {
			case to <- struct{}{}:
			default:
			}
		}
	}
}

func (x *run) loop(ctx context.Context, changed <-chan struct{}) error {
	for {
		now := time.Now()
		seen := x.observe()
		state, actions := release.Decide(x.state, seen, now)
		x.state = state
		x.report(seen)
		if state.Outcome != "" {
			return nil
		}
		interrupted := ctx.Done()
		if ctx.Err() != nil {
			if !x.rollingBack() {
				return context.Cause(ctx)
			}
			interrupted = nil
		}
		for _, action := range actions {
			if ctx.Err() == nil || action.Kind == release.RollBack {
				x.act(ctx, action, seen[action.Region])
			}
		}
		x.dismiss(seen)
		timer := time.NewTimer(x.wake(now))
		select {
		case <-changed:
		case <-timer.C:
		case settle := <-x.done:
			settle()
		case <-interrupted:
		}
		timer.Stop()
	}
}

func (x *run) rollingBack() bool {
	return slices.ContainsFunc(x.state.Regions, func(r release.Region) bool { return r.Phase == release.RollingBack })
}

// wake is how long nothing but a signal can change a decision.
func (x *run) wake(now time.Time) time.Duration {
	at := now.Add(resync)
	if deadline, ok := release.Wake(x.state, now); ok && deadline.Before(at) {
		at = deadline
	}
	for retry := range maps.Values(x.retry) {
		if retry.After(now) && retry.Before(at) {
			at = retry
		}
	}
	return at.Sub(now)
}

// observe reads every region from its watches. It makes no request, so a dead region cannot hold it up.
func (x *run) observe() map[string]release.Observation {
	seen := map[string]release.Observation{}
	for name, w := range x.watchers {
		o := observation(w.Snapshot())(x.Plan.Image)
		switch f := x.failures[name]; {
		case f.err == nil:
		case errors.Is(f.err, rollouts.ErrRefused), f.lasts():
			o.Refused = f.err.Error()
		default:
			o.Trouble = f.err.Error()
		}
		if q := x.questions[name]; q != nil && q.pause == o.PausedAt {
			o.Approval = q.answer
		}
		if back := x.returned[name]; back != nil && !x.busy[name] {
			o.Return = &release.Returned{Err: back.Err, Gate: x.failed[name]}
		}
		seen[name] = o
	}
	return seen
}

func observation(s *rollouts.Snapshot, err error) func(image string) release.Observation {
	return func(image string) release.Observation {
		switch {
		case errors.Is(err, rollouts.ErrRefused):
			return release.Observation{Refused: err.Error()}
		case err != nil:
			return release.Observation{Unreachable: err.Error()}
		}
		return s.Observation(image)
	}
}

func (x *run) report(seen map[string]release.Observation) {
	if x.Report == nil {
		return
	}
	for _, region := range x.state.Regions {
		x.Report(region, seen[region.Name])
	}
}

// act carries an action out beside the loop. A region does one thing at a time; what is asked meanwhile is asked again.
func (x *run) act(ctx context.Context, a release.Action, seen release.Observation) {
	if a.Kind == release.AskApproval {
		x.ask(ctx, a.Region, seen.PausedAt)
		return
	}
	if a.Kind == release.Finish || x.busy[a.Region] || time.Now().Before(x.retry[a.Region]) {
		return
	}
	state := x.region(a.Region)
	switch a.Kind {
	case release.SetImage:
		x.work(ctx, a.Region, func(ctx context.Context) error { return x.setImage(ctx, state) })
	case release.Promote:
		x.work(ctx, a.Region, func(ctx context.Context) error { return x.promote(ctx, a.Region) })
	case release.RollBack:
		x.rollBack(state)
	}
}

func (x *run) region(name string) release.Region {
	for _, r := range x.state.Regions {
		if r.Name == name {
			return r
		}
	}
	panic("no region " + name + " in the plan")
}

// work runs do in its own goroutine, with the region marked busy, and remembers how it ended.
func (x *run) work(ctx context.Context, region string, do func(context.Context) error) {
	x.busy[region] = true
	x.workers.Go(func() {
		asked, cancel := soon(ctx)
		defer cancel()
		err := do(asked)
		x.settle(func() {
			x.busy[region] = false
			x.fails(region, err)
		})
	})
}

// fails remembers how acting on a region ended.
func (x *run) fails(region string, err error) {
	before := x.failures[region]
	delete(x.failures, region)
	delete(x.retry, region)
	if err == nil || errors.Is(err, rollouts.ErrMoved) {
		return // moved: the next observation shows where to
	}
	now := time.Now()
	f := failure{err: err, since: now, last: now}
	same := before.err != nil && errors.Is(before.err, rollouts.ErrDenied) == errors.Is(err, rollouts.ErrDenied)
	if same && now.Sub(before.last) < rollouts.DeniedFor { // else nobody asked in between
		f.since = before.since
	}
	x.failures[region] = f
	x.retry[region] = time.Now().Add(retryAfter)
}

// soon bounds what an API server may take for an answer.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, answerFor, fmt.Errorf("the API server did not answer within %s", answerFor))
}

func (x *run) settle(f func()) {
	select {
	case x.done <- f:
	case <-x.life.Done():
	}
}

// setImage looks again first: the region may have moved since the decision.
func (x *run) setImage(ctx context.Context, state release.Region) error {
	region := x.Regions[state.Name]
	s, err := region.Read(ctx)
	if err != nil {
		return err
	}
	if o := s.Observation(x.Plan.Image); o.Image != state.Found {
		return nil // done already, or taken by someone else: the next observation shows which
	}
	return region.SetImage(ctx, s, x.Plan.Image)
}

func (x *run) promote(ctx context.Context, name string) error {
	region := x.Regions[name]
	s, err := region.Read(ctx)
	if err != nil {
		return err
	}
	return region.Promote(ctx, s, x.Plan.Image)
}

// rollBack takes a region back. Only then it asks what had failed there, and what the version served that is left behind.
func (x *run) rollBack(state release.Region) {
	ctx, name := x.life, state.Name
	x.busy[name] = true
	x.workers.Go(func() {
		limited, cancel := context.WithTimeoutCause(ctx, rollbackFor, fmt.Errorf("not verified within %s", rollbackFor))
		defer cancel()
		back := Back{Region: x.Regions[name], Target: state.From.Hash, Reason: state.Why}.Run(limited)
		failed := x.failedOn(ctx, name, state.Hash)
		if state.Hash != "" && x.Served != nil {
			back.Count(x.Served(ctx, name, state.Hash, state.Started))
		}
		x.settle(func() { x.busy[name] = false; x.returned[name] = back; x.failed[name] = failed })
	})
}

// failedOn is the analysis that speaks against a version, or nil where none does or the region does not say.
func (x *run) failedOn(ctx context.Context, region, hash string) *release.Analysis {
	asked, cancel := soon(ctx)
	defer cancel()
	s, err := x.Regions[region].Read(asked)
	if err != nil {
		return nil
	}
	return s.FailedOn(hash)
}
