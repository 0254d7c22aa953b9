package engine

import (
	"context"

	"tidegate.io/tidegate/internal/release"
)

// question is one that a person was asked: whether to end one pause of one region. Its answer holds for that pause alone.
type question struct {
	pause  string
	answer release.Approval
	cancel context.CancelFunc
}

// ask asks a person once for each pause.
func (x *run) ask(ctx context.Context, region, pause string) {
	if q := x.questions[region]; x.Ask == nil || q != nil && q.pause == pause {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	q := &question{pause: pause, cancel: cancel}
	x.questions[region] = q
	x.workers.Go(func() {
		defer cancel()
		yes, err := x.Ask(ctx, region)
		x.settle(func() {
			switch {
			case err != nil: // nobody could answer; somebody may still promote by hand
			case yes:
				q.answer = release.ApprovalGranted
			default:
				q.answer = release.ApprovalRefused
			}
		})
	})
}

// dismiss takes back the questions whose pause is over: an answer that comes now is meant for another one.
func (x *run) dismiss(seen map[string]release.Observation) {
	for region, q := range x.questions {
		if o := seen[region]; o.Settled && o.PausedAt != q.pause {
			q.cancel()
			delete(x.questions, region)
		}
	}
}
