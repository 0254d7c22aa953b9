package rollouts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Snapshot is what one region says about the rollout at one moment: the objects themselves, not the status alone, for
// the status may lag behind the Services and routes that move the traffic.
type Snapshot struct {
	rollout     *rov1.Rollout
	replicaSets []*appsv1.ReplicaSet                  // those that the rollout owns
	analyses    []*rov1.AnalysisRun                   // those that the rollout owns
	services    map[string]*corev1.Service            // of the rollout's namespace
	routes      map[string]*unstructured.Unstructured // VirtualServices of the namespace
}

// ErrRefused marks an answer that waiting will not change: no such rollout, not permitted, a rollout that cannot be driven.
var ErrRefused = errors.New("refused")

// ErrDenied marks an answer of 401, 403 or 404. It may pass: a token is renewed by the next request, and an API server that
// has just started knows no permissions yet. One that lasts for DeniedFor is believed.
var ErrDenied = errors.New("denied")

// DeniedFor is how long a denial must last before it is taken for a refusal.
const DeniedFor = 5 * time.Second

func denied(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// kinds are the resources that a snapshot is made of, in the order of a snapshot's lists.
var kinds = []schema.GroupVersionResource{rolloutsGVR, replicaSetsGVR, servicesGVR, virtualServicesGVR, analysisRunsGVR}

// Read takes a snapshot from the API server itself, all lists at once. Use it right before a write; [Watcher.Snapshot]
// costs no request.
func (r *Region) Read(ctx context.Context) (*Snapshot, error) {
	lists := make([][]*unstructured.Unstructured, len(kinds))
	g, ctx := errgroup.WithContext(ctx)
	for i, gvr := range kinds {
		g.Go(func() error {
			list, err := r.client.Resource(gvr).Namespace(r.namespace).List(ctx, r.selection(gvr))
			if absent(gvr, err) {
				return nil
			}
			if err != nil {
				return r.readError(gvr, err)
			}
			for j := range list.Items {
				lists[i] = append(lists[i], &list.Items[j])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return r.assemble(lists)
}

// selection narrows a list to what can belong to the rollout, where the API server can tell.
func (r *Region) selection(gvr schema.GroupVersionResource) metav1.ListOptions {
	switch gvr {
	case rolloutsGVR:
		return metav1.ListOptions{FieldSelector: "metadata.name=" + r.rollout}
	case replicaSetsGVR, analysisRunsGVR:
		return metav1.ListOptions{LabelSelector: rov1.DefaultRolloutUniqueLabelKey}
	}
	return metav1.ListOptions{}
}

// absent tells that Istio is not installed, which is no error: the rollout may not use it.
func absent(gvr schema.GroupVersionResource, err error) bool {
	return gvr == virtualServicesGVR && apierrors.IsNotFound(err)
}

func (r *Region) readError(gvr schema.GroupVersionResource, err error) error {
	if denied(err) {
		err = fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return fmt.Errorf("read %s of %s: %w", gvr.Resource, r.noun(), err)
}

// assemble makes a snapshot of lists in the order of kinds.
func (r *Region) assemble(lists [][]*unstructured.Unstructured) (*Snapshot, error) {
	if len(lists[0]) == 0 {
		return nil, fmt.Errorf("%w: no rollout %s in namespace %s of region %s", ErrRefused, r.rollout, r.namespace, r.Name)
	}
	s := &Snapshot{rollout: &rov1.Rollout{}, services: map[string]*corev1.Service{}, routes: map[string]*unstructured.Unstructured{}}
	if err := decode(lists[0][0], s.rollout); err != nil {
		return nil, err
	}
	if s.rollout.Spec.WorkloadRef != nil {
		return nil, fmt.Errorf("%w: %s takes its pods from a workloadRef, which Tidegate cannot drive yet", ErrRefused, r.noun())
	}
	for _, u := range lists[1] {
		rs := &appsv1.ReplicaSet{}
		if err := decode(u, rs); err != nil {
			return nil, err
		}
		if metav1.IsControlledBy(rs, s.rollout) {
			s.replicaSets = append(s.replicaSets, rs)
		}
	}
	for _, u := range lists[2] {
		svc := &corev1.Service{}
		if err := decode(u, svc); err != nil {
			return nil, err
		}
		s.services[svc.Name] = svc
	}
	for _, u := range lists[3] {
		s.routes[u.GetName()] = u
	}
	for _, u := range lists[4] {
		run := &rov1.AnalysisRun{}
		if err := decode(u, run); err != nil {
			return nil, err
		}
		if metav1.IsControlledBy(run, s.rollout) {
			s.analyses = append(s.analyses, run)
		}
	}
	return s, nil
}

func decode(u *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return fmt.Errorf("decode %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// settled holds when the controller has acted on the newest generation. observedGeneration, which is a string, is not
// enough: where it pauses, resumes or refuses a rollout, the controller writes it beside the hash and the abort of the
// template before. So the current hash must run what the template asks for.
func (s *Snapshot) settled() bool {
	observed, err := strconv.ParseInt(s.rollout.Status.ObservedGeneration, 10, 64)
	current := s.replicaSet(s.rollout.Status.CurrentPodHash)
	return err == nil && observed == s.rollout.Generation && current != nil &&
		slices.Equal(images(current.Spec.Template.Spec), s.Images(""))
}

// replicaSet is the one with this pod template hash, or nil.
func (s *Snapshot) replicaSet(hash string) *appsv1.ReplicaSet {
	for _, rs := range s.replicaSets {
		if hash != "" && rs.Labels[rov1.DefaultRolloutUniqueLabelKey] == hash {
			return rs
		}
	}
	return nil
}

func (s *Snapshot) desired() int32 {
	if s.rollout.Spec.Replicas == nil {
		return 1
	}
	return *s.rollout.Spec.Replicas
}

// revision is Argo's count of the versions of a rollout, 0 where it has not given one yet.
func revision(o metav1.Object) int {
	n, err := strconv.Atoi(o.GetAnnotations()[revisionAnnotation])
	if err != nil {
		return 0
	}
	return n
}

const revisionAnnotation = "rollout.argoproj.io/revision"
