package apply

import (
	"context"
	"fmt"
	"math"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// patience bounds the retries for one object. A server needs a second or two to serve a kind after its CRD is
// established, far more where several start on two busy cores; a kind that is unknown for longer than this is a typing error.
const patience = 45 * time.Second

// persist repeats try while its error is of the kind that passes by itself, until ctx or patience ends.
func persist(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("kept trying for %s", patience))
	defer cancel()
	backoff := wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.2, Cap: time.Second, Steps: math.MaxInt32}
	for {
		err := try(ctx)
		if err == nil || !passing(err) {
			return err
		}
		timer := time.NewTimer(backoff.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// passing says whether an error is one that a server which is starting, or a concurrent writer, causes for a moment.
func passing(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsTooManyRequests(err) || apierrors.IsConflict(err) || unserved(err)
}

// unserved says whether the path of a kind is unknown: discovery already lists it, its handler comes a moment later.
// Then the server answers in plain text; where an object or a namespace is missing, it answers with a status.
func unserved(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
