package rollouts

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestContainer(t *testing.T) {
	pod := func(images ...string) corev1.PodSpec {
		var spec corev1.PodSpec
		for i, image := range images {
			spec.Containers = append(spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: image})
		}
		return spec
	}
	tests := []struct {
		name  string
		pod   corev1.PodSpec
		image string
		want  string // container, or part of the error
	}{
		{"the only one, even from another registry", pod("old.example/app:v1"), "new.example/app:v2", "a"},
		{"by repository", pod("envoy:v3", "ghcr.io/org/app:v1"), "ghcr.io/org/app:v2", "b"},
		{"a registry's port is no tag", pod("envoy:v3", "localhost:5000/app"), "localhost:5000/app:v2", "b"},
		{"by digest", pod("envoy:v3", "ghcr.io/org/app@sha256:aa"), "ghcr.io/org/app:v2", "b"},
		{"none fits", pod("envoy:v3", "app:v1"), "other:v2", "fits 0 of the containers a, b"},
		{"two fit", pod("app:v1", "app:v1"), "app:v2", "fits 2 of the containers a, b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := container(test.pod, test.image)
			if err != nil {
				got = err.Error()
			}
			if got != test.want && !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
