package node

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"

	"tidegate.io/tidegate/internal/lab/image"
)

func probe(path string, seconds, failures int32) *v1.Probe {
	return &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}},
		PeriodSeconds: seconds, FailureThreshold: failures, TimeoutSeconds: int32(patience.Seconds()),
	}
}

func TestNodeRegisters(t *testing.T) {
	t.Parallel()
	old := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "us-west", Annotations: map[string]string{"kept": "yes"}},
		Status:     v1.NodeStatus{DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: 1}}},
	}
	for name, n := range map[string]*testNode{"new": startNode(t), "again": startNode(t, old)} {
		port := int32(n.cfg.Kubelet.Addr().(*net.TCPAddr).Port)
		var object *v1.Node
		n.eventually("the node is registered", func() bool {
			object, _ = n.client.CoreV1().Nodes().Get(t.Context(), "us-west", metav1.GetOptions{})
			return object != nil && object.Status.DaemonEndpoints.KubeletEndpoint.Port == port
		})
		var ready v1.ConditionStatus
		for _, c := range object.Status.Conditions {
			if c.Type == v1.NodeReady {
				ready = c.Status
			}
		}
		if a := object.Status.Addresses; ready != v1.ConditionTrue || len(a) != 1 || a[0] != (v1.NodeAddress{Type: v1.NodeInternalIP, Address: "127.0.0.1"}) {
			t.Errorf("%s: status %+v", name, object.Status)
		}
		if object.Status.Allocatable.Pods().IsZero() || object.Status.Capacity.Cpu().IsZero() {
			t.Errorf("%s: no room for pods", name)
		}
		if name == "again" && object.Annotations["kept"] != "yes" {
			t.Error("what others wrote on the node is lost")
		}
	}
}

func TestPodIsBoundAndServes(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "ghcr.io/teei/api:v2", func(p *v1.Pod) {
		p.Spec.SchedulerName = v1.DefaultSchedulerName
		p.Spec.Containers[0].ReadinessProbe = probe("/health", 5, 1)
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "idle", Image: "helper"})
	}))
	pod := n.awaitReady("api")
	if pod.Spec.NodeName != "us-west" || pod.Status.PodIP != "198.18.1.0" || pod.Status.HostIP != "127.0.0.1" || pod.Status.StartTime == nil {
		t.Errorf("node %q, status %+v", pod.Spec.NodeName, pod.Status)
	}
	if len(pod.Status.PodIPs) != 1 || pod.Status.Phase != v1.PodRunning || len(pod.Status.ContainerStatuses) != 2 {
		t.Fatalf("status %+v", pod.Status)
	}
	web := pod.Status.ContainerStatuses[0]
	if web.Name != "web" || web.Image != "ghcr.io/teei/api:v2" || web.ImageID == "" || web.ContainerID == "" || !web.Ready ||
		!*web.Started || web.State.Running == nil || web.State.Running.StartedAt.IsZero() || web.RestartCount != 0 {
		t.Errorf("container %+v", web)
	}
	response := get(t, n.podClient(), "http://198.18.1.0:3000/orders")
	if response.status != http.StatusOK || !strings.Contains(response.body, `"path":"/orders"`) ||
		response.header.Get("X-Lab-Version") != "v2" || response.header.Get("X-Lab-Hash") != "abc" || response.header.Get("X-Lab-Pod") != "api" {
		t.Errorf("%d %v %s", response.status, response.header, response.body)
	}
	if _, err := n.Dial(t.Context(), netip.MustParseAddrPort("198.18.1.0:3001")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial of a port nobody listens on = %v", err)
	}
}

// TestProbedPortsAreListenedOn: whatever a probe dials, whether or not the manifest declares it.
func TestProbedPortsAreListenedOn(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, handler := range map[string]v1.ProbeHandler{
		"http": {HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt32(9000)}},
		"tcp":  {TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(9000)}},
		"grpc": {GRPC: &v1.GRPCAction{Port: 9000}},
	} {
		n.create(podOf(name, "api:v1", func(p *v1.Pod) {
			p.Spec.Containers[0].Ports = nil
			p.Spec.Containers[0].ReadinessProbe = &v1.Probe{ProbeHandler: handler}
		}))
		n.awaitReady(name)
	}
}

