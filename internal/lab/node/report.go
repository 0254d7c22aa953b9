package node

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report keeps the API's status up to date until the pod is being deleted, and returns the object that says
// so; nil when ctx ends.
func (p *pod) report(ctx context.Context) *v1.Pod {
	first := time.NewTimer(p.node.timing.settle)
	defer first.Stop()
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	settled := false
	for pause := retryMin; ; {
		select {
		case <-ctx.Done():
			return nil
		case object := <-p.mail:
			if object.DeletionTimestamp != nil {
				return object
			}
			continue
		case <-first.C:
			settled = true
		case <-p.changed:
		case <-again.C:
		}
		if settled = settled || p.settled(); !settled {
			continue
		}
		if err := call(ctx, p.patch); err != nil {
			if ctx.Err() == nil {
				p.log.Warn("report the pod's status", "error", err, "retryIn", pause)
			}
			again.Reset(pause)
			pause = min(2*pause, retryMax)
			continue
		}
		pause = retryMin
	}
}

// settled reports whether there is nothing left to wait for before the first status.
func (p *pod) settled() bool {
	status := p.status()
	return terminal(status.Phase) || status.Conditions[len(status.Conditions)-1].Status == v1.ConditionTrue
}

func (p *pod) status() v1.PodStatus {
	v := view{spec: &p.born.Spec, ip: p.ip.String(), started: p.started, before: p.sent.Conditions, now: metav1.Now()}
	for _, c := range p.inits {
		v.inits = append(v.inits, c.snapshot())
	}
	for _, c := range p.mains {
		v.mains = append(v.mains, c.snapshot())
	}
	return podStatus(v)
}

// patch writes the status if it is not what was written last. A pod that is gone needs none.
func (p *pod) patch(ctx context.Context) error {
	status := p.status()
	// What was seen after the end is the end itself. The next node adopts the pod as this one leaves it.
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if equality.Semantic.DeepEqual(status, p.sent) {
		return nil
	}
	body, err := statusPatch(p, status)
	if err != nil {
		return err
	}
	_, err = p.node.cfg.Client.CoreV1().Pods(p.name.Namespace).
		Patch(ctx, p.name.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	p.sent = status
	return nil
}

// remove deletes the object: nothing of the pod runs any more.
func (p *pod) remove(ctx context.Context) {
	_ = retry(ctx, func(ctx context.Context) error {
		err := p.node.cfg.Client.CoreV1().Pods(p.name.Namespace).Delete(ctx, p.name.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &p.uid},
		})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err // a conflict too: if the name belongs to another pod by now, ctx is about to end
	})
}
