package mesh

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"tidegate.io/tidegate/internal/lab/image"
)

var (
	crdResource     = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	virtualResource = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	rolloutResource = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
)

// patienceOfTests bounds every wait: far beyond what any of them takes, far below the test binary's own limit.
const patienceOfTests = 20 * time.Second

// rig is a region as the mesh sees it: an API made of fakes, and pods that are real HTTP servers.
type rig struct {
	testing.TB
	kube *fake.Clientset
	dyn  *dynamicfake.FakeDynamicClient
	mesh *Mesh

	gateway, proxy *httptest.Server
	client         *http.Client
	stop           func() // ends Run and waits for it

	mu       sync.Mutex
	backends map[netip.AddrPort]string // podIP:port → listener
	watching map[string]chan struct{}  // by resource, closed at the first watch
}

// newRig starts a mesh on a region that holds objs; typed ones and unstructured ones.
func newRig(t testing.TB, fixed map[string]string, objs ...runtime.Object) *rig {
	r := &rig{TB: t, backends: map[netip.AddrPort]string{}, watching: map[string]chan struct{}{}}
	var typed, custom []runtime.Object
	for _, o := range objs {
		if _, ok := o.(*unstructured.Unstructured); ok {
			custom = append(custom, o)
		} else {
			typed = append(typed, o)
		}
	}
	r.kube = fake.NewClientset(typed...)
	r.dyn = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{
			crdResource: "CustomResourceDefinitionList", virtualResource: "VirtualServiceList", rolloutResource: "RolloutList",
		}, custom...)
	r.kube.PrependWatchReactor("*", r.watched(r.kube.Tracker()))
	r.dyn.PrependWatchReactor("*", r.watched(r.dyn.Tracker()))

	r.mesh = New(Config{Region: "test", Client: r.kube, Dynamic: r.dyn, Dial: r.dial, Fixed: fixed})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.mesh.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patienceOfTests):
			t.Error("Run does not return")
		}
	})
	r.gateway = httptest.NewServer(r.mesh.Gateway())
	r.proxy = httptest.NewServer(r.mesh.Proxy())
	proxyURL, _ := url.Parse(r.proxy.URL)
	r.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxyURL), DisableKeepAlives: true}}
	t.Cleanup(func() {
		r.stop()
		r.gateway.Close()
		r.proxy.Close()
	})
	// The fakes lose what is written between a list and its watch.
	for _, resource := range []string{"services", "pods", "endpointslices", "customresourcedefinitions"} {
		r.awaitWatch(resource)
	}
	r.until("the first table", func(t *table) bool { return t.down == "" })
	return r
}

func (r *rig) watched(tracker clienttesting.ObjectTracker) clienttesting.WatchReactionFunc {
	return func(a clienttesting.Action) (bool, watch.Interface, error) {
		w, err := tracker.Watch(a.GetResource(), a.GetNamespace())
		r.mu.Lock()
		defer r.mu.Unlock()
		c := r.channel(a.GetResource().Resource)
		select {
		case <-c:
		default:
			close(c)
		}
		return true, w, err
	}
}

func (r *rig) channel(resource string) chan struct{} {
	c := r.watching[resource]
	if c == nil {
		c = make(chan struct{})
		r.watching[resource] = c
	}
	return c
}

func (r *rig) awaitWatch(resource string) {
	r.Helper()
	r.mu.Lock()
	c := r.channel(resource)
	r.mu.Unlock()
	select {
	case <-c:
	case <-time.After(patienceOfTests):
		r.Fatalf("nobody watches %s", resource)
	}
}

// until waits for a table as described.
func (r *rig) until(what string, is func(*table) bool) {
	r.Helper()
	deadline := time.After(patienceOfTests)
	for {
		changed := r.mesh.Changed()
		if is(r.mesh.board.load()) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			r.Fatalf("waited in vain for %s", what)
		}
	}
}

func (r *rig) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	r.mu.Lock()
	to, ok := r.backends[addr]
	r.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no pod listens on %s", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to)
}

// serve starts the server of a pod, without telling the API.
func (r *rig) serve(addr string, h http.Handler) *httptest.Server {
	s := httptest.NewServer(h)
	r.Cleanup(s.Close)
	r.mu.Lock()
	r.backends[netip.MustParseAddrPort(addr)] = s.Listener.Addr().String()
	r.mu.Unlock()
	return s
}

