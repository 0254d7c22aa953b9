package node

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"tidegate.io/tidegate/internal/lab/image"
)

// patience bounds every wait in these tests; a busy machine needs some of it.
const patience = 10 * time.Second

// ownImage runs the shell as if it were Tidegate.
const ownImage = "ghcr.io/teei/tidegate:own"

var errLate = errors.New("it took too long")

// testNode is a node on a fake API server; everything else of it is real.
type testNode struct {
	*Node
	t       *testing.T
	client  *fake.Clientset
	images  *image.Table
	kubelet *http.Client
	url     string
	stop    func() // ends Run and waits for it
}

// startNode runs a node among the given objects until the test ends.
func startNode(t *testing.T, objects ...runtime.Object) *testNode {
	t.Helper()
	client := fake.NewClientset(objects...)
	// The fake one knows no binding: it would put the Binding in the Pod's place.
	client.PrependReactor("create", "pods", func(action ktesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := action.(ktesting.CreateAction).GetObject().(*v1.Binding)
		object, err := client.Tracker().Get(v1.SchemeGroupVersion.WithResource("pods"), binding.Namespace, binding.Name)
		if err != nil {
			return true, nil, err
		}
		bound := object.(*v1.Pod).DeepCopy()
		bound.Spec.NodeName = binding.Target.Name
		return true, binding, client.Tracker().Update(v1.SchemeGroupVersion.WithResource("pods"), bound, binding.Namespace)
	})
	// Nor does it deliver what happens between a list and the watch that follows it.
	watching := make(chan struct{})
	watched := sync.OnceFunc(func() { close(watching) })
	client.PrependWatchReactor("pods", func(action ktesting.Action) (bool, watch.Interface, error) {
		w, err := client.Tracker().Watch(action.GetResource(), action.GetNamespace())
		watched()
		return true, w, err
	})
	n := &testNode{t: t, client: client, images: &image.Table{}}
	cfg := testConfig(t)
	cfg.Client, cfg.Images = client, n.images
	n.url = "https://" + cfg.Kubelet.Addr().String()
	n.kubelet = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: cfg.TLS.RootCAs}}}
	var err error
	if n.Node, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	n.timing.drain = 100 * time.Millisecond
	n.timing.crashMin, n.timing.crashMax = 10*time.Millisecond, 40*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = func() {
		n.kubelet.CloseIdleConnections()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
			done <- nil
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	}
	t.Cleanup(n.stop)
	select {
	case <-watching:
	case <-time.After(patience):
		t.Fatal("the node does not watch pods")
	}
	return n
}

// testConfig lacks the client and the images.
func testConfig(t *testing.T) Config {
	t.Helper()
	certificate := httptest.NewTLSServer(nil) // made for 127.0.0.1
	t.Cleanup(certificate.Close)
	tlsConfig := certificate.TLS.Clone()
	tlsConfig.RootCAs = certificate.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Region: "us-west", Name: "us-west", Kubelet: listener, TLS: tlsConfig,
		PodCIDR: netip.MustParsePrefix("198.18.0.0/16"), Scratch: t.TempDir(),
		JobEnv: []string{"HTTP_PROXY=http://proxy.invalid"},
		Own:    func(image string) (string, bool) { return "/bin/sh", image == ownImage },
		Log:    slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// create makes a pod as the API server would.
func (n *testNode) create(object *v1.Pod) {
	n.t.Helper()
	if _, err := n.client.CoreV1().Pods(object.Namespace).Create(n.t.Context(), object, metav1.CreateOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

// await returns the pod as soon as it is as wanted.
func (n *testNode) await(name, what string, wanted func(*v1.Pod) bool) *v1.Pod {
	n.t.Helper()
	ctx, cancel := context.WithTimeoutCause(n.t.Context(), patience, errLate)
	defer cancel()
	pods := n.client.CoreV1().Pods("default")
	changes, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	defer changes.Stop()
	last, err := pods.Get(ctx, name, metav1.GetOptions{})
	if err == nil && wanted(last) {
		return last
	}
	for {
		select {
		case event := <-changes.ResultChan():
			if object, ok := event.Object.(*v1.Pod); ok && object.Name == name {
				if last = object; wanted(last) {
					return last
				}
			}
		case <-ctx.Done():
			text, _ := json.MarshalIndent(last.Status, "", " ")
			n.t.Fatalf("pod %s is not %s: %v\n%s", name, what, context.Cause(ctx), text)
		}
	}
}

func (n *testNode) awaitReady(name string) *v1.Pod {
	n.t.Helper()
	return n.await(name, "ready", isReady)
}

func isReady(p *v1.Pod) bool { return conditionOf(p, v1.PodReady) == v1.ConditionTrue }

func conditionOf(p *v1.Pod, kind v1.PodConditionType) v1.ConditionStatus {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

// beginDeletion marks the pod as the API server does when a grace period is to pass.
func (n *testNode) beginDeletion(name string, grace int64) {
	n.t.Helper()
	object, err := n.client.CoreV1().Pods("default").Get(n.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	object = object.DeepCopy()
	object.DeletionTimestamp, object.DeletionGracePeriodSeconds = new(metav1.Now()), &grace
	if err := n.client.Tracker().Update(v1.SchemeGroupVersion.WithResource("pods"), object, "default"); err != nil {
		n.t.Fatal(err)
	}
}

// awaitGone waits until the node has deleted the object.
func (n *testNode) awaitGone(name string) {
	n.t.Helper()
	n.eventually("pod "+name+" is gone", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.pods[types.NamespacedName{Namespace: "default", Name: name}] == nil
	})
}

// eventually polls what no channel tells.
func (n *testNode) eventually(what string, holds func() bool) {
	n.t.Helper()
	ctx, cancel := context.WithTimeoutCause(n.t.Context(), patience, errLate)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.t.Fatalf("%s: %v", what, context.Cause(ctx))
		}
	}
}

// podClient returns an HTTP client whose connections go to pods.
func (n *testNode) podClient() *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		return n.Dial(ctx, to)
	}}
	n.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is an HTTP response that was read to its end.
type answer struct {
	status  int
	header  http.Header
	closing bool // the server asked for a new connection
	body    string
}

func try(ctx context.Context, client *http.Client, method, url, body string, header ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, response.Close, string(text)}, err
}

func get(t *testing.T, client *http.Client, url string, header ...string) answer {
	t.Helper()
	a, err := try(t.Context(), client, http.MethodGet, url, "", header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// podOf makes a pod of one container on port 3000, named http.
func podOf(name, image string, change ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID("uid-" + name),
			Labels: map[string]string{hashLabel: "abc"},
		},
		Spec: v1.PodSpec{
			RestartPolicy: v1.RestartPolicyAlways,
			Containers: []v1.Container{{
				Name: "web", Image: image,
				Ports: []v1.ContainerPort{{Name: "http", ContainerPort: 3000}},
			}},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}
