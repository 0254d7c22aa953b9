// Package node is the one node of a lab region. It binds every Pod of a real API server to itself and runs it
// inside this process, as HTTP servers on loopback; what an image does is looked up in a table at each request.
//
// It differs from a kubelet where a lab is better served: it probes at once and often until a container first
// passes, restarts crashed containers after 1 to 30 s, starts no real image but Tidegate's own, and mounts no
// volumes. Commands in probes pass, HTTPS probes fail, readiness gates, lifecycle hooks and resources are ignored.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/lab/proc"
)

// Config says what a node is made of. All fields but Own, JobEnv and Scratch are required.
type Config struct {
	Region  string
	Name    string               // of the Node object
	Client  kubernetes.Interface // must not be throttled: client-go's default rate is far too low for a node
	Kubelet net.Listener         // loopback; the log API is served here over TLS, and Run closes it
	TLS     *tls.Config          // server certificate and required client CA
	PodCIDR netip.Prefix         // IPv4, /23 or larger; pods get addresses from the 257th on
	Images  *image.Table         // asked at every start and request
	// Own returns the executable behind an image that is Tidegate's own; its containers run as processes.
	Own     func(image string) (path string, ok bool)
	JobEnv  []string // NAME=value for those processes; a container's own variables win
	Scratch string   // where those processes get their folders; "" is the system's temporary folder
	Log     *slog.Logger
}

// Node runs pods. Make one with New.
type Node struct {
	cfg       Config
	port      int32
	timing    timing
	addresses *addressPool
	ports     *portMap
	probes    *http.Client
	launcher  *proc.Launcher // of processes; set while Run runs
	factory   informers.SharedInformerFactory

	mu      sync.Mutex
	pods    map[types.NamespacedName]*pod
	stopped bool
	workers sync.WaitGroup
}

// New checks cfg; nothing runs before Run.
func New(cfg Config) (*Node, error) {
	switch {
	case cfg.Region == "", cfg.Name == "":
		return nil, errors.New("region and name are required")
	case cfg.Client == nil, cfg.Kubelet == nil, cfg.TLS == nil, cfg.Images == nil, cfg.Log == nil:
		return nil, errors.New("client, kubelet listener, TLS, images and log are required")
	}
	addr, ok := cfg.Kubelet.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("kubelet listens on %v, want TCP", cfg.Kubelet.Addr())
	}
	addresses, err := newAddressPool(cfg.PodCIDR)
	if err != nil {
		return nil, err
	}
	if cfg.Own == nil {
		cfg.Own = func(string) (string, bool) { return "", false }
	}
	ports := &portMap{}
	return &Node{
		cfg: cfg, port: int32(addr.Port), timing: defaultTiming(),
		addresses: addresses, ports: ports, probes: newProbeClient(ports),
		factory: informers.NewSharedInformerFactory(cfg.Client, 0),
		pods:    make(map[types.NamespacedName]*pod),
	}, nil
}

// Run registers the node and runs pods until ctx ends, which is no error. It returns once every server is
// closed and every process is dead. It can be called once.
func (n *Node) Run(ctx context.Context) error {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n.launcher = proc.NewLauncher()
	defer n.launcher.Close()
	kubelet := n.kubelet()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := kubelet.ServeTLS(n.cfg.Kubelet, "", ""); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serve the kubelet API: %w", err))
		}
	})
	err := n.register(running)
	if err == nil {
		err = n.follow(running)
	}
	cause := context.Cause(running)
	cancel(nil)
	n.mu.Lock()
	n.stopped = true
	n.mu.Unlock()
	n.workers.Wait()
	_ = kubelet.Close()
	serving.Wait()
	switch {
	case ctx.Err() != nil:
		return nil
	case cause != nil:
		return cause
	}
	return err
}

// Dial connects to a pod's address and port, as long as a container of the pod listens there.
func (n *Node) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	return n.ports.dial(ctx, addr)
}
