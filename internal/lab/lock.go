package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errHeld says that a supervisor, or somebody about to start one, holds the lock.
var errHeld = errors.New("the lab is locked")

// lock takes the lock of a state folder without waiting; the folder is made if create says so. The kernel drops the
// lock with the last process that has the file open, however that ends. Without create, a folder without a lab is
// fs.ErrNotExist.
func lock(dir string, create bool) (*os.File, error) {
	flags := os.O_RDWR
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state folder of the lab: %w", err)
		}
		flags |= os.O_CREATE
	}
	for {
		f, err := os.OpenFile(filepath.Join(dir, lockFile), flags, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock of the lab: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, errHeld
			}
			return nil, fmt.Errorf("lock of the lab: %w", err)
		}
		// A lab that ended between the two calls took its file away: the lock is then on a file that nobody else sees.
		mine, err := f.Stat()
		if err == nil {
			var there fs.FileInfo
			if there, err = os.Stat(filepath.Join(dir, lockFile)); err == nil && os.SameFile(mine, there) {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock of the lab: %w", err)
		}
		if create {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, fmt.Errorf("state folder of the lab: %w", err)
			}
		}
	}
}
