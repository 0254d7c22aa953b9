package node

import (
	"os"
	"path/filepath"
)

// here is another path to the folder that a process was started in, on systems that have it.
const here = "/proc/self/cwd"

// folder is where a process lives: made for it, and gone with it.
type folder string

func newFolder(parent string) (folder, error) {
	path, err := os.MkdirTemp(parent, "job-")
	return folder(path), err
}

// environ names the folder in all the ways in which a program asks where it may write: a browser wants every one.
//
// The temporary one has to be short. A browser puts a socket some 60 bytes below it, and the path of a socket ends at 107
// bytes: a folder below a lab's state folder is too deep for that.
func (f folder) environ() []string {
	short := here
	if _, err := os.Stat(here); err != nil {
		short = string(f)
	}
	return []string{
		"HOME=" + string(f), "TMPDIR=" + short,
		"XDG_CONFIG_HOME=" + filepath.Join(string(f), ".config"), "XDG_CACHE_HOME=" + filepath.Join(string(f), ".cache"),
	}
}

func (f folder) remove() error { return os.RemoveAll(string(f)) }
