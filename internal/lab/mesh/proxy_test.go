package mesh

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// through asks for a URL through the forward proxy.
func (r *rig) through(url string) answer {
	r.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		r.Fatal(err)
	}
	return r.do(r.client, req)
}

// echo starts a server that answers every line with it, and says bye when its client has no more.
func echo(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
				_, _ = io.WriteString(conn, "bye\n")
			}()
		}
	}()
	return l
}

func TestProxyIsNotOpen(t *testing.T) {
	secret := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) {
		t.Error("somebody else's port was reached")
	}))
	defer secret.Close()
	addr := secret.Listener.Addr().(*net.TCPAddr)
	host := svc("evil", "evil", "")
	host.Spec.ClusterIPs = []string{"10.96.0.9"}
	local := readyPod("local", "evil", "v1", "127.0.0.1")
	local.Spec.Containers[0].Ports[0].ContainerPort = int32(addr.Port)
	r := newRig(t, map[string]string{"out.example.com:80": "203.0.113.1:80"}, host, local)
	r.runs("evil", 1, "v1")
	for _, authority := range []string{
		addr.String(), fmt.Sprintf("localhost:%d", addr.Port), fmt.Sprintf("[::1]:%d", addr.Port),
		fmt.Sprintf("[::ffff:127.0.0.1]:%d", addr.Port), "example.com:80", "example.com", "10.0.0.1:80",
		"10.96.0.10:80", "198.18.77.7:8080", "evil.other:80",
	} {
		a := r.through("http://" + authority + "/")
		if a.code != http.StatusForbidden || !strings.Contains(a.body, "region test") {
			t.Errorf("GET %s: %d %q", authority, a.code, a.body)
		}
		if line, _, conn := r.dialThrough(authority, ""); !strings.Contains(line, "403") {
			t.Errorf("CONNECT %s: %s", authority, line)
			_ = conn.Close()
		}
	}
	if a := r.through("http://out.example.com/"); a.code != http.StatusBadGateway || !strings.Contains(a.body, "no loopback") {
		t.Errorf("a fixed address that is not local: %d %q", a.code, a.body)
	}
	if line, _, _ := r.dialThrough("evil:81", ""); !strings.Contains(line, "403") {
		t.Errorf("CONNECT to a port that the Service has not: %s", line)
	}
	if a := r.get("evil", "/"); a.code != http.StatusOK {
		t.Errorf("its pod on loopback is in the way: %d %s", a.code, a.reason)
	}
	resp, err := http.Get(r.proxy.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("origin form: %d", resp.StatusCode)
	}
}

func TestProxyScrapesPodsUncounted(t *testing.T) {
	r := newRig(t, nil)
	pod := readyPod("p", "app", "v1", "198.18.1.1")
	pod.Status.Conditions[0].Status = corev1.ConditionFalse // a scrape needs no readiness
	r.run(pod)
	r.until("the pod", func(t *table) bool { return len(t.pods) == 1 })
	a := r.through("http://198.18.1.1:8080/metrics")
	if a.body != "v1" || a.header.Get("X-Host") != "198.18.1.1:8080" {
		t.Errorf("%d %q, the pod saw Host %q", a.code, a.body, a.header.Get("X-Host"))
	}
	if a := r.through("http://198.18.1.1:9999/"); a.code != http.StatusBadGateway || a.reason == "" {
		t.Errorf("a port that nobody listens on: %d %q", a.code, a.reason)
	}
	if got := r.mesh.Traffic(); len(got) != 0 {
		t.Errorf("counted %+v", got)
	}
}

func TestProxyResolvesServices(t *testing.T) {
	s := svc("app", "app", "")
	s.Spec.ClusterIPs = []string{"10.96.0.7"}
	r := newRig(t, nil, s)
	r.runs("app", 1, "v1")
	for _, authority := range []string{"app", "app:80", "app.default:80", "APP.default.svc", "app.default.svc.cluster.local:80", "10.96.0.7:80"} {
		if a := r.through("http://" + authority + "/x"); a.body != "v1" || a.header.Get("X-Host") != authority {
			t.Errorf("%s: %d %q, the pod saw Host %q", authority, a.code, a.body, a.header.Get("X-Host"))
		}
	}
	if a := r.through("http://app:81/"); a.code != http.StatusNotFound || a.reason == "" {
		t.Errorf("a port that the Service has not: %d %q", a.code, a.body)
	}
	if requests, errors := r.counted(); requests != 7 || errors != 1 {
		t.Errorf("counted %d requests, %d errors", requests, errors)
	}
}

