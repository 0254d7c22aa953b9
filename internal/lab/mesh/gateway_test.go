package mesh

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newCanary is a routed canary: two pods stable at v1, one canary at v2.
func newCanary(t testing.TB, stable, canary int64) *rig {
	r := newRig(t, nil, svc("q2q", "q2q", ""), svc("q2q-stable", "q2q", "v1"), svc("q2q-canary", "q2q", "v2"),
		crd(virtualResource, "VirtualService"), vsvc("q2q", stable, canary))
	r.awaitWatch("virtualservices")
	r.runs("q2q", 2, "v1")
	r.runs("q2q", 1, "v2")
	return r
}

// weigh changes the weights and waits until the mesh has heard of it.
func (r *rig) weigh(stable, canary int64) {
	r.Helper()
	_, err := r.dyn.Resource(virtualResource).Namespace("default").
		Update(context.Background(), vsvc("q2q", stable, canary), metav1.UpdateOptions{})
	if err != nil {
		r.Fatal(err)
	}
	r.until("the weights", func(t *table) bool { return t.hosts["q2q"].routes[0].legs[0].upTo == uint64(stable) })
}

func TestWeightsHold(t *testing.T) {
	r := newCanary(t, 90, 10)
	seen := r.versions("q2q", 1000)
	if seen["v2"] < 90 || seen["v2"] > 110 || seen["v1"]+seen["v2"] != 1000 {
		t.Fatalf("of 1000 requests at 90/10: %v", seen)
	}
	var pods []string
	for range 4 {
		r.weigh(100, 0)
		pods = append(pods, r.get("q2q", "/").header.Get("X-Lab-Pod"))
	}
	if pods[0] == pods[1] || pods[0] != pods[2] || pods[1] != pods[3] {
		t.Errorf("two pods do not take turns while the routes change: %v", pods)
	}
}

func TestWeightsBiteOnTheNextRequest(t *testing.T) {
	r := newCanary(t, 100, 0)
	for range 3 {
		if seen := r.versions("q2q", 50); seen["v1"] != 50 {
			t.Fatalf("at 100/0: %v", seen)
		}
		r.weigh(0, 100)
		if seen := r.versions("q2q", 50); seen["v2"] != 50 {
			t.Fatalf("at 0/100: %v", seen)
		}
		r.weigh(100, 0)
	}
}

func TestGatewayKnowsEverySpelling(t *testing.T) {
	r := newCanary(t, 0, 100)
	for _, host := range []string{"q2q", "q2q:8443", "Q2Q.default", "q2q.default.svc", "q2q.default.svc.cluster.local."} {
		a := r.get(host, "/")
		if a.body != "v2" || a.header.Get("X-Host") != host {
			t.Errorf("%s: %d %q, the pod saw Host %q", host, a.code, a.body, a.header.Get("X-Host"))
		}
	}
	if a := r.get("q2q-stable", "/"); a.body != "v1" {
		t.Errorf("a plain Service: %d %q %s", a.code, a.body, a.reason)
	}
	if a := r.get("q3q", "/"); a.code != http.StatusNotFound || !strings.Contains(a.reason, "q3q") {
		t.Errorf("an unknown host: %d, reason %q", a.code, a.reason)
	}
}

// crowd is a few users who ask again and again, until halt.
type crowd struct {
	*rig
	answers chan answer // with room for more than they can ask in the time of a test
	halt    func()
	seen    []answer
}

func (r *rig) crowd(host string) *crowd {
	c := &crowd{rig: r, answers: make(chan answer, 1<<20)}
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for ctx.Err() == nil {
				c.answers <- r.get(host, "/")
			}
		})
	}
	c.halt = sync.OnceFunc(func() { cancel(); users.Wait(); close(c.answers) })
	r.Cleanup(c.halt)
	return c
}

// more waits for n further answers.
func (c *crowd) more(n int) {
	c.Helper()
	deadline := time.After(patienceOfTests)
	for range n + len(c.answers) { // those that wait are of before
		select {
		case a := <-c.answers:
			c.seen = append(c.seen, a)
		case <-deadline:
			c.Fatal("the users are stuck")
		}
	}
}

