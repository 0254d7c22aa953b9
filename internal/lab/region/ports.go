package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports come from below the range from which the kernel hands out ephemeral ones, so that no outgoing connection can
// take one away between its choice and its use.
const (
	firstPort = 20000
	lastPort  = 31999
)

// Ports are the loopback ports of one region.
type Ports struct {
	Etcd          int `json:"etcd"`
	EtcdPeer      int `json:"etcdPeer"`
	API           int `json:"api"`
	Kubelet       int `json:"kubelet"`
	Proxy         int `json:"proxy"`
	Egress        int `json:"egress"` // the proxy again, over TLS, for the API server
	Gateway       int `json:"gateway"`
	Mesh          int `json:"mesh"` // the mesh's metrics
	Rollouts      int `json:"rollouts"`
	RolloutsProbe int `json:"rolloutsProbe"`
	Prometheus    int `json:"prometheus"`
}

func (p *Ports) all() []*int {
	return []*int{&p.Etcd, &p.EtcdPeer, &p.API, &p.Kubelet, &p.Proxy, &p.Egress, &p.Gateway, &p.Mesh, &p.Rollouts, &p.RolloutsProbe, &p.Prometheus}
}

// Reservation holds the ports of one region by listening on them, until whoever needs one is about to start.
type Reservation struct {
	Ports Ports

	mu   sync.Mutex
	held map[int]net.Listener
}

// Reserve finds free ports on 127.0.0.1 and holds them.
func Reserve() (*Reservation, error) {
	r := &Reservation{held: map[int]net.Listener{}}
	// Labs that start at the same moment begin their search at different places.
	port, left := firstPort+rand.IntN(lastPort-firstPort+1), lastPort-firstPort+1
	for _, want := range r.Ports.all() {
		for *want == 0 {
			if left == 0 {
				return nil, errors.Join(fmt.Errorf("reserve a port: none is free from %d to %d", firstPort, lastPort), r.Close())
			}
			if l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				*want, r.held[port] = port, l
			}
			left--
			if port++; port > lastPort {
				port = firstPort
			}
		}
	}
	return r, nil
}

// Take hands over the listener of a port to a server in this process.
func (r *Reservation) Take(port int) net.Listener {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.held[port]
	delete(r.held, port)
	return l
}

// Free lets go of ports that a process is about to listen on.
func (r *Reservation) Free(ports ...int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, port := range ports {
		if l := r.held[port]; l != nil {
			delete(r.held, port)
			if err := l.Close(); err != nil {
				return fmt.Errorf("free port %d: %w", port, err)
			}
		}
	}
	return nil
}

// Close lets go of all ports that are still held.
func (r *Reservation) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, l := range r.held {
		errs = append(errs, l.Close())
	}
	clear(r.held)
	return errors.Join(errs...)
}
