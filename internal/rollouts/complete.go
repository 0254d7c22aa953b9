package rollouts

import (
	"fmt"
	"slices"
	"strings"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// lacking names what keeps the rollout from being whole on its current template. Empty means whole. The controller
// writes Healthy one reconcile before the Service and the weights switch, so its word is necessary and not enough.
func (s *Snapshot) lacking() []string {
	st := s.rollout.Status
	if !s.settled() {
		return []string{"the controller has not acted on the newest generation"}
	}
	var lacks []string
	miss := func(format string, args ...any) { lacks = append(lacks, fmt.Sprintf(format, args...)) }
	if st.Phase != rov1.RolloutPhaseHealthy {
		miss("the rollout is %s%s", st.Phase, parenthesis(st.Message))
	}
	if st.Abort {
		miss("the rollout is aborted")
	}
	if st.StableRS != st.CurrentPodHash {
		miss("stable is still %s", st.StableRS)
	}
	if rs := s.replicaSet(st.CurrentPodHash); rs == nil {
		miss("ReplicaSet %s does not exist", st.CurrentPodHash)
	} else if have, want := rs.Status.AvailableReplicas, s.desired(); have != want || rs.Status.Replicas != want {
		miss("%d of %d pods are available", have, want)
	}
	return append(lacks, s.misrouted(st.CurrentPodHash)...)
}

func parenthesis(message string) string {
	if message == "" {
		return ""
	}
	return " (" + message + ")"
}

// misrouted names each Service and route that does not send all user traffic to hash.
func (s *Snapshot) misrouted(hash string) []string {
	switch {
	case s.rollout.Spec.Strategy.BlueGreen != nil:
		return s.misselected(s.rollout.Spec.Strategy.BlueGreen.ActiveService, hash)
	case s.rollout.Spec.Strategy.Canary == nil:
		return []string{"the rollout has no strategy"}
	}
	canary := s.rollout.Spec.Strategy.Canary
	if canary.TrafficRouting == nil {
		return s.otherPods(hash)
	}
	istio := canary.TrafficRouting.Istio
	var lacks []string
	switch {
	case canary.PingPong != nil:
		return []string{"its Services are a ping and a pong, which Tidegate cannot tell apart yet"}
	case canary.StableService != "" || istio == nil || istio.DestinationRule == nil: // subsets need no Service of their own
		lacks = s.misselected(canary.StableService, hash)
	}
	if istio == nil {
		return append(lacks, s.misweighted()...)
	}
	for _, ref := range virtualServices(istio) {
		lacks = append(lacks, s.misdirected(ref, hash)...)
	}
	return lacks
}

// misselected checks the Service object itself.
func (s *Snapshot) misselected(service, hash string) []string {
	svc := s.services[service]
	if svc == nil {
		return []string{fmt.Sprintf("Service %s does not exist", service)}
	}
	if got := svc.Spec.Selector[rov1.DefaultRolloutUniqueLabelKey]; got != hash {
		return []string{fmt.Sprintf("Service %s selects %s", service, got)}
	}
	return nil
}

// otherPods holds a canary without a router to its pods: traffic goes wherever there is one.
func (s *Snapshot) otherPods(hash string) []string {
	for _, rs := range s.replicaSets {
		if other := rs.Labels[rov1.DefaultRolloutUniqueLabelKey]; other != hash && rs.Status.ReadyReplicas > 0 {
			return []string{fmt.Sprintf("%d pods of %s still take traffic", rs.Status.ReadyReplicas, other)}
		}
	}
	return nil
}

// misweighted trusts the status for routers whose objects Tidegate does not read.
func (s *Snapshot) misweighted() []string {
	weights := s.rollout.Status.Canary.Weights
	if weights == nil {
		return nil // the controller has never moved a weight
	}
	if weights.Canary.Weight != 0 && weights.Canary.PodTemplateHash != weights.Stable.PodTemplateHash {
		return []string{fmt.Sprintf("the canary weight is %d", weights.Canary.Weight)}
	}
	return nil
}

func virtualServices(istio *rov1.IstioTrafficRouting) []rov1.IstioVirtualService {
	refs := istio.VirtualServices
	if istio.VirtualService != nil {
		refs = append([]rov1.IstioVirtualService{*istio.VirtualService}, refs...)
	}
	return refs
}

// misdirected reads the VirtualService: every destination with weight must lead to hash.
func (s *Snapshot) misdirected(ref rov1.IstioVirtualService, hash string) []string {
	vs := s.routes[ref.Name]
	if vs == nil {
		return []string{fmt.Sprintf("VirtualService %s does not exist", ref.Name)}
	}
	found := destinations(vs, ref.Routes)
	if len(found) == 0 || len(ref.TCPRoutes)+len(ref.TLSRoutes) > 0 {
		return []string{fmt.Sprintf("VirtualService %s sends users over what Tidegate does not read: it reads http routes alone", ref.Name)}
	}
	var lacks []string
	for _, dest := range found {
		if dest.weight == 0 || s.leadsTo(dest, hash) {
			continue
		}
		lacks = append(lacks, fmt.Sprintf("VirtualService %s sends %d%% to %s", ref.Name, dest.weight, dest))
	}
	return lacks
}

// leadsTo follows a destination to the pods behind it. The controller writes a subset's labels and the rollout's stable
// hash in the same breath, so a subset is judged by its name.
func (s *Snapshot) leadsTo(d destination, hash string) bool {
	if d.subset != "" {
		rule := s.rollout.Spec.Strategy.Canary.TrafficRouting.Istio.DestinationRule
		return rule != nil && d.subset == rule.StableSubsetName && s.rollout.Status.StableRS == hash
	}
	service, _, _ := strings.Cut(d.host, ".")
	return len(s.misselected(service, hash)) == 0
}

type destination struct {
	host, subset string
	weight       int64
}

func (d destination) String() string {
	if d.subset != "" {
		return d.host + "/" + d.subset
	}
	return d.host
}

// destinations are those of the named http routes, or of all where none is named. A single destination without a weight
// takes everything.
func destinations(vs *unstructured.Unstructured, names []string) []destination {
	var found []destination
	routes, _, _ := unstructured.NestedSlice(vs.Object, "spec", "http")
	for _, r := range routes {
		route, _ := r.(map[string]any)
		name, _ := route["name"].(string)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		targets, _ := route["route"].([]any)
		for _, t := range targets {
			target, _ := t.(map[string]any)
			d := destination{}
			d.host, _, _ = unstructured.NestedString(target, "destination", "host")
			d.subset, _, _ = unstructured.NestedString(target, "destination", "subset")
			weight, set, _ := unstructured.NestedInt64(target, "weight")
			if d.weight = weight; !set && len(targets) == 1 {
				d.weight = 100
			}
			found = append(found, d)
		}
	}
	return found
}
