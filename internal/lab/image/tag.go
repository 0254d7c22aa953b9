package image

import "strings"

// Tag is the version that an image reference names: its tag, "v2" of "ghcr.io:443/teei/api:v2@sha256:…", or "latest" where
// there is none; of an image that is pinned by digest alone, the digest.
func Tag(reference string) string {
	name, digest, pinned := strings.Cut(reference, "@")
	// A colon before the last slash belongs to the registry's port.
	last := name[strings.LastIndex(name, "/")+1:]
	if _, tag, found := strings.Cut(last, ":"); found && tag != "" {
		return tag
	}
	if pinned {
		return digest
	}
	return "latest"
}
