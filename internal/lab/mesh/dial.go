package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// connectTimeout is ample on one machine; what takes longer is stuck, and there are other pods.
	connectTimeout = 2 * time.Second
	// answerTimeout is how long a pod may take for the head of its answer: Envoy's own default for a route.
	answerTimeout = 15 * time.Second
)

var errConnectTimeout = errors.New("no connection within " + connectTimeout.String())

// dialError is a connection that did not come about: nothing was sent.
type dialError struct {
	addr string
	err  error
}

func (e *dialError) Error() string { return "connect to " + e.addr + ": " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dial connects to addr, "host:port". This is the only place where the mesh connects to anything: to a loopback port that
// Config.Fixed names, or to whatever Config.Dial takes for a pod.
func (m *Mesh) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errConnectTimeout)
	defer cancel()
	conn, err := m.connect(ctx, addr)
	if err != nil {
		return nil, &dialError{addr: addr, err: err}
	}
	return conn, nil
}

func (m *Mesh) connect(ctx context.Context, addr string) (net.Conn, error) {
	if local, ok := m.cfg.Fixed[addr]; ok {
		to, err := netip.ParseAddrPort(local)
		if err != nil || !to.Addr().IsLoopback() {
			return nil, fmt.Errorf("%q is no loopback address", local)
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", local)
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	return m.cfg.Dial(ctx, to)
}

// buffers lends the buffers that bodies are copied through.
type buffers struct{ pool sync.Pool }

type buffer [16 << 10]byte

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any { return new(buffer) }}}
}

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte { return b.pool.Get().(*buffer)[:] }

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put((*buffer)(p)) }
