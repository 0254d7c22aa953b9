package mesh

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"tidegate.io/tidegate/internal/lab/image"
)

// hashLabel is the label by which Argo tells the versions of a Rollout apart.
const hashLabel = "rollouts-pod-template-hash"

// unknown is what Istio calls a workload or version that it cannot tell.
const unknown = "unknown"

// pod is a pod that takes requests.
type pod struct {
	*corev1.Pod
	ip netip.Addr
	as endpoint // without an address
}

// readPods notes the addresses of all pods, and sorts those that are ready by namespace, in the order of their names so
// that taking turns survives a new table.
func (b *builder) readPods(pods []*corev1.Pod) {
	b.byNS = make(map[string][]*pod)
	for _, p := range pods {
		addr, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil || addr.IsLoopback() {
			continue // a pod's address must not lead back to this machine's own ports
		}
		b.pods[addr] = true
		if p.DeletionTimestamp == nil && ready(p) {
			b.byNS[p.Namespace] = append(b.byNS[p.Namespace], newPod(p, addr))
		}
	}
	for _, ps := range b.byNS {
		slices.SortFunc(ps, func(x, y *pod) int { return strings.Compare(x.Name, y.Name) })
	}
}

func newPod(p *corev1.Pod, ip netip.Addr) *pod {
	e := endpoint{workload: cmp.Or(p.Labels["app"], unknown), version: unknown, hash: p.Labels[hashLabel]}
	if len(p.Spec.Containers) > 0 {
		e.image = p.Spec.Containers[0].Image
		e.version = image.Tag(e.image)
	}
	return &pod{Pod: p, ip: ip, as: e}
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// selected are the endpoints of one port of a Service with a selector.
func (b *builder) selected(svc *corev1.Service, port corev1.ServicePort) []*endpoint {
	var out []*endpoint
	for _, p := range b.byNS[svc.Namespace] {
		if !selects(svc.Spec.Selector, p.Labels) {
			continue
		}
		number := targetPort(p.Pod, port)
		if number == 0 {
			continue
		}
		e := p.as
		e.addr = netip.AddrPortFrom(p.ip, number).String()
		out = append(out, &e)
	}
	return out
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if has, ok := labels[k]; !ok || has != v {
			return false
		}
	}
	return true
}

// targetPort is the port of the pod that a Service's port leads to; 0 if the pod has none of that name.
func targetPort(p *corev1.Pod, port corev1.ServicePort) uint16 {
	if port.TargetPort.Type == intstr.Int {
		if port.TargetPort.IntVal == 0 {
			return uint16(port.Port)
		}
		return uint16(port.TargetPort.IntVal)
	}
	for _, c := range p.Spec.Containers {
		for _, cp := range c.Ports {
			if cp.Name == port.TargetPort.StrVal {
				return uint16(cp.ContainerPort)
			}
		}
	}
	return 0
}

func (b *builder) readSlices(all []*discoveryv1.EndpointSlice) {
	b.slices = make(map[string][]*discoveryv1.EndpointSlice)
	for _, s := range all {
		key := s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]
		b.slices[key] = append(b.slices[key], s)
	}
}

// external are the endpoints of one port of a Service without selector, as its EndpointSlices list them.
func external(all []*discoveryv1.EndpointSlice, port corev1.ServicePort) []*endpoint {
	var out []*endpoint
	for _, s := range all {
		for _, p := range s.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port.Name {
				continue
			}
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				for _, ip := range e.Addresses {
					out = append(out, &endpoint{
						addr: net.JoinHostPort(ip, strconv.Itoa(int(*p.Port))), workload: unknown, version: unknown,
					})
				}
			}
		}
	}
	slices.SortFunc(out, func(x, y *endpoint) int { return strings.Compare(x.addr, y.addr) })
	return out
}