func TestProxyRoutesByWeight(t *testing.T) {
	r := newCanary(t, 0, 100)
	if a := r.through("http://q2q.default.svc.cluster.local/"); a.body != "v2" {
		t.Errorf("%d %q %s", a.code, a.body, a.reason)
	}
}

// Prometheus: a name that is fixed, and a Service without selector whose address is. Neither is traffic of the mesh.
func TestProxyReachesComponents(t *testing.T) {
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.WriteString(w, q.Host)
	}))
	defer prometheus.Close()
	local := prometheus.Listener.Addr().String()
	s := svc("prometheus-server", "", "")
	s.Namespace, s.Spec.Selector, s.Spec.Ports[0].Port = "monitoring", nil, 9090
	name, port := "http", int32(9090)
	r := newRig(t, map[string]string{
		"198.18.0.2:9090": local, "prometheus-server.monitoring.svc.cluster.local:9090": local,
	}, s, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "prometheus-server",
			Labels: map[string]string{discoveryv1.LabelServiceName: "prometheus-server"}},
		Ports:     []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"198.18.0.2"}}},
	})
	for _, authority := range []string{"prometheus-server.monitoring.svc.cluster.local:9090", "prometheus-server.monitoring:9090", "198.18.0.2:9090"} {
		if a := r.through("http://" + authority + "/api/v1/query"); a.body != authority {
			t.Errorf("%s: %d %q %s", authority, a.code, a.body, a.reason)
		}
	}
	if got := r.mesh.Traffic(); len(got) != 0 {
		t.Errorf("counted %+v", got)
	}
}

// dialThrough sends a CONNECT as the API server does, with early data in the same packet, and returns the status line.
func (r *rig) dialThrough(authority, early string) (string, *bufio.Reader, *net.TCPConn) {
	r.Helper()
	conn, err := net.Dial("tcp", r.proxy.Listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patienceOfTests))
	_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n%s", authority, early)
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		r.Fatal(err)
	}
	for header := line; header != "\r\n"; {
		if header, err = in.ReadString('\n'); err != nil {
			r.Fatal(err)
		}
	}
	return line, in, conn.(*net.TCPConn)
}

func TestTunnel(t *testing.T) {
	kubelet := echo(t)
	pod := readyPod("p", "app", "v1", "198.18.1.1")
	second := readyPod("q", "app", "v1", "198.18.1.2") // nobody listens there
	s := svc("app", "app", "")
	s.Spec.ClusterIPs = []string{"10.96.0.7"}
	r := newRig(t, map[string]string{kubelet.Addr().String(): kubelet.Addr().String()}, s, pod, second)
	r.backendsTo("198.18.1.1:8080", kubelet)
	for _, authority := range []string{kubelet.Addr().String(), "198.18.1.1:8080", "app.default.svc:80", "app:80", "10.96.0.7:80"} {
		line, in, conn := r.dialThrough(authority, "early\n")
		if !strings.Contains(line, " 200 ") {
			t.Errorf("CONNECT %s: %s", authority, line)
			continue
		}
		_, _ = io.WriteString(conn, "late\n")
		_ = conn.CloseWrite()
		if all, err := io.ReadAll(in); err != nil || string(all) != "early\nlate\nbye\n" {
			t.Errorf("CONNECT %s: %q, %v", authority, all, err)
		}
	}
	if line, _, _ := r.dialThrough("198.18.1.2:8080", ""); !strings.Contains(line, " 503 ") {
		t.Errorf("CONNECT where nobody listens: %s", line)
	}
}

func (r *rig) backendsTo(addr string, l net.Listener) {
	r.serve(addr, http.NotFoundHandler())
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := range r.backends {
		if at.String() == addr {
			r.backends[at] = l.Addr().String()
		}
	}
}

func TestTunnelEndsWithTheMesh(t *testing.T) {
	kubelet := echo(t)
	r := newRig(t, map[string]string{kubelet.Addr().String(): kubelet.Addr().String()})
	_, in, conn := r.dialThrough(kubelet.Addr().String(), "")
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	r.stop()
	if line, err := in.ReadString('\n'); err == nil {
		t.Errorf("still open: %q", line)
	}
	if line, _, _ := r.dialThrough(kubelet.Addr().String(), ""); !strings.Contains(line, "503") {
		t.Errorf("after the end: %s", line)
	}
	if a := r.get("app", "/"); a.code != http.StatusServiceUnavailable || !strings.Contains(a.reason, "stopped") {
		t.Errorf("after the end: %d %q", a.code, a.reason)
	}
}

func TestDialGivesUp(t *testing.T) {
	m := New(Config{Fixed: map[string]string{}})
	if _, err := m.dial(context.Background(), "tcp", "localhost:1"); err == nil {
		t.Error("a name was dialled")
	}
}
