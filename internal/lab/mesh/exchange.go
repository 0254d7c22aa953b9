package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// attempts is how many pods are asked for one answer: the first, and two more, as many as in Istio. When another is asked
// is not the same, see retriable: Istio sends no request again on a reset that came after it was sent.
const attempts = 3

// exchange is one request on its way through the mesh, and what became of it.
type exchange struct {
	mesh   *Mesh
	began  time.Time
	inside bool  // it came through the proxy, from a component of the region
	host   *host // nil: unknown
	dest   *destination
	served *endpoint // the last that was asked

	code       int // of the answer; 0: the client did not wait for it
	unroutable bool
	broken     bool // the pod's answer ended before its end
	whole      bool // the answer went through to its end
}

// unroutable is a destination without a pod to send to.
type unroutable struct{ why string }

func (e *unroutable) Error() string { return e.why }

// RoundTrip asks the pod whose turn it is, and others where that is safe.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body = keepOpen{req.Body}
	}
	var tried [attempts]string
	var failed error
	for n := range attempts {
		to := x.dest.pick(tried[:n])
		if to == nil {
			break
		}
		x.served, tried[n] = to, to.addr
		resp, err := x.mesh.transport.RoundTrip(aim(req, to.addr, n))
		if err == nil {
			return x.answer(resp, n), nil
		}
		if failed = err; !retriable(req, err) {
			break
		}
		// What is gone may be known by now, and what has come.
		x.dest = x.mesh.board.load().again(x.dest)
	}
	if failed == nil {
		failed = &unroutable{x.dest.why}
	}
	return nil, failed
}

// aim points the request at a pod: itself at first, a copy later, since the transport may still be looking at it.
func aim(req *http.Request, addr string, n int) *http.Request {
	if n > 0 {
		u := *req.URL
		req = req.WithContext(req.Context())
		req.URL = &u
	}
	req.URL.Host = addr
	return req
}

// retriable says whether another pod may be asked: if no connection came about, nothing was sent. A pod that is told to go
// also resets connections that its kernel had accepted and it had not; there, what has no body and changes nothing
// is sent again, as net/http does by itself on connections that it kept.
func retriable(req *http.Request, err error) bool {
	if req.Context().Err() != nil {
		return false
	}
	if _, ok := errors.AsType[*dialError](err); ok {
		return true
	}
	if req.Body != nil || req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != http.MethodOptions {
		return false
	}
	return err.Error() == closedUnused || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// closedUnused is what net/http says, in an error that has no name, of a connection that the pod closed before the request
// was on its way. It sends again by itself only where the connection had carried another request before.
const closedUnused = "http: server closed idle connection"

func (x *exchange) answer(resp *http.Response, n int) *http.Response {
	x.code = resp.StatusCode
	if n > 0 {
		resp.Header.Set(attemptsHeader, strconv.Itoa(n+1))
	}
	// An upgraded connection is more than a body to read, and has no end to miss.
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &watched{resp.Body, x}
	}
	return resp
}

// fail answers for a pod that did not.
func (x *exchange) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits for it
	}
	code := http.StatusServiceUnavailable
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		code = http.StatusGatewayTimeout
	}
	if _, ok := errors.AsType[*unroutable](err); ok {
		x.unroutable = true
	}
	x.say(w, code, err.Error())
}

// refuse answers for want of a way to go.
func (x *exchange) refuse(w http.ResponseWriter, code int, why string) {
	x.unroutable, x.whole = true, true
	x.say(w, code, why)
}

func (x *exchange) say(w http.ResponseWriter, code int, why string) {
	x.code = code
	say(w, code, why)
}

// say answers in the mesh's own name.
func say(w http.ResponseWriter, code int, why string) {
	w.Header().Set(reasonHeader, why)
	http.Error(w, why, code)
}

// count enters the exchange into the books, once, also when the answer broke off and net/http panics to tell its client.
// What components ask of each other is no traffic of the mesh.
func (x *exchange) count() {
	if x.inside && x.dest != nil && x.dest.external {
		return
	}
	code := x.code
	switch {
	case x.broken:
		code = http.StatusBadGateway
	case !x.whole:
		code = 0
	}
	x.mesh.counts.add(x.subject(), code, code >= 500 || x.unroutable, time.Since(x.began))
}

func (x *exchange) subject() subject {
	s := subject{service: unknown, destination: unknown, workload: unknown, version: unknown}
	if x.host != nil {
		s.namespace, s.service = x.host.namespace, x.host.name
	}
	if x.dest != nil {
		s.destination, s.destinationNamespace = x.dest.service, x.dest.namespace
	}
	if e := x.served; e != nil {
		s.workload, s.image, s.version, s.hash = e.workload, e.image, e.version, e.hash
	}
	return s
}

// keepOpen keeps a body for another attempt; the reverse proxy closes it in the end.
type keepOpen struct{ io.Reader }

// Close does nothing.
func (keepOpen) Close() error { return nil }

// watched notices when a pod's answer breaks off.
type watched struct {
	io.ReadCloser
	x *exchange
}

// Read reads the body.
func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, context.Canceled) {
		b.x.broken = true
	}
	return n, err
}
