package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// regionSpace is what a region takes on disk: most of it is etcd's log, which is laid out in full at the start.
const regionSpace = 160 << 20

// checkSpace says so where a lab of some regions would fill the disk: etcd's own words for it are hard to understand.
func checkSpace(dir string, regions int) error {
	var disk unix.Statfs_t
	err := unix.Statfs(dir, &disk)
	for at := dir; errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at); { // the folder is made later
		at = filepath.Dir(at)
		err = unix.Statfs(at, &disk)
	}
	if err != nil {
		return fmt.Errorf("disk of %s: %w", dir, err)
	}
	free, want := uint64(disk.Bavail)*uint64(disk.Bsize), uint64(regions)*regionSpace //nolint:unconvert // the type differs by system
	if free < want {
		return fmt.Errorf("the disk is full: %d region(s) take %d MB in %s, and %d MB are free", regions, want>>20, dir, free>>20)
	}
	return nil
}
