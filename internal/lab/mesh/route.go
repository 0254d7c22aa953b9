package mesh

import (
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"
)

// host is a name that requests are sent to: a Service, or what a VirtualService lists. One table holds it under all of
// its spellings.
type host struct {
	namespace, name string
	service         *service // nil for a host that only a VirtualService knows
	virtual         bool
	routes          []route // of the VirtualService, in order
}

type route struct {
	matches  []match
	legs     []leg
	total    uint64         // sum of the weights
	sequence *atomic.Uint64 // outlives the table: weights hold over many changes of routes
}

// leg takes the shares from its predecessor's upTo to its own.
type leg struct {
	upTo uint64
	dest *destination
}

// destination is one port of a Service, and the pods behind it that are ready.
type destination struct {
	namespace, service string
	port               int32
	external           bool // it has no selector: no workload of the mesh
	endpoints          []*endpoint
	turn               *atomic.Uint64 // outlives the table
	why                string         // there are no endpoints
}

// endpoint is a port of a pod, and what a request that it served is counted under.
type endpoint struct {
	addr                           string // ip:port
	workload, image, version, hash string
}

// choose finds where a request goes. Without a destination it says why.
func (h *host) choose(r *http.Request, port int32) (*destination, string) {
	if !h.virtual {
		if d := h.service.destination(port); d != nil {
			return d, ""
		}
		return nil, "Service " + h.namespace + "/" + h.name + " has no such port"
	}
	for i := range h.routes {
		if h.routes[i].matched(r) {
			return h.routes[i].choose()
		}
	}
	return nil, "no route of the VirtualService for " + h.name + " matches"
}

// routable says whether every way that an ordinary request may take now ends at a ready pod.
func (h *host) routable() bool {
	if !h.virtual {
		d := h.service.destination(0)
		return d != nil && len(d.endpoints) > 0
	}
	i := slices.IndexFunc(h.routes, func(r route) bool { return len(r.matches) == 0 })
	if i < 0 || h.routes[i].total == 0 {
		return false
	}
	before := uint64(0)
	for _, l := range h.routes[i].legs {
		if l.upTo > before && len(l.dest.endpoints) == 0 {
			return false
		}
		before = l.upTo
	}
	return true
}

func (r *route) matched(req *http.Request) bool {
	return len(r.matches) == 0 || slices.ContainsFunc(r.matches, func(m match) bool { return m.matched(req) })
}

func (m match) matched(req *http.Request) bool {
	if m.never || m.uri != nil && !m.uri.matches(req.URL.Path) {
		return false
	}
	for name, p := range m.headers {
		values := req.Header.Values(name)
		if len(values) == 0 || !p.matches(values[0]) {
			return false
		}
	}
	return true
}

// golden is 2^64 divided by the golden ratio. The multiples of it, modulo 2^64, spread evenly over the whole range at any
// length, so that of any few dozen requests a weight of 10 % gets its tenth, not just of any few thousand.
const golden = 0x9E3779B97F4A7C15

func (r *route) choose() (*destination, string) {
	if r.total == 0 {
		return nil, "the route has no destination with a weight above 0"
	}
	share, _ := bits.Mul64(r.sequence.Add(1)*golden, r.total)
	i := slices.IndexFunc(r.legs, func(l leg) bool { return share < l.upTo })
	return r.legs[i].dest, ""
}

// pick returns the next endpoint whose turn it is and that was not tried yet, or nil.
func (d *destination) pick(tried []string) *endpoint {
	n := uint64(len(d.endpoints))
	if n == 0 {
		return nil
	}
	turn := d.turn.Add(1)
	for i := range n {
		if e := d.endpoints[(turn+i)%n]; !slices.Contains(tried, e.addr) {
			return e
		}
	}
	return nil
}
