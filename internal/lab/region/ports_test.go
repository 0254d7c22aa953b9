package region

import (
	"fmt"
	"net"
	"testing"
)

func TestReserve(t *testing.T) {
	first, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, first)
	second, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer release(t, second)
	taken := map[int]bool{}
	for _, p := range append(first.Ports.all(), second.Ports.all()...) {
		if *p < firstPort || *p > lastPort {
			t.Errorf("port %d is out of range", *p)
		}
		if taken[*p] {
			t.Errorf("port %d is given twice", *p)
		}
		taken[*p] = true
		if l, err := listen(*p); err == nil {
			_ = l.Close()
			t.Errorf("port %d is not held", *p)
		}
	}
}

func TestReservationLetsGo(t *testing.T) {
	r, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Free(r.Ports.Etcd, r.Ports.API); err != nil {
		t.Fatal(err)
	}
	taken := r.Take(r.Ports.Gateway)
	if taken == nil || taken.Addr().String() != fmt.Sprintf("127.0.0.1:%d", r.Ports.Gateway) {
		t.Fatalf("Take gave %v", taken)
	}
	if r.Take(r.Ports.Gateway) != nil {
		t.Error("Take gave the same listener twice")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Ports.all() {
		l, err := listen(*p)
		if mine := *p == r.Ports.Gateway; mine == (err == nil) {
			t.Errorf("port %d after Close: %v; handed over: %v", *p, err, mine)
		}
		if err == nil {
			_ = l.Close()
		}
	}
	_ = taken.Close()
}

func release(t *testing.T, r *Reservation) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
}