// check halts the crowd and checks that everybody was served, and counted once.
func (c *crowd) check() {
	c.Helper()
	c.halt()
	for a := range c.answers {
		c.seen = append(c.seen, a)
	}
	for _, a := range c.seen {
		if a.code != http.StatusOK {
			c.Errorf("a user was answered %d, reason %q", a.code, a.reason)
		}
	}
	c.gateway.Close()
	if requests, errors := c.counted(); requests != uint64(len(c.seen)) || errors != 0 {
		c.Errorf("counted %d requests and %d errors, sent %d", requests, errors, len(c.seen))
	}
}

// A blue/green switch, as Argo makes it, under load from several users.
func TestSelectorFlipFailsNoRequest(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", "v1"))
	r.runs("shop", 2, "v1")
	// Ready before the switch, as Argo makes sure.
	r.run(readyPod("green-a", "shop", "v2", "198.18.9.1"))
	r.run(readyPod("green-b", "shop", "v2", "198.18.9.2"))
	c := r.crowd("shop")
	c.more(100)
	_, err := r.kube.CoreV1().Services("default").
		Update(context.Background(), svc("shop", "shop", "v2"), metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.until("the switch", func(t *table) bool { return countVersion(t.services["default/shop"].destination(80), "v2") == 2 })
	c.more(100)
	c.check()
	// The very last answer may belong to a request from before the switch.
	late := slices.ContainsFunc(c.seen[len(c.seen)-50:], func(a answer) bool { return a.body == "v2" })
	if c.seen[0].body != "v1" || !late {
		t.Errorf("it began with %s, and v2 was seen at the end: %v", c.seen[0].body, late)
	}
}

// The pod's end is seen by its callers before the API says so.
func TestPodGoesAwayMidTraffic(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""))
	servers := r.runs("shop", 3, "v1")
	c := r.crowd("shop")
	for _, s := range servers[:2] {
		c.more(50)
		s.Close()
	}
	c.more(100)
	c.check()
}

func TestRetryKeepsTheBody(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""))
	servers := r.runs("shop", 2, "v1")
	servers[0].Close()
	var retried bool
	for range 2 {
		req, _ := http.NewRequest(http.MethodPost, r.gateway.URL, strings.NewReader(strings.Repeat("x", 100_000)))
		req.Host = "shop"
		a := r.do(http.DefaultClient, req)
		if a.code != http.StatusOK {
			t.Errorf("%d %s", a.code, a.reason)
		}
		retried = retried || a.header.Get(attemptsHeader) == "2"
	}
	if !retried {
		t.Error("no request says that it was tried twice")
	}
}

// The only pod went and its successor came after the request's table was made: a retry looks at the newest.
func TestRetryLooksAgain(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "v2") }))
	defer pod.Close()
	only := func(ip string) objects {
		return objects{services: []*corev1.Service{svc("shop", "shop", "")}, pods: []*corev1.Pod{readyPod("p", "shop", "v1", ip)}}
	}
	var m *Mesh
	m = New(Config{Region: "test", Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		if addr.String() == "198.18.1.1:8080" {
			m.board.post(build(only("198.18.1.2"), m.board.load()))
			return nil, errors.New("gone")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", pod.Listener.Addr().String())
	}})
	defer m.transport.CloseIdleConnections()
	m.board.post(build(only("198.18.1.1"), m.board.load()))
	w := httptest.NewRecorder()
	m.Gateway().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop/", nil))
	if w.Code != http.StatusOK || w.Body.String() != "v2" || w.Header().Get(attemptsHeader) != "2" {
		t.Errorf("%d %q, attempts %q", w.Code, w.Body, w.Header().Get(attemptsHeader))
	}
}

