package mesh

import (
	"context"
	"math"
	"sync"
	"time"
)

// tooLate is how far the schedule may lag behind, as after a stall of the machine, and still be caught up with. What lies
// further back is dropped: a burst of it would be no load that users make.
const tooLate = time.Second

// rate is a rate per second that may change while it is kept.
type rate struct {
	mu      sync.Mutex
	perSec  float64
	changed chan struct{}
}

func newRate(perSec float64) *rate {
	r := &rate{changed: make(chan struct{})}
	r.set(perSec)
	return r
}

// set changes the rate. Less than nothing is nothing.
func (r *rate) set(perSec float64) {
	if math.IsNaN(perSec) || math.IsInf(perSec, 0) || perSec < 0 {
		perSec = 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.perSec = perSec
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *rate) get() (float64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.perSec, r.changed
}

// pace calls slot at the rate, evenly, until ctx ends. Slots follow an absolute schedule: one that is late takes nothing
// from those after it. missed is told of slots that were too late.
func (r *rate) pace(ctx context.Context, slot func(), missed func(int)) {
	for ctx.Err() == nil {
		perSec, changed := r.get()
		if perSec == 0 {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		keep(ctx, perSec, changed, slot, missed)
	}
}

// keep calls slot perSec times a second until the rate changes or ctx ends.
func keep(ctx context.Context, perSec float64, changed <-chan struct{}, slot func(), missed func(int)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / perSec * float64(time.Second)))
		late := time.Since(due)
		if late > tooLate {
			skipped := int(late.Seconds() * perSec)
			missed(skipped)
			n += skipped
			due = began.Add(time.Duration(float64(n) / perSec * float64(time.Second)))
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
			slot()
		case <-changed:
			return
		case <-ctx.Done():
			return
		}
	}
}
