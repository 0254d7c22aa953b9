package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// folder is where a process lives: made for it, and gone with it.
type folder struct {
	path string
	// short is another path to the same folder, at most 30 bytes long where there is a /proc. A browser puts a socket
	// some 60 bytes below its temporary folder, and the path of a socket ends at 107 bytes: a folder below a lab's
	// state folder is too deep for it.
	short string
	open  *os.File
}

func newFolder(parent string) (*folder, error) {
	path, err := os.MkdirTemp(parent, "job-")
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, short: path}
	if f.open, err = os.Open(path); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	if short := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.open.Fd()); isDir(short) {
		f.short = short
	}
	return f, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// environ names the folder in all the ways in which a program asks where it may write: a browser wants every one.
func (f *folder) environ() []string {
	return []string{
		"HOME=" + f.path, "TMPDIR=" + f.short,
		"XDG_CONFIG_HOME=" + filepath.Join(f.path, ".config"), "XDG_CACHE_HOME=" + filepath.Join(f.path, ".cache"),
	}
}

func (f *folder) remove() error {
	return errors.Join(f.open.Close(), os.RemoveAll(f.path))
}
