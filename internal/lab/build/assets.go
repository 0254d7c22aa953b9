package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// assetsKey names the environment variable with a folder of binaries to use instead of building.
const assetsKey = "TIDEGATE_LAB_ASSETS"

// provided returns the components, of those named, that the user has: name → absolute path.
func (o Options) provided(names []string) (map[string]string, error) {
	found := map[string]string{}
	if o.Assets != "" {
		if info, err := os.Stat(o.Assets); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s: %s is no folder of binaries", assetsKey, o.Assets)
		}
	}
	for _, name := range names {
		dirs := []string{o.Assets}
		if slices.Contains([]string{etcd, apiServer, kubectl}, name) {
			dirs = append(dirs, o.Kubebuilder)
		}
		path, err := findExecutable(dirs, name)
		if err != nil {
			return nil, err
		}
		if path != "" {
			found[name] = path
		}
	}
	return found, nil
}

// findExecutable returns "" if no folder has the file. One that is there but cannot be run is an error: to build it
// instead would hide a mistake.
func findExecutable(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		path, err := filepath.Abs(filepath.Join(dir, name)) // components run in folders of their own
		if err != nil {
			return "", fmt.Errorf("provided %s: %w", name, err)
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", fmt.Errorf("provided %s: %w", name, err)
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
			return "", fmt.Errorf("provided %s: %s is not executable", name, path)
		}
		return path, nil
	}
	return "", nil
}
