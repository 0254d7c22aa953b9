package k8s_test

import (
	"slices"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobGates are the metrics that a Job measures: its image, and what it runs, by default.
func jobGates() map[string][]string {
	const image = "ghcr.io/henrigkroine/tidegate:v0.1.0"
	const service = "http://its-service.its-namespace.svc.cluster.local:3000"
	const preview = "http://its-preview.its-namespace.svc.cluster.local:3000"
	return map[string][]string{
		"smoke-test":  {image, "tidegate", "probe", "smoke", service, "--endpoint=/readyz,/healthz,/"},
		"genai-smoke": {image, "tidegate", "probe", "genai", service, "--model=default", "--max-first-token=2s", "--max-tokens=512"},
		"visual-regression": {"ghcr.io/henrigkroine/tidegate-chromium:v0.1.0",
			"tidegate", "probe", "visual", service, preview, "--path=/", "--mask=", "--max-diff=0.1"},
	}
}

// A Job is one run whose exit code is the verdict.
func TestJobGates(t *testing.T) {
	eachMetric(t, func(t *testing.T, u use, m rollouts.Metric) {
		if m.Provider.Job == nil {
			return
		}
		if m.SuccessCondition != "" || m.FailureCondition != "" {
			t.Errorf("%s: Argo ignores the conditions of a Job", m.Name)
		}
		if m.Count != nil || m.Interval != "" {
			t.Errorf("%s: count %v, interval %q: once is enough", m.Name, m.Count, m.Interval)
		}
		if m.FailureLimit == nil || intOf(m.FailureLimit) != 0 || intOf(m.InconclusiveLimit) != 0 {
			t.Errorf("%s: failureLimit %v, inconclusiveLimit %v", m.Name, m.FailureLimit, m.InconclusiveLimit)
		}
		checkJob(t, m.Provider.Job.Spec)
		checkPod(t, m.Provider.Job.Spec.Template)
		if c := m.Provider.Job.Spec.Template.Spec.Containers[0]; u.rollout == "" {
			if diff := cmp.Diff(jobGates()[m.Name], slices.Concat([]string{c.Image}, c.Command, c.Args)); diff != "" {
				t.Errorf("%s runs (-want +got):\n%s", m.Name, diff)
			}
		}
	})
}

func checkJob(t *testing.T, job batchv1.JobSpec) {
	t.Helper()
	if job.BackoffLimit == nil || *job.BackoffLimit != 0 || job.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("a failed test is tried again: backoffLimit %v, %s", value(job.BackoffLimit), job.Template.Spec.RestartPolicy)
	}
	if d := job.ActiveDeadlineSeconds; d == nil || *d < 60 || *d > 600 {
		t.Errorf("activeDeadlineSeconds: %v", value(d))
	}
	if job.TTLSecondsAfterFinished != nil {
		t.Error("the Job may be gone before Argo has read its verdict: ttlSecondsAfterFinished")
	}
}

func checkPod(t *testing.T, pod corev1.PodTemplateSpec) {
	t.Helper()
	checkHardened(t, pod.Spec)
	if u := pod.Spec.SecurityContext.RunAsUser; u == nil || *u != 10001 {
		t.Errorf("runs as user %v", value(u))
	}
	if a := pod.Spec.AutomountServiceAccountToken; a == nil || *a {
		t.Error("the pod carries a token for the API server")
	}
	if pod.Labels["app"] != "" {
		t.Errorf("a Service may send users to the test: app=%s", pod.Labels["app"])
	}
	if len(pod.Annotations) > 0 {
		t.Errorf("annotations %v", pod.Annotations)
	}
	if pod.Labels["sidecar.istio.io/inject"] != "false" {
		t.Error("with a sidecar that keeps running the Job is never complete")
	}
	if len(pod.Spec.Containers) != 1 || strings.HasSuffix(pod.Spec.Containers[0].Image, ":latest") {
		t.Errorf("containers: %v", pod.Spec.Containers)
	}
	want := []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}
	if diff := cmp.Diff(want, pod.Spec.Containers[0].VolumeMounts); diff != "" {
		t.Errorf("writable (-want +got):\n%s", diff)
	}
}
