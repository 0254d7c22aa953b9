package node

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
)

func TestAddressPool(t *testing.T) {
	pool, err := newAddressPool(netip.MustParsePrefix("198.18.0.0/23"))
	if err != nil {
		t.Fatal(err)
	}
	if !pool.reserve(netip.MustParseAddr("198.18.1.1")) {
		t.Error("a free address could not be reserved")
	}
	for _, held := range []string{"198.18.1.1", "198.18.0.2", "198.18.2.0"} {
		if pool.reserve(netip.MustParseAddr(held)) {
			t.Errorf("reserved %s, which is held, the lab's or of another range", held)
		}
	}
	seen := map[netip.Addr]bool{netip.MustParseAddr("198.18.1.1"): true}
	for range 255 {
		addr, err := pool.take()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] || addr.As4()[2] != 1 {
			t.Fatalf("take = %v: held already, or not a pod's", addr)
		}
		seen[addr] = true
	}
	if _, err := pool.take(); !errors.Is(err, errNoAddress) {
		t.Errorf("take from an empty pool = %v", err)
	}
	back := netip.MustParseAddr("198.18.1.7")
	pool.release(back)
	if addr, err := pool.take(); err != nil || addr != back {
		t.Errorf("take = %v, %v, want the only free address %v", addr, err, back)
	}
}

func TestAddressIsReusedLate(t *testing.T) {
	pool, err := newAddressPool(netip.MustParsePrefix("198.18.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	first, _ := pool.take()
	if want := netip.MustParseAddr("198.18.1.0"); first != want {
		t.Errorf("first address is %v, want %v", first, want)
	}
	pool.release(first)
	if next, _ := pool.take(); next == first {
		t.Error("an address was given again at once, with others still fresh")
	}
}

func TestAddressPoolRange(t *testing.T) {
	for _, prefix := range []string{"198.18.0.0/24", "fd00::/64"} {
		if _, err := newAddressPool(netip.MustParsePrefix(prefix)); err == nil {
			t.Errorf("newAddressPool(%s) succeeded", prefix)
		}
	}
}

func TestPortMap(t *testing.T) {
	var ports portMap
	addr := netip.MustParseAddrPort("198.18.1.0:3000")
	listener, err := ports.listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ports.listen(t.Context(), addr); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listen = %v, want EADDRINUSE", err)
	}
	conn, err := ports.dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	listener.Close()
	if _, err := ports.dial(t.Context(), addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after close = %v, want ECONNREFUSED", err)
	}
	again, err := ports.listen(t.Context(), addr)
	if err != nil {
		t.Fatalf("listen after close: %v", err)
	}
	listener.Close() // late, and of the earlier listener
	if conn, err := ports.dial(t.Context(), addr); err != nil {
		t.Errorf("closing an old listener twice cut off the new one: %v", err)
	} else {
		conn.Close()
	}
	again.Close()
}
