package rollouts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"tidegate.io/tidegate/internal/release"
)

// ErrMoved says that the rollout changed between the look and the patch. Nothing was written; look again.
var ErrMoved = errors.New("the rollout changed in the meantime")

// Every patch carries the resource version that its decision was made on, so that it lands on that state or not at all.

// SetImage asks for image, and notes the version that is stable now for a later rollback. It does nothing where the
// rollout asks for the image already.
func (r *Region) SetImage(ctx context.Context, s *Snapshot, image string) error {
	name, err := container(s.rollout.Spec.Template.Spec, image)
	if err != nil {
		return fmt.Errorf("set image of %s: %w", r.noun(), err)
	}
	for i, c := range s.rollout.Spec.Template.Spec.Containers {
		if c.Name == name && c.Image != image {
			note, err := s.annotate(ledgerAnnotation, entry{Image: image, LastGood: s.rollout.Status.StableRS})
			if err != nil {
				return fmt.Errorf("set image of %s: %w", r.noun(), err)
			}
			return r.patchSpec(ctx, s, "set image of", append(note, operation{"replace", fmt.Sprintf("/spec/template/spec/containers/%d/image", i), image})...)
		}
	}
	return nil
}

// Promote ends a manual pause. Where none stands any longer it does nothing: a promotion of a rollout that is not paused
// would skip a step. Nor does it where an analysis speaks against the version.
func (r *Region) Promote(ctx context.Context, s *Snapshot, image string) error {
	o := s.Observation(image)
	if _, bad := release.Worst(o.Analyses); bad || o.Pause != release.PauseManual {
		return nil
	}
	return r.patchStatus(ctx, s, "promote", map[string]any{"pauseConditions": nil})
}

// Abort stops the update and sends traffic back to stable.
func (r *Region) Abort(ctx context.Context, s *Snapshot) error {
	return r.patchStatus(ctx, s, "abort", map[string]any{"abort": true, "promoteFull": false})
}

// PromoteFull takes the current template all the way, without steps, pauses and analyses.
func (r *Region) PromoteFull(ctx context.Context, s *Snapshot) error {
	return r.patchStatus(ctx, s, "promote fully", map[string]any{"promoteFull": true})
}

// Unpause lifts spec.paused.
func (r *Region) Unpause(ctx context.Context, s *Snapshot) error {
	return r.patchSpec(ctx, s, "unpause", operation{"add", "/spec/paused", false})
}

// Restore puts the pod template of the ReplicaSet mark.To back, and leaves the mark. With paused the controller is held
// still by the same patch.
func (r *Region) Restore(ctx context.Context, s *Snapshot, mark Mark, paused bool) error {
	rs := s.replicaSet(mark.To)
	if rs == nil {
		return fmt.Errorf("restore %s: ReplicaSet %s is gone", r.noun(), mark.To)
	}
	note, err := s.annotate(markAnnotation, s.leave(mark))
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.noun(), err)
	}
	ops := append(note, operation{"replace", "/spec/template", cleanTemplate(rs)}, operation{"add", "/spec/paused", paused})
	return r.patchSpec(ctx, s, "restore", ops...)
}

// annotate are the operations that set an annotation of the rollout to v as JSON.
func (s *Snapshot) annotate(key string, v any) ([]operation, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var ops []operation
	if s.rollout.Annotations == nil {
		ops = append(ops, operation{"add", "/metadata/annotations", map[string]string{}})
	}
	return append(ops, operation{"add", "/metadata/annotations/" + strings.ReplaceAll(key, "/", "~1"), string(text)}), nil
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (r *Region) patchSpec(ctx context.Context, s *Snapshot, verb string, ops ...operation) error {
	body := append([]operation{{"replace", "/metadata/resourceVersion", s.rollout.ResourceVersion}}, ops...)
	return r.patch(ctx, verb, types.JSONPatchType, body)
}

func (r *Region) patchStatus(ctx context.Context, s *Snapshot, verb string, status map[string]any) error {
	body := map[string]any{"metadata": map[string]any{"resourceVersion": s.rollout.ResourceVersion}, "status": status}
	return r.patch(ctx, verb, types.MergePatchType, body, "status")
}

func (r *Region) patch(ctx context.Context, verb string, kind types.PatchType, body any, subresource ...string) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, r.noun(), err)
	}
	_, err = r.client.Resource(rolloutsGVR).Namespace(r.namespace).Patch(ctx, r.rollout, kind, data, metav1.PatchOptions{FieldManager: "tidegate"}, subresource...)
	switch {
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s %s: %w", verb, r.noun(), ErrMoved)
	case denied(err):
		return fmt.Errorf("%s %s: %w: %w", verb, r.noun(), ErrDenied, err)
	case err != nil:
		return fmt.Errorf("%s %s: %w", verb, r.noun(), err)
	}
	return nil
}
