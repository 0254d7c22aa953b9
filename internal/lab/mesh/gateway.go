package mesh

import (
	"net/http"
	"net/http/httputil"
	"time"
)

const (
	// reasonHeader says on an answer of the mesh itself why there is no answer of a pod.
	reasonHeader = "X-Lab-Reason"
	// attemptsHeader says how many pods were tried, where that was more than one.
	attemptsHeader = "X-Lab-Attempts"
)

// Gateway is where users' traffic comes in. The Host header names a Service or a host of a VirtualService, in any
// spelling; its port is ignored. An unknown host is answered 404, one without a ready pod 503, both with X-Lab-Reason.
func (m *Mesh) Gateway() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{mesh: m, began: time.Now()}
		defer x.count()
		t := m.board.load()
		if t.down != "" {
			x.refuse(w, http.StatusServiceUnavailable, t.down)
			return
		}
		x.host = t.hosts[hostname(r.Host)]
		if x.host == nil {
			x.refuse(w, http.StatusNotFound, "no Service and no VirtualService here is called "+hostname(r.Host))
			return
		}
		x.carry(w, r, 0)
	})
}

// carry sends the request where its host leads; port is the Service's, 0 its first.
func (x *exchange) carry(w http.ResponseWriter, r *http.Request, port int32) {
	var why string
	if x.dest, why = x.host.choose(r, port); x.dest == nil {
		x.refuse(w, http.StatusNotFound, why)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite:      rewrite,
		Transport:    x,
		ErrorHandler: x.fail,
		BufferPool:   x.mesh.buffers,
		ErrorLog:     x.mesh.quiet,
	}
	proxy.ServeHTTP(w, r)
	x.whole = true
}

func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.Host = r.In.Host
}
