package mesh

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// objects is what a table is made of.
type objects struct {
	services []*corev1.Service
	pods     []*corev1.Pod
	slices   []*discoveryv1.EndpointSlice
	virtuals []*virtualService
}

// table says where every name and address of the region leads. It is never changed once it is posted; only the sequences
// in it advance.
type table struct {
	down       string // why there are no routes at all; empty when there are
	hosts      map[string]*host
	services   map[string]*service // by namespace/name
	clusterIPs map[netip.Addr]*host
	pods       map[netip.Addr]bool // addresses of pods, ready or not
	virtuals   map[string]string   // VirtualService namespace/name → its first host
	sequences  map[string]*atomic.Uint64
}

type service struct {
	namespace, name string
	ports           []*destination
}

// destination finds a port of the Service; 0 is its first. Nil: it has none.
func (s *service) destination(port int32) *destination {
	if s == nil {
		return nil
	}
	for _, d := range s.ports {
		if port == 0 || d.port == port {
			return d
		}
	}
	return nil
}

// again finds d in a newer table, as far as there still is such a thing.
func (t *table) again(d *destination) *destination {
	if now := t.services[d.namespace+"/"+d.service].destination(d.port); now != nil {
		return now
	}
	return d
}

// build makes the table of what the region's objects say. Sequences go on where prev's stand.
func build(o objects, prev *table) *table {
	t := &table{
		hosts:      make(map[string]*host, 4*len(o.services)),
		services:   make(map[string]*service, len(o.services)),
		clusterIPs: make(map[netip.Addr]*host, len(o.services)),
		pods:       make(map[netip.Addr]bool, len(o.pods)),
		virtuals:   make(map[string]string, len(o.virtuals)),
		sequences:  make(map[string]*atomic.Uint64),
	}
	b := builder{table: t, prev: prev.sequences}
	b.readPods(o.pods)
	b.readSlices(o.slices)
	for _, s := range o.services {
		b.addService(s)
	}
	// Of two that list the same host, the older one has it, as in Istio.
	slices.SortFunc(o.virtuals, func(x, y *virtualService) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time),
			strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
	for _, v := range o.virtuals {
		b.addVirtual(v)
	}
	b.addShortNames()
	return t
}

type builder struct {
	*table
	prev   map[string]*atomic.Uint64
	byNS   map[string][]*pod
	slices map[string][]*discoveryv1.EndpointSlice // of one Service, by namespace/name
}

// sequence returns the counter for key, as the table before left it.
func (b *builder) sequence(key string) *atomic.Uint64 {
	s := b.prev[key]
	if s == nil {
		s = new(atomic.Uint64)
	}
	b.sequences[key] = s
	return s
}

func (b *builder) addService(svc *corev1.Service) {
	s := &service{namespace: svc.Namespace, name: svc.Name}
	key := svc.Namespace + "/" + svc.Name
	for _, port := range svc.Spec.Ports {
		d := &destination{
			namespace: svc.Namespace, service: svc.Name, port: port.Port,
			external: len(svc.Spec.Selector) == 0,
			turn:     b.sequence(key + ":" + strconv.Itoa(int(port.Port))),
		}
		if d.external {
			d.endpoints = external(b.slices[key], port)
		} else {
			d.endpoints = b.selected(svc, port)
		}
		if len(d.endpoints) == 0 {
			d.why = "no ready pod behind Service " + key
		}
		s.ports = append(s.ports, d)
	}
	b.services[key] = s
	h := &host{namespace: svc.Namespace, name: svc.Name, service: s}
	for _, name := range spellings(svc.Namespace, svc.Name) {
		b.hosts[name] = h
	}
	for _, ip := range svc.Spec.ClusterIPs {
		if addr, err := netip.ParseAddr(ip); err == nil {
			b.clusterIPs[addr] = h
		}
	}
}

func (b *builder) addVirtual(v *virtualService) {
	if len(v.hosts) == 0 || len(v.routes) == 0 {
		return
	}
	key := v.Namespace + "/" + v.Name
	b.virtuals[key] = qualify(v.Namespace, v.hosts[0])
	routes := make([]route, len(v.routes))
	for i, r := range v.routes {
		name := cmp.Or(r.name, strconv.Itoa(i))
		routes[i] = route{matches: r.matches, sequence: b.sequence("route " + key + " " + name)}
		for _, l := range r.legs {
			routes[i].total += l.weight
			routes[i].legs = append(routes[i].legs, leg{upTo: routes[i].total, dest: b.target(v.Namespace, l)})
		}
	}
	for _, name := range v.hosts {
		h := b.claim(v.Namespace, strings.ToLower(name))
		if !h.virtual {
			h.virtual, h.routes = true, routes
		}
	}
}

// claim returns the host that a VirtualService lists, which may be a Service's already.
func (b *builder) claim(namespace, name string) *host {
	full := qualify(namespace, name)
	if h := b.hosts[full]; h != nil {
		return h
	}
	h := &host{namespace: namespace, name: name}
	b.hosts[full] = h
	if full != name {
		for _, spelling := range spellings(namespace, name) {
			b.hosts[spelling] = h
		}
	}
	return h
}

// target is where a leg of a route leads. A leg that leads nowhere says so to whom it is chosen for.
func (b *builder) target(namespace string, l virtualLeg) *destination {
	if l.subset != "" {
		return &destination{namespace: namespace, service: l.host,
			why: "subset " + l.subset + " of " + l.host + ": the lab's mesh splits traffic between Services only"}
	}
	if h := b.hosts[qualify(namespace, l.host)]; h != nil {
		if d := h.service.destination(l.port); d != nil {
			return d
		}
	}
	return &destination{namespace: namespace, service: l.host, why: "no Service, or no such port: " + l.host}
}

// addShortNames lets a Service be addressed without its namespace: that of the default namespace first, any other if its
// name is the only one. A caller's own namespace is not known to the mesh.
func (b *builder) addShortNames() {
	short := make(map[string]*host, len(b.services))
	for _, h := range b.hosts {
		if strings.Contains(h.name, ".") {
			continue
		}
		switch other, taken := short[h.name]; {
		case !taken || h.namespace == corev1.NamespaceDefault:
			short[h.name] = h
		case other != nil && other != h && other.namespace != corev1.NamespaceDefault:
			short[h.name] = nil // ambiguous
		}
	}
	for name, h := range short {
		if h != nil {
			b.hosts[name] = h
		}
	}
}