func TestOnlyOurPodsRun(t *testing.T) {
	t.Parallel()
	n := startNode(t,
		podOf("elsewhere", "api:v1", func(p *v1.Pod) { p.Spec.NodeName = "us-east" }),
		podOf("own-scheduler", "api:v1", func(p *v1.Pod) { p.Spec.SchedulerName = "mine" }),
		podOf("gated", "api:v1", func(p *v1.Pod) { p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "g"}} }),
		podOf("bound", "api:v1", func(p *v1.Pod) { p.Spec.NodeName = "us-west" }),
	)
	n.awaitReady("bound")
	n.create(podOf("last", "api:v1"))
	n.awaitReady("last")
	for _, name := range []string{"elsewhere", "own-scheduler", "gated"} {
		pod := n.await(name, "there", func(*v1.Pod) bool { return true })
		if pod.Spec.NodeName == "us-west" || pod.Status.Phase != "" {
			t.Errorf("%s was run: %+v", name, pod.Status)
		}
	}
	ungated := n.await("gated", "there", func(*v1.Pod) bool { return true }).DeepCopy()
	ungated.Spec.SchedulingGates = nil
	if _, err := n.client.CoreV1().Pods("default").Update(t.Context(), ungated, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.awaitReady("gated")
}

func TestReadinessIsAskedForReal(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("api:v1", image.Behaviour{SlowStart: 1 << 40})
	n.create(podOf("api", "api:v1", func(p *v1.Pod) { p.Spec.Containers[0].ReadinessProbe = probe("/health", 1, 1) }))
	pod := n.await("api", "running", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodRunning })
	if isReady(pod) || pod.Status.ContainerStatuses[0].Ready {
		t.Fatal("ready while it answers 503")
	}
	n.images.Set("api:v1", image.Behaviour{})
	for _, c := range n.awaitReady("api").Status.Conditions {
		if c.Reason != "" || c.Message != "" {
			t.Errorf("%s is %s and still says %s: %s", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	n.images.Set("api:v1", image.Behaviour{SlowStart: 1 << 40})
	pod = n.await("api", "unready", func(p *v1.Pod) bool { return !isReady(p) })
	if pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Error("an unready container was restarted")
	}
}

func TestLivenessRestarts(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1", func(p *v1.Pod) { p.Spec.Containers[0].LivenessProbe = probe("live", 1, 1) }))
	n.awaitReady("api")
	n.images.Set("api:v1", image.Behaviour{SlowStart: 1 << 40})
	pod := n.await("api", "restarted", func(p *v1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount >= 1 })
	last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated
	if last == nil || last.ExitCode != codeTerminated || !strings.Contains(last.Message, "liveness probe failed: HTTP probe failed with statuscode: 503") {
		t.Errorf("last state %+v", last)
	}
}

func TestStartupProbeComesFirst(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("api:v1", image.Behaviour{SlowStart: 1 << 40})
	n.create(podOf("api", "api:v1", func(p *v1.Pod) {
		p.Spec.Containers[0].StartupProbe = probe("/health", 1, 1000)
		p.Spec.Containers[0].LivenessProbe = probe("/health", 1, 1)
	}))
	pod := n.await("api", "running", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodRunning })
	if c := pod.Status.ContainerStatuses[0]; *c.Started || c.Ready {
		t.Errorf("started %v, ready %v before the startup probe passed", *c.Started, c.Ready)
	}
	n.images.Set("api:v1", image.Behaviour{})
	pod = n.awaitReady("api")
	if c := pod.Status.ContainerStatuses[0]; !*c.Started || c.RestartCount != 0 {
		t.Errorf("started %v, restarts %d: liveness must wait for the startup probe", *c.Started, c.RestartCount)
	}
}

