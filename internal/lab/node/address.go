package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// reserved is how many addresses at the start of the range are not for pods: the lab keeps the first few for
// itself, and pods start on the next round number.
const reserved = 256

var errNoAddress = errors.New("every pod address is taken")

// addressPool hands out pod addresses. One is given again only after its release, and then as late as
// possible: it goes round the range, so that a stale client does not meet another pod at once.
type addressPool struct {
	mu     sync.Mutex
	prefix netip.Prefix
	first  netip.Addr
	next   netip.Addr
	used   map[netip.Addr]bool
}

func newAddressPool(prefix netip.Prefix) (*addressPool, error) {
	prefix = prefix.Masked()
	if !prefix.Addr().Is4() || prefix.Bits() > 23 {
		return nil, fmt.Errorf("pod range %v: want IPv4, /23 or larger", prefix)
	}
	b := prefix.Addr().As4()
	b[2] += reserved >> 8 // no carry: the prefix is /23 or larger, so that this bit is free
	first := netip.AddrFrom4(b)
	return &addressPool{prefix: prefix, first: first, next: first, used: make(map[netip.Addr]bool)}, nil
}

// take returns an address that nobody holds.
func (p *addressPool) take() (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.used) >= 1<<(32-p.prefix.Bits())-reserved {
		return netip.Addr{}, errNoAddress
	}
	for p.used[p.next] {
		p.advance()
	}
	addr := p.next
	p.used[addr] = true
	p.advance()
	return addr, nil
}

func (p *addressPool) advance() {
	if p.next = p.next.Next(); !p.prefix.Contains(p.next) {
		p.next = p.first
	}
}

// reserve takes a given address, and reports false if it is held or not one of the pool's.
func (p *addressPool) reserve(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.prefix.Contains(addr) || addr.Less(p.first) || p.used[addr] {
		return false
	}
	p.used[addr] = true
	return true
}

func (p *addressPool) release(addr netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, addr)
}

// portMap knows which loopback listener stands behind a pod's address and port.
type portMap struct {
	mu     sync.RWMutex
	behind map[netip.AddrPort]string
}

// listen opens a loopback listener that dial finds as addr until it is closed.
func (m *portMap) listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.behind[addr]; taken {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: syscall.EADDRINUSE}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen %v: %w", addr, err)
	}
	if m.behind == nil {
		m.behind = make(map[netip.AddrPort]string)
	}
	m.behind[addr] = listener.Addr().String()
	return &podListener{Listener: listener, unmap: sync.OnceFunc(func() { m.forget(addr) })}, nil
}

func (m *portMap) forget(addr netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.behind, addr)
}

// dial connects to a pod, and is refused where no container listens.
func (m *portMap) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	m.mu.RLock()
	loopback, found := m.behind[addr]
	m.mu.RUnlock()
	if !found {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(addr), Err: syscall.ECONNREFUSED}
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", loopback)
}

// podListener is no longer found once it is closed.
type podListener struct {
	net.Listener
	unmap func()
}

func (l *podListener) Close() error {
	l.unmap()
	return l.Listener.Close()
}
