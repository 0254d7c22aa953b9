package mesh

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// tunnel answers CONNECT: it connects first, then takes the client's connection over and copies both ways until both
// are through, or the mesh stops.
func (m *Mesh) tunnel(w http.ResponseWriter, r *http.Request, t *table) {
	to, err := m.resolve(t, withPort(r.URL.Host))
	if err != nil {
		say(w, http.StatusForbidden, err.Error())
		return
	}
	if to.host != nil && to.host.service.destination(to.port) == nil {
		say(w, http.StatusForbidden, r.URL.Host+": no port of a Service; routes of a VirtualService are for plain HTTP")
		return
	}
	far, err := m.reach(r.Context(), to)
	if err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		say(w, http.StatusInternalServerError, "take over the connection: "+err.Error())
		return
	}
	m.tunnels.carry(near, far, buffered.Reader)
}

// reach connects to an address, or to a ready pod of a Service.
func (m *Mesh) reach(ctx context.Context, to lead) (net.Conn, error) {
	if to.addr != "" {
		return m.dial(ctx, "tcp", to.addr)
	}
	d := to.host.service.destination(to.port)
	var tried [attempts]string
	var failed error = &unroutable{d.why}
	for n := range attempts {
		e := d.pick(tried[:n])
		if e == nil {
			break
		}
		conn, err := m.dial(ctx, "tcp", e.addr)
		if err == nil {
			return conn, nil
		}
		tried[n], failed = e.addr, err
	}
	return nil, failed
}

// tunnels are the connections that no server knows of any more, so that the mesh can end them.
type tunnels struct {
	mu     sync.Mutex
	ends   map[net.Conn]struct{}
	closed bool
	open   sync.WaitGroup
}

func newTunnels() *tunnels { return &tunnels{ends: make(map[net.Conn]struct{})} }

// carry says that the tunnel stands and copies between near, of which early has been read already, and far. It closes
// both.
func (t *tunnels) carry(near, far net.Conn, early *bufio.Reader) {
	if !t.enter(near, far) {
		_, _ = near.Close(), far.Close()
		return
	}
	defer t.leave(near, far)
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	if _, err := io.CopyN(far, early, int64(early.Buffered())); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { pump(near, far) })
	pump(far, near)
	back.Wait()
}

// pump copies until from is at its end, and says so to to. If either breaks, both are closed, which ends the other
// direction too.
func pump(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err == nil && ok {
		err = half.CloseWrite()
	}
	if err != nil || !ok {
		_, _ = to.Close(), from.Close()
	}
}

func (t *tunnels) enter(ends ...net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.open.Add(1)
	for _, c := range ends {
		t.ends[c] = struct{}{}
	}
	return true
}

func (t *tunnels) leave(ends ...net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range ends {
		_ = c.Close()
		delete(t.ends, c)
	}
	t.open.Done()
}

// close ends all tunnels, waits for them, and lets no new one begin.
func (t *tunnels) close() {
	t.mu.Lock()
	t.closed = true
	for c := range t.ends {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.open.Wait()
}