func TestStartupProbeGivesUp(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("api:v1", image.Behaviour{SlowStart: 1 << 40})
	n.create(podOf("api", "api:v1", func(p *v1.Pod) { p.Spec.Containers[0].StartupProbe = probe("/health", 1, 1) }))
	pod := n.await("api", "restarted", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	if last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || !strings.Contains(last.Message, "startup probe failed") {
		t.Errorf("last state %+v", last)
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("api:v1", image.Behaviour{Crash: true})
	n.create(podOf("api", "api:v1"))
	pod := n.await("api", "in a crash loop", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount >= 2 &&
			p.Status.ContainerStatuses[0].State.Waiting != nil
	})
	c := pod.Status.ContainerStatuses[0]
	if c.State.Waiting.Reason != "CrashLoopBackOff" || c.LastTerminationState.Terminated.ExitCode != 1 || c.Ready || isReady(pod) {
		t.Errorf("container %+v", c)
	}
	n.images.Set("api:v1", image.Behaviour{})
	restarts := n.awaitReady("api").Status.ContainerStatuses[0].RestartCount
	n.images.Set("api:v1", image.Behaviour{Crash: true}) // bites at the next request
	if response, err := try(t.Context(), n.podClient(), http.MethodGet, "http://198.18.1.0:3000/", ""); err == nil {
		t.Errorf("a crash answered %d", response.status)
	}
	n.await("api", "crashed again", func(p *v1.Pod) bool { return p.Status.ContainerStatuses[0].RestartCount > restarts })
}

func TestNeverMeansNever(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("api:v1", image.Behaviour{Crash: true})
	n.create(podOf("api", "api:v1", func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever }))
	pod := n.await("api", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 0 || c.State.Terminated == nil || c.State.Terminated.Reason != "Error" {
		t.Errorf("container %+v", c)
	}
}

func TestTwoContainersOnOnePort(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1", func(p *v1.Pod) {
		second := *p.Spec.Containers[0].DeepCopy()
		second.Name = "second"
		p.Spec.Containers = append(p.Spec.Containers, second)
	}))
	n.await("api", "half crashed", func(p *v1.Pod) bool {
		ready, looping := 0, 0
		for _, c := range p.Status.ContainerStatuses {
			if c.Ready {
				ready++
			} else if w := c.State.Waiting; w != nil && w.Reason == "CrashLoopBackOff" {
				looping++
			}
		}
		return ready == 1 && looping == 1
	})
}

func TestInitContainersAndSidecars(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1", func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{
			{Name: "migrate", Image: "migrate:v1"},
			{Name: "proxy", Image: "proxy:v1", RestartPolicy: new(v1.ContainerRestartPolicyAlways), Ports: []v1.ContainerPort{{ContainerPort: 15000}}},
		}
	}))
	pod := n.awaitReady("api")
	migrate, proxy := pod.Status.InitContainerStatuses[0], pod.Status.InitContainerStatuses[1]
	if t0 := migrate.State.Terminated; t0 == nil || t0.ExitCode != 0 || t0.Reason != "Completed" || !migrate.Ready {
		t.Errorf("init container %+v", migrate)
	}
	if proxy.State.Running == nil || !proxy.Ready || conditionOf(pod, v1.PodInitialized) != v1.ConditionTrue {
		t.Errorf("sidecar %+v", proxy)
	}
	if response := get(t, n.podClient(), "http://198.18.1.0:15000/"); response.header.Get("X-Lab-Image") != "proxy:v1" {
		t.Error("the sidecar's port does not lead to the sidecar")
	}
}

func TestRunEndsEverything(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	kubelet := n.cfg.Kubelet.Addr().String()
	n.stop()
	if _, err := n.Dial(t.Context(), netip.MustParseAddrPort("198.18.1.0:3000")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial after Run = %v", err)
	}
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", kubelet); err == nil {
		conn.Close()
		t.Error("the kubelet API is still served after Run")
	}
	pod := n.await("api", "there", func(*v1.Pod) bool { return true })
	if !isReady(pod) {
		t.Error("a node that leaves must not write: its pods are to be adopted")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"name":    func(c *Config) { c.Name = "" },
		"client":  func(c *Config) { c.Client = nil },
		"kubelet": func(c *Config) { c.Kubelet = nil },
		"TLS":     func(c *Config) { c.TLS = nil },
		"images":  func(c *Config) { c.Images = nil },
		"log":     func(c *Config) { c.Log = nil },
		"range":   func(c *Config) { c.PodCIDR = netip.Prefix{} },
	} {
		cfg := testConfig(t)
		cfg.Client, cfg.Images = fake.NewClientset(), &image.Table{}
		kubelet := cfg.Kubelet
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("New without a good %s succeeded", name)
		}
		kubelet.Close()
	}
}
