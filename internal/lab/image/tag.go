package image

import "strings"

// Tag returns the tag of an image reference: "v2" of "ghcr.io:443/teei/api:v2@sha256:…", "latest" where there is none.
func Tag(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	// A colon before the last slash belongs to the registry's port.
	last := name[strings.LastIndex(name, "/")+1:]
	if _, tag, found := strings.Cut(last, ":"); found && tag != "" {
		return tag
	}
	return "latest"
}
