package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"

	"tidegate.io/tidegate/internal/lab/image"
)

func TestDeletionDrains(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.timing.drain = 2 * time.Second // far longer than a busy machine takes to look at the pod while it drains
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	client := n.podClient()
	const url = "http://198.18.1.0:3000/"
	get(t, client, url) // leaves an idle connection

	n.images.Set("api:v1", image.Behaviour{Latency: 500}) // 3 s or so: beyond the drain, within the grace
	sent, flight := make(chan struct{}), make(chan error, 1)
	go func() { flight <- getTraced(t, client, url, func() { close(sent) }) }()
	<-sent
	n.beginDeletion("api", 30)

	// Answers do not wait on this path. No more are sent once one of them says so: one that comes as it closes its listener,
	// and that it has not accepted, is cut off.
	n.eventually("an answer asks clients to go elsewhere", func() bool { return get(t, client, url+"metrics").closing })
	n.eventually("nobody listens", func() bool { return n.refuses("198.18.1.0:3000") })
	if err := <-flight; err != nil {
		t.Errorf("the request in flight failed: %v", err)
	}
	n.awaitGone("api")

	deleted := false
	for _, action := range n.client.Actions() {
		if deletion, ok := action.(ktesting.DeleteActionImpl); ok {
			options := deletion.GetDeleteOptions()
			if *options.GracePeriodSeconds != 0 || *options.Preconditions.UID != "uid-api" {
				t.Errorf("deleted with %+v", options)
			}
			deleted = true
		}
	}
	if !deleted {
		t.Error("the node did not delete the object")
	}
}

// getTraced calls sent as soon as the request is on its way.
func getTraced(t *testing.T, client *http.Client, url string, sent func()) error {
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	response, err := try(ctx, client, http.MethodGet, url, "")
	if err == nil && response.status != http.StatusOK {
		err = fmt.Errorf("status %d", response.status)
	}
	return err
}

func TestDeletionTellsTheEnd(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	watch, err := n.client.CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	n.beginDeletion("api", 30)
	n.awaitGone("api")
	var last v1.PodStatus
	for event := range watch.ResultChan() {
		last = event.Object.(*v1.Pod).Status
		if event.Type == "DELETED" {
			break
		}
	}
	if c := last.ContainerStatuses[0]; last.Phase != v1.PodSucceeded || c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 || c.Ready {
		t.Errorf("the last status is %+v", last)
	}
	n.create(podOf("next", "api:v1"))
	if ip := n.awaitReady("next").Status.PodIP; ip == "198.18.1.0" {
		t.Error("the address was given to the next pod at once")
	}
}

func TestForcedDeletionKills(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	if err := n.client.CoreV1().Pods("default").Delete(t.Context(), "api", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	n.eventually("nobody listens", func() bool { return n.refuses("198.18.1.0:3000") })
}

// refuses reports whether nobody listens at a pod's address.
func (n *testNode) refuses(addr string) bool {
	conn, err := n.Dial(n.t.Context(), netip.MustParseAddrPort(addr))
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func TestAnotherPodOfTheSameName(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("db-0", "db:v1"))
	n.awaitReady("db-0")
	// What a watch that was interrupted delivers: an update from one pod to another.
	another := podOf("db-0", "db:v2", func(p *v1.Pod) { p.UID = "uid-2" })
	if err := n.client.Tracker().Update(v1.SchemeGroupVersion.WithResource("pods"), another, "default"); err != nil {
		t.Fatal(err)
	}
	pod := n.await("db-0", "the new one and ready", func(p *v1.Pod) bool { return p.UID == "uid-2" && isReady(p) })
	if response := get(t, n.podClient(), "http://"+pod.Status.PodIP+":3000/"); response.header.Get("X-Lab-Version") != "v2" {
		t.Error("the old pod still answers")
	}
}

// running is a pod as an earlier node left it.
func running(name, ip string, change ...func(*v1.Pod)) *v1.Pod {
	return podOf(name, "api:v1", append([]func(*v1.Pod){func(p *v1.Pod) {
		started := metav1.NewTime(time.Unix(1000, 0))
		p.Spec.NodeName = "us-west"
		p.Status = v1.PodStatus{
			Phase: v1.PodRunning, PodIP: ip, PodIPs: []v1.PodIP{{IP: ip}}, StartTime: &started,
			ContainerStatuses: []v1.ContainerStatus{{
				Name: "web", ContainerID: "lab://x/web/3", RestartCount: 3, Ready: true,
				State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: started}},
			}},
		}
	}}, change...)...)
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	never := func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyNever }
	done := func(p *v1.Pod) {
		never(p)
		p.Status.Phase = v1.PodSucceeded
		p.Status.ContainerStatuses[0].State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	}
	going := func(p *v1.Pod) { p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.Now()), new(int64(30)) }
	objects := []runtime.Object{running("api", "198.18.1.0"), running("job", "198.18.1.50", never),
		running("done", "198.18.1.51", done), running("going", "198.18.1.52", going)}
	for i := range 10 { // whichever of all these is seen first
		objects = append(objects, podOf(fmt.Sprintf("new-%d", i), "api:v1"))
	}
	n := startNode(t, objects...)

	pod := n.await("api", "restarted", func(p *v1.Pod) bool { return isReady(p) && p.Status.ContainerStatuses[0].RestartCount == 4 })
	if pod.Status.PodIP != "198.18.1.0" || pod.Status.StartTime.Unix() != 1000 {
		t.Errorf("address %s, start %v", pod.Status.PodIP, pod.Status.StartTime)
	}
	last := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated
	if last == nil || last.Reason != "ContainerStatusUnknown" || last.ExitCode != codeKilled || last.StartedAt.Unix() != 1000 {
		t.Errorf("last state %+v", last)
	}
	for i := range 10 {
		if got := n.awaitReady(fmt.Sprintf("new-%d", i)).Status.PodIP; got == "198.18.1.0" {
			t.Error("a new pod got an address that another holds")
		}
	}
	lost := n.await("job", "failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if c := lost.Status.ContainerStatuses[0]; c.State.Terminated == nil || c.State.Terminated.ExitCode != codeKilled {
		t.Errorf("a process that died with the node: %+v", c)
	}
	if p := n.await("done", "there", func(*v1.Pod) bool { return true }); p.Status.Phase != v1.PodSucceeded {
		t.Errorf("a pod that had succeeded is %s", p.Status.Phase)
	}
	n.awaitGone("going")
}