// A pod that is told to go resets what its kernel had accepted. What may be sent again is; what may not is answered so.
func TestResetBeforeAnyAnswer(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""))
	r.runs("shop", 1, "v1")
	going, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer going.Close()
	go func() {
		for {
			conn, err := going.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	r.run(readyPod("going", "shop", "v1", "198.18.9.9"))
	r.backendsTo("198.18.9.9:8080", going)
	r.until("both pods", func(t *table) bool { return countVersion(t.services["default/shop"].destination(80), "v1") == 2 })
	if seen := r.versions("shop", 6); seen["v1"] != 6 {
		t.Errorf("GET: %v", seen)
	}
	codes := map[int]int{}
	for range 6 {
		req, _ := http.NewRequest(http.MethodPost, r.gateway.URL, strings.NewReader("an order"))
		req.Host = "shop"
		codes[r.do(http.DefaultClient, req).code]++
	}
	if codes[http.StatusOK] != 3 || codes[http.StatusServiceUnavailable] != 3 {
		t.Errorf("POST: %v", codes)
	}
}

// hungUp is a connection that the other side has closed.
type hungUp struct{ net.Conn }

func (hungUp) Read([]byte) (int, error)    { return 0, io.EOF }
func (hungUp) Write(p []byte) (int, error) { return len(p), nil }

// A pod that closes a connection as soon as it is there may do so before the request is sent, or after: often enough, both
// are among these.
func TestPodThatHangsUp(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer pod.Close()
	m := New(Config{Region: "test", Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", pod.Listener.Addr().String())
		if addr.String() == "198.18.1.1:8080" {
			return hungUp{conn}, err
		}
		return conn, err
	}})
	defer m.transport.CloseIdleConnections()
	m.board.post(build(objects{
		services: []*corev1.Service{svc("shop", "shop", "")},
		pods:     []*corev1.Pod{readyPod("p", "shop", "v1", "198.18.1.1"), readyPod("q", "shop", "v1", "198.18.1.2")},
	}, m.board.load()))
	for range 1000 {
		w := httptest.NewRecorder()
		m.Gateway().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop/", nil))
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

func TestPodThatHangs(t *testing.T) {
	pod := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }))
	defer pod.Close()
	m := New(Config{Region: "test", Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", pod.Listener.Addr().String())
	}})
	defer m.transport.CloseIdleConnections()
	m.transport.ResponseHeaderTimeout = 20 * time.Millisecond
	m.board.post(build(objects{
		services: []*corev1.Service{svc("shop", "shop", "")},
		pods:     []*corev1.Pod{readyPod("p", "shop", "v1", "198.18.1.1"), readyPod("q", "shop", "v1", "198.18.1.2")},
	}, m.board.load()))
	w := httptest.NewRecorder()
	m.Gateway().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop/", nil))
	if w.Code != http.StatusGatewayTimeout || w.Header().Get(attemptsHeader) != "" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if got := m.Traffic(); len(got) != 1 || got[0].Requests != 1 || got[0].Errors != 1 || got[0].Version != "v1" {
		t.Errorf("counted %+v", got)
	}
}

func TestNoReadyPod(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""))
	want := func(what string) {
		t.Helper()
		a := r.get("shop", "/")
		if a.code != http.StatusServiceUnavailable || !strings.Contains(a.reason, "no ready pod behind Service default/shop") {
			t.Errorf("%s: %d, reason %q", what, a.code, a.reason)
		}
	}
	want("no pod")
	pod := readyPod("p", "shop", "v1", "198.18.1.1")
	pod.Status.Conditions[0].Status = corev1.ConditionFalse
	r.run(pod)
	r.until("the pod", func(t *table) bool { return len(t.pods) == 1 })
	want("a pod that is not ready")

	ctx, pods := context.Background(), r.kube.CoreV1().Pods("default")
	change := func(change func(*corev1.Pod)) {
		t.Helper()
		p := readyPod("p", "shop", "v1", "198.18.1.1")
		change(p)
		if _, err := pods.Update(ctx, p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	change(func(*corev1.Pod) {})
	r.until("readiness", func(*table) bool { return r.mesh.Routable("shop") })
	if a := r.get("shop", "/"); a.body != "v1" {
		t.Errorf("ready: %d %q", a.code, a.reason)
	}
	change(func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now })
	r.until("its end", func(*table) bool { return !r.mesh.Routable("shop") })
	want("a pod that is told to go")
	if requests, errors := r.counted(); requests != 4 || errors != 3 {
		t.Errorf("counted %d requests, %d errors", requests, errors)
	}
}

