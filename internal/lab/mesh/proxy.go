package mesh

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Proxy is the forward proxy of the region's components: requests in absolute form, and CONNECT. It knows the region's
// Services, ClusterIPs and pods, and Config.Fixed; everything else is answered 403. Requests to a Service or to a host of
// a VirtualService are traffic and counted like any other; requests straight to a pod, such as scrapes, are not. Until the
// mesh has routes, only Config.Fixed is reached.
func (m *Mesh) Proxy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := m.board.load()
		if _, fixed := m.cfg.Fixed[withPort(r.URL.Host)]; t.down != "" && (!fixed || t.down != unread) {
			say(w, http.StatusServiceUnavailable, t.down)
			return
		}
		if r.Method == http.MethodConnect {
			m.tunnel(w, r, t)
			return
		}
		if r.URL.Scheme != "http" || r.URL.Host == "" {
			say(w, http.StatusBadRequest, "this is a forward proxy: it takes CONNECT and http:// in absolute form")
			return
		}
		to, err := m.resolve(t, withPort(r.URL.Host))
		switch {
		case err != nil:
			say(w, http.StatusForbidden, err.Error())
		case to.addr != "":
			m.relay.ServeHTTP(w, r)
		default:
			x := &exchange{mesh: m, began: time.Now(), inside: true, host: to.host}
			defer x.count()
			x.carry(w, r, to.port)
		}
	})
}

// newRelay returns the part of the proxy that passes requests on to the one address that they name, and leaves their Host
// as it is: Prometheus's scrapes.
func (m *Mesh) newRelay() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			rewrite(r)
			r.Out.URL.Host = withPort(r.In.URL.Host)
		},
		Transport: m.transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			say(w, http.StatusBadGateway, err.Error())
		},
		BufferPool: m.buffers,
		ErrorLog:   m.quiet,
	}
}

// lead is where the proxy is asked to go: an address as it stands, or a port of a host.
type lead struct {
	addr string
	host *host
	port int32
}

// resolve finds what authority, "host:port" in lower case, means in the region.
func (m *Mesh) resolve(t *table, authority string) (lead, error) {
	if _, ok := m.cfg.Fixed[authority]; ok {
		return lead{addr: authority}, nil
	}
	name, service, err := net.SplitHostPort(authority)
	if err != nil {
		return lead{}, fmt.Errorf("%s: not host:port", authority)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || port == 0 {
		return lead{}, fmt.Errorf("%s: no such port", authority)
	}
	h := t.hosts[name]
	if ip, err := netip.ParseAddr(name); err == nil {
		if t.pods[ip] {
			return lead{addr: authority}, nil
		}
		h = t.clusterIPs[ip]
	}
	if h == nil {
		return lead{}, fmt.Errorf("%s: no Service, no pod and no component of region %s; this proxy leads nowhere else",
			authority, m.cfg.Region)
	}
	return lead{host: h, port: int32(port)}, nil
}

// withPort is the authority of an http:// URL as resolve wants it.
func withPort(authority string) string {
	authority = strings.ToLower(authority)
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		return strings.TrimSuffix(authority[:i], ".") + authority[i:]
	}
	return strings.TrimSuffix(authority, ".") + ":80"
}
