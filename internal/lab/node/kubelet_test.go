package node

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"tidegate.io/tidegate/internal/lab/image"
)

func TestLogAnswers(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.images.Set("crash:v1", image.Behaviour{Crash: true})
	n.create(jobPod("job", "echo one; echo two; echo three"))
	n.create(podOf("api", "api:v1"))
	n.create(podOf("crash", "crash:v1", func(p *v1.Pod) { p.Spec.RestartPolicy = v1.RestartPolicyAlways }))
	n.awaitPhase("job", v1.PodSucceeded)
	n.awaitReady("api")
	n.await("crash", "in a crash loop", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
	})
	future := url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339))
	for _, tc := range []struct {
		path   string
		status int
		body   string // part of it; = marks the whole
	}{
		{"job/web", 200, "=one\ntwo\nthree\n"},
		{"job/web?follow=true", 200, "=one\ntwo\nthree\n"}, // ends with the container
		{"job/web?tailLines=2", 200, "=two\nthree\n"},
		{"job/web?tailLines=0", 200, "="},
		{"job/web?tailLines=99", 200, "=one\ntwo\nthree\n"},
		{"job/web?limitBytes=6", 200, "=one\ntw"},
		{"job/web?sinceSeconds=60", 200, "=one\ntwo\nthree\n"},
		{"job/web?sinceTime=" + future, 200, "="},
		{"job/web?timestamps=true&tailLines=1", 200, "Z three\n"},
		{"job/web?previous=true", 400, `previous terminated container "web" in pod "job" not found`},
		{"api/web?previous=true", 400, `previous terminated container "web" in pod "api" not found`},
		{"api/web", 200, `"msg":"listening"`},
		{"crash/web?previous=true", 200, `"exitCode":1`},
		{"crash/web", 200, `"msg":"starting"`},
		{"api/nope", 404, `container "nope" not found in pod "default/api"`},
		{"nope/web", 404, `pod "default/nope" not found`},
		{"job/web?tailLines=-1", 400, "tailLines"},
		{"job/web?follow=perhaps", 400, "follow"},
		{"job/web?limitBytes=0", 400, "limitBytes"},
		{"job/web?sinceTime=yesterday", 400, "sinceTime"},
		{"job/web?sinceSeconds=1&sinceTime=" + future, 400, "want one of them"},
	} {
		response := get(t, n.kubelet, n.url+"/containerLogs/default/"+tc.path)
		whole, exact := strings.CutPrefix(tc.body, "=")
		if response.status != tc.status || exact && response.body != whole || !exact && !strings.Contains(response.body, tc.body) {
			t.Errorf("%s: %d %q, want %d %q", tc.path, response.status, response.body, tc.status, tc.body)
		}
	}
}

func TestLogFollows(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/containerLogs/default/api/web?follow=true&tailLines=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := n.kubelet.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	get(t, n.podClient(), "http://198.18.1.0:3000/first") // each line comes before the next request is sent
	if !lines.Scan() || !strings.Contains(lines.Text(), `"path":"/first"`) || !json.Valid(lines.Bytes()) {
		t.Errorf("followed %q, %v", lines.Text(), lines.Err())
	}
	get(t, n.podClient(), "http://198.18.1.0:3000/second")
	if !lines.Scan() || !strings.Contains(lines.Text(), `"path":"/second"`) {
		t.Errorf("followed %q, %v", lines.Text(), lines.Err())
	}
	n.beginDeletion("api", 30)
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	if err := lines.Err(); err != nil || !strings.Contains(last, `"msg":"stopped"`) {
		t.Errorf("the stream ended with %q, %v", last, err)
	}
}

func TestKubeletServesLogsOnly(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(podOf("api", "api:v1"))
	n.awaitReady("api")
	response := get(t, n.kubelet, n.url+"/exec/default/api/web")
	if response.status != http.StatusNotFound {
		t.Errorf("/exec: %d", response.status)
	}
}
