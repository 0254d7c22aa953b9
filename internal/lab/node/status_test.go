package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusOf makes a container's status of a word: new, run, ready, backoff, or an exit code.
func statusOf(word string) v1.ContainerStatus {
	s := v1.ContainerStatus{Name: "c-" + word, ContainerID: "id", Started: new(false)}
	switch word {
	case "new":
		s.ContainerID, s.State.Waiting = "", &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case "run":
		s.State.Running = &v1.ContainerStateRunning{}
	case "ready":
		s.State.Running, s.Ready, s.Started = &v1.ContainerStateRunning{}, true, new(true)
	case "backoff":
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}
	default:
		s.State.Terminated = &v1.ContainerStateTerminated{}
		if _, err := fmt.Sscan(word, &s.State.Terminated.ExitCode); err != nil {
			panic(err)
		}
	}
	return s
}

func TestPodStatus(t *testing.T) {
	for _, tc := range []struct {
		inits, mains string // words; ~ marks a sidecar
		phase        v1.PodPhase
		initialized  v1.ConditionStatus
		ready        string // status and reason
	}{
		{"", "new", v1.PodPending, v1.ConditionTrue, "False ContainersNotReady"},
		{"", "run", v1.PodRunning, v1.ConditionTrue, "False ContainersNotReady"},
		{"", "ready", v1.PodRunning, v1.ConditionTrue, "True "},
		{"", "ready run", v1.PodRunning, v1.ConditionTrue, "False ContainersNotReady"},
		{"", "ready new", v1.PodPending, v1.ConditionTrue, "False ContainersNotReady"},
		{"", "backoff", v1.PodRunning, v1.ConditionTrue, "False ContainersNotReady"},
		{"", "0", v1.PodSucceeded, v1.ConditionTrue, "False PodCompleted"},
		{"", "0 0", v1.PodSucceeded, v1.ConditionTrue, "False PodCompleted"},
		{"", "0 3", v1.PodFailed, v1.ConditionTrue, "False PodFailed"},
		{"", "3 0", v1.PodFailed, v1.ConditionTrue, "False PodFailed"},
		{"", "0 ready", v1.PodRunning, v1.ConditionTrue, "False ContainersNotReady"},
		{"run", "new", v1.PodPending, v1.ConditionFalse, "False ContainersNotReady"},
		{"backoff", "new", v1.PodPending, v1.ConditionFalse, "False ContainersNotReady"},
		{"1", "new", v1.PodFailed, v1.ConditionFalse, "False PodFailed"},
		{"0", "ready", v1.PodRunning, v1.ConditionTrue, "True "},
		{"~ready", "ready", v1.PodRunning, v1.ConditionTrue, "True "},
		{"~run", "new", v1.PodPending, v1.ConditionFalse, "False ContainersNotReady"},
		{"~backoff", "ready", v1.PodRunning, v1.ConditionTrue, "False ContainersNotReady"},
		{"~143", "0", v1.PodSucceeded, v1.ConditionTrue, "False PodCompleted"},
	} {
		t.Run(tc.inits+"/"+tc.mains, func(t *testing.T) {
			v := view{spec: &v1.PodSpec{}, ip: "198.18.1.0"}
			for _, word := range strings.Fields(tc.inits) {
				word, sidecar := strings.CutPrefix(word, "~")
				c := v1.Container{}
				if sidecar {
					c.RestartPolicy = new(v1.ContainerRestartPolicyAlways)
				}
				v.spec.InitContainers = append(v.spec.InitContainers, c)
				v.inits = append(v.inits, statusOf(word))
			}
			for _, word := range strings.Fields(tc.mains) {
				v.mains = append(v.mains, statusOf(word))
			}
			status := podStatus(v)
			pod := &v1.Pod{Status: status}
			if status.Phase != tc.phase {
				t.Errorf("phase %s, want %s", status.Phase, tc.phase)
			}
			if got := conditionOf(pod, v1.PodInitialized); got != tc.initialized {
				t.Errorf("Initialized is %s, want %s", got, tc.initialized)
			}
			for _, kind := range []v1.PodConditionType{v1.ContainersReady, v1.PodReady} {
				for _, c := range status.Conditions {
					if got := string(c.Status) + " " + c.Reason; c.Type == kind && got != tc.ready {
						t.Errorf("%s is %q, want %q", kind, got, tc.ready)
					}
				}
			}
			if conditionOf(pod, v1.PodScheduled) != v1.ConditionTrue || status.PodIP != "198.18.1.0" || status.HostIP != hostIP {
				t.Errorf("status %+v", status)
			}
		})
	}
}

func TestTransitionTimes(t *testing.T) {
	before, now := metav1.NewTime(time.Unix(100, 0)), metav1.NewTime(time.Unix(200, 0))
	v := view{spec: &v1.PodSpec{}, mains: []v1.ContainerStatus{statusOf("run")}, now: before}
	v.before = podStatus(v).Conditions
	v.mains, v.now = []v1.ContainerStatus{statusOf("ready")}, now
	for _, c := range podStatus(v).Conditions {
		want := before
		if c.Type == v1.PodReady || c.Type == v1.ContainersReady {
			want = now
		}
		if !c.LastTransitionTime.Equal(&want) {
			t.Errorf("%s changed at %v, want %v", c.Type, c.LastTransitionTime, want)
		}
	}
}
