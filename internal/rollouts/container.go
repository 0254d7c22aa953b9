package rollouts

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// container names the one that image is meant for: the only one there is, or the only one from the same repository.
func container(pod corev1.PodSpec, image string) (string, error) {
	if len(pod.Containers) == 1 {
		return pod.Containers[0].Name, nil
	}
	var same, all []string
	for _, c := range pod.Containers {
		all = append(all, c.Name)
		if repository(c.Image) == repository(image) {
			same = append(same, c.Name)
		}
	}
	if len(same) != 1 {
		return "", fmt.Errorf("image %s fits %d of the containers %s: exactly one must come from the repository %s",
			image, len(same), strings.Join(all, ", "), repository(image))
	}
	return same[0], nil
}

// repository is an image without its tag and digest. A colon before the last slash is a registry's port.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		image = image[:i]
	}
	return image
}
