//go:build lab

package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"tidegate.io/tidegate/internal/lab/image"
)

// testPrometheusThroughTheAPIServer asks as a dashboard or tidegate itself would, without an address of this machine.
func (c cluster) testPrometheusThroughTheAPIServer(t *testing.T) {
	ctx := within(t, soon, "Prometheus has scraped the pods")
	eventually(t, ctx, func() error {
		series, err := c.query(ctx, "count(up==1)")
		if err != nil {
			return err
		}
		if len(series) != 1 || series[0].number < 1 {
			return fmt.Errorf("count(up==1) is %v, want one number of at least 1", series)
		}
		return nil
	})
	eventually(t, ctx, func() error {
		series, err := c.query(ctx, "http_requests_total")
		if err != nil {
			return err
		}
		if len(series) == 0 {
			return fmt.Errorf("there is no http_requests_total yet")
		}
		for _, s := range series {
			if s.Metric["region"] != c.name || s.Metric["namespace"] == "" || s.Metric["rollouts_pod_template_hash"] == "" || s.Metric["app"] == "" {
				t.Fatalf("http_requests_total lacks a label that the analysis goes by: %v", s.Metric)
			}
		}
		return nil
	})
}

// sample is one series of a query's answer.
type sample struct {
	Metric map[string]string
	Value  [2]any // time and number
	number float64
}

func (c cluster) query(ctx context.Context, promQL string) ([]sample, error) {
	content, err := c.kube.CoreV1().Services("monitoring").
		ProxyGet("http", "prometheus-server", "9090", "/api/v1/query", map[string]string{"query": promQL}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status string
		Data   struct{ Result []sample }
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", promQL, err, content)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", promQL, content)
	}
	for i, s := range answer.Data.Result {
		number, _ := s.Value[1].(string)
		if answer.Data.Result[i].number, err = strconv.ParseFloat(number, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", promQL, err)
		}
	}
	return answer.Data.Result, nil
}

// testLogsThroughTheAPIServer is kubectl logs, before and after a crash.
func (c cluster) testLogsThroughTheAPIServer(t *testing.T) {
	ctx := within(t, upWithin, "logs come through the API server, and a crashed container restarts")
	list, err := c.kube.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatalf("no pod of %s", app)
	}
	pod := list.Items[0]

	if log := c.log(t, ctx, pod, false); !bytes.Contains(log, []byte(`"listening"`)) {
		t.Errorf("the log of %s does not tell that it listens:\n%s", pod.Name, log)
	}
	_, err = c.kube.CoreV1().Pods("default").GetLogs(pod.Name, &corev1.PodLogOptions{Previous: true}).DoRaw(ctx)
	if !apierrors.IsBadRequest(err) {
		t.Errorf("log of the previous life of a container that never restarted: %v, want a bad request", err)
	}
	c.follow(t, ctx, pod)

	dying, err := c.kube.CoreV1().Pods("default").GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer dying.Close()
	if err := c.lab.SetImage(ctx, c.name, appNow, image.Behaviour{Crash: true}); err != nil {
		t.Fatal(err)
	}
	// This one ends by itself, with the container.
	if _, err := io.Copy(io.Discard, dying); err != nil {
		t.Errorf("follow until the container crashed: %v", err)
	}
	pods := c.custom.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("default")
	seen(t, ctx, pods, pod.Name, func(o *unstructured.Unstructured) bool { return restarts(o) > 0 })
	if log := c.log(t, ctx, pod, true); !bytes.Contains(log, []byte(`"starting"`)) {
		t.Errorf("the log of the life before the crash:\n%s", log)
	}
	if err := c.lab.SetImage(ctx, c.name, appNow, image.Behaviour{}); err != nil {
		t.Fatal(err)
	}
	seen(t, ctx, pods, pod.Name, func(o *unstructured.Unstructured) bool { return container(o)["ready"] == true })
}

func (c cluster) log(t *testing.T, ctx context.Context, pod corev1.Pod, previous bool) []byte {
	t.Helper()
	log, err := c.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Previous: previous}).DoRaw(ctx)
	if err != nil {
		t.Fatalf("log of %s (previous: %v): %v", pod.Name, previous, err)
	}
	return log
}

// follow reads lines as they are written, and goes as kubectl does on Ctrl-C.
func (c cluster) follow(t *testing.T, ctx context.Context, pod corev1.Pod) {
	t.Helper()
	none := int64(0)
	stream, err := c.kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Follow: true, TailLines: &none}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stream)
	line, err := lines.ReadString('\n') // written after the request: the load sends some every second
	if err != nil || !json.Valid([]byte(line)) {
		t.Errorf("first line that was followed: %v: %q", err, line)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := lines.WriteTo(io.Discard)
		ended <- err
	}()
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if ctx.Err() != nil {
			t.Errorf("follow went on until the end of the test: %v", err)
		}
	case <-ctx.Done():
		t.Errorf("follow goes on after its stream was closed: %v", context.Cause(ctx))
	}
}

// container returns the status of a pod's first container.
func container(pod *unstructured.Unstructured) map[string]any {
	statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	if len(statuses) == 0 {
		return nil
	}
	status, _ := statuses[0].(map[string]any)
	return status
}

func restarts(pod *unstructured.Unstructured) int64 {
	n, _ := container(pod)["restartCount"].(int64)
	return n
}