// run starts a pod: its server answers with its version, and the API hears of it.
func (r *rig) run(p *corev1.Pod) *httptest.Server {
	r.Helper()
	version := image.Tag(p.Spec.Containers[0].Image)
	s := r.serve(p.Status.PodIP+":8080", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("X-Lab-Pod", p.Name)
		w.Header().Set("X-Lab-Version", version)
		w.Header().Set("X-Host", q.Host)
		if q.URL.Path == "/fail" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, version)
	}))
	if _, err := r.kube.CoreV1().Pods(p.Namespace).Create(context.Background(), p, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
	return s
}

// runs starts n ready pods of one version and waits until the mesh knows them behind service.
func (r *rig) runs(service string, n int, version string) []*httptest.Server {
	r.Helper()
	var servers []*httptest.Server
	for i := range n {
		name := fmt.Sprintf("%s-%s-%d", service, version, i)
		servers = append(servers, r.run(readyPod(name, service, version, fmt.Sprintf("198.18.%d.%d", version[1], i+10))))
	}
	r.until(fmt.Sprintf("%d pods of %s", n, version), func(t *table) bool {
		return countVersion(t.services["default/"+service].destination(0), version) == n ||
			countVersion(t.services["default/"+service+"-"+version].destination(0), version) == n
	})
	return servers
}

func countVersion(d *destination, version string) int {
	if d == nil {
		return 0
	}
	n := 0
	for _, e := range d.endpoints {
		if e.version == version {
			n++
		}
	}
	return n
}

func readyPod(name, app, version, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{
			"app": app, hashLabel: "hash" + version,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: app, Image: "ghcr.io/x/" + app + ":" + version,
			Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
		Status: corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		}},
	}
}

// svc is a Service in front of the pods of app, of one version if it names one.
func svc(name, app, version string) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}},
		},
	}
	if version != "" {
		s.Spec.Selector[hashLabel] = "hash" + version
	}
	return s
}

func crd(resource schema.GroupVersionResource, kind string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": resource.GroupResource().String()},
		"spec": map[string]any{"group": resource.Group, "names": map[string]any{"kind": kind}, "versions": []any{
			map[string]any{"name": resource.Version, "served": true},
		}},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}},
	}}
}

// vsvc is the VirtualService of a canary: host's traffic split between host-stable and host-canary.
func vsvc(host string, stable, canary int64) *unstructured.Unstructured {
	leg := func(to string, weight int64) any {
		return map[string]any{"destination": map[string]any{"host": to}, "weight": weight}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"namespace": "default", "name": host + "-vsvc"},
		"spec": map[string]any{"hosts": []any{host}, "http": []any{map[string]any{
			"name": "primary", "route": []any{leg(host+"-stable", stable), leg(host+"-canary", canary)},
		}}},
	}}
}

// answer is what came back.
type answer struct {
	code         int
	body, reason string
	header       http.Header
}

// get asks the gateway for a host.
func (r *rig) get(host, path string) answer {
	r.Helper()
	req, _ := http.NewRequest(http.MethodGet, r.gateway.URL+path, nil)
	req.Host = host
	return r.do(http.DefaultClient, req)
}

func (r *rig) do(c *http.Client, req *http.Request) answer {
	r.Helper()
	resp, err := c.Do(req)
	if err != nil {
		r.Errorf("%s %s: %v", req.Method, req.URL, err)
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Errorf("%s %s: %v", req.Method, req.URL, err)
	}
	return answer{resp.StatusCode, strings.TrimSpace(string(body)), resp.Header.Get(reasonHeader), resp.Header}
}

// versions asks n times and says which version answered how often; "" for anything but 200.
func (r *rig) versions(host string, n int) map[string]int {
	r.Helper()
	seen := map[string]int{}
	for range n {
		a := r.get(host, "/")
		if a.code != http.StatusOK {
			a.body = ""
		}
		seen[a.body]++
	}
	return seen
}

// counted sums the books.
func (r *rig) counted() (requests, errors uint64) {
	for _, c := range r.mesh.Traffic() {
		requests, errors = requests+c.Requests, errors+c.Errors
	}
	return requests, errors
}