func TestOutcomesAreCountedOnce(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""))
	r.runs("shop", 1, "v1")
	entered := make(chan struct{})
	bad := readyPod("bad", "bad", "v2", "198.18.5.5")
	r.serve("198.18.5.5:8080", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/break":
			_, _ = io.WriteString(w, "half of it")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/hang":
			close(entered)
			<-q.Context().Done()
		}
	}))
	ctx := context.Background()
	if _, err := r.kube.CoreV1().Services("default").Create(ctx, svc("bad", "bad", ""), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.kube.CoreV1().Pods("default").Create(ctx, bad, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the bad pod", func(*table) bool { return r.mesh.Routable("bad") })

	r.get("shop", "/")
	r.get("shop", "/fail")
	r.get("nobody", "/")
	ask := func(ctx context.Context, path string) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, r.gateway.URL+path, nil)
		req.Host = "bad"
		if resp, err := http.DefaultClient.Do(req); err == nil {
			if _, err = io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: the client does not notice", path)
			}
			_ = resp.Body.Close()
		}
	}
	ask(ctx, "/break")
	leaving, leave := context.WithCancel(ctx)
	go func() { <-entered; leave() }()
	ask(leaving, "/hang")

	r.gateway.Close() // every handler is through, and has counted
	want := []Count{
		{Service: unknown, Workload: unknown, Version: unknown, Requests: 1, Errors: 1},
		{Namespace: "default", Service: "bad", Workload: "bad", Image: "ghcr.io/x/bad:v2", Version: "v2", Hash: "hashv2",
			Requests: 2, Errors: 1},
		{Namespace: "default", Service: "shop", Workload: "shop", Image: "ghcr.io/x/shop:v1", Version: "v1", Hash: "hashv1",
			Requests: 2, Errors: 1},
	}
	got := r.mesh.Traffic()
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
	has(t, scrape(r.mesh),
		`istio_requests_total{destination_service_name="shop",destination_service_namespace="default",destination_version="v1",destination_workload="shop",reporter="source",response_code="500",rollouts_pod_template_hash="hashv1"} 1`,
		`istio_requests_total{destination_service_name="bad",destination_service_namespace="default",destination_version="v2",destination_workload="bad",reporter="source",response_code="502",rollouts_pod_template_hash="hashv2"} 1`,
		`istio_requests_total{destination_service_name="bad",destination_service_namespace="default",destination_version="v2",destination_workload="bad",reporter="source",response_code="0",rollouts_pod_template_hash="hashv2"} 1`,
		`istio_requests_total{destination_service_name="unknown",destination_service_namespace="",destination_version="unknown",destination_workload="unknown",reporter="source",response_code="404",rollouts_pod_template_hash=""} 1`,
		`istio_request_duration_milliseconds_count{destination_service_name="shop",destination_service_namespace="default",destination_version="v1",destination_workload="shop",reporter="source",rollouts_pod_template_hash="hashv1"} 2`,
	)
}

// has checks that metrics, as Prometheus text, hold each of lines.
func has(t *testing.T, metrics string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no line %s in\n%s", line, metrics)
		}
	}
}

func scrape(m *Mesh) string {
	w := httptest.NewRecorder()
	m.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// What a version served stays counted when its pods are gone, and its destination Service changes names.
func TestTotalsSurvivePods(t *testing.T) {
	r := newCanary(t, 0, 100)
	r.versions("q2q", 5)
	r.weigh(100, 0)
	ctx := context.Background()
	if _, err := r.kube.CoreV1().Services("default").Update(ctx, svc("q2q-stable", "q2q", "v2"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("promotion", func(t *table) bool { return countVersion(t.services["default/q2q-stable"].destination(80), "v2") == 1 })
	r.versions("q2q", 3)
	if err := r.kube.CoreV1().Pods("default").Delete(ctx, "q2q-v2-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the pod's end", func(*table) bool { return !r.mesh.Routable("q2q") })
	r.gateway.Close()
	got := r.mesh.Traffic()
	if len(got) != 1 || got[0].Requests != 8 || got[0].Service != "q2q" || got[0].Hash != "hashv2" {
		t.Errorf("got %+v", got)
	}
}
