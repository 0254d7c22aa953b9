package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// errHeld says that a supervisor, or somebody about to start one, holds the lock.
var errHeld = errors.New("the lab is locked")

// signature is what a lab writes into its lock, so that no other file of that name is ever taken for one: the files beside
// a lock are swept without a question.
const signature = "tidegate lab\n"

// foreignError says that the folder has files by the names of a lab's own that are somebody else's. It is one without a lab.
type foreignError struct{ dir string }

func (e foreignError) Error() string {
	return fmt.Sprintf("%s has files of somebody else's by the names of a lab's own: name another folder", e.dir)
}

func (e foreignError) Is(target error) bool { return target == fs.ErrNotExist }

// sign makes sure that a lock that is held is a lab's, and makes it one where nothing speaks against it.
func sign(f *os.File, dir string, create bool) error {
	content, err := io.ReadAll(io.LimitReader(f, int64(len(signature))+1))
	switch {
	case err != nil:
		return fmt.Errorf("lock of the lab: %w", err)
	case string(content) == signature:
		return nil
	case len(content) > 0 || slices.ContainsFunc(ownFiles(), func(name string) bool { return name != lockFile && exists(filepath.Join(dir, name)) }):
		return foreignError{dir}
	case !create:
		return nil // cut short before it was signed: there is nothing beside it
	}
	if _, err := f.WriteString(signature); err != nil {
		return fmt.Errorf("lock of the lab: %w", err)
	}
	return nil
}

// unmake takes away a lock that was made a moment ago and could not be signed, and with it a folder that has nothing else.
func unmake(name string, why error) error {
	if errors.As(why, new(foreignError)) {
		return os.Remove(name)
	}
	return remove(filepath.Dir(name))
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

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
	name := filepath.Join(dir, lockFile)
	for {
		_, missing := os.Lstat(name)
		f, err := os.OpenFile(name, flags, 0o600)
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
			if there, err = os.Stat(name); err == nil && os.SameFile(mine, there) {
				if err = sign(f, dir, create); err == nil {
					return f, nil
				}
				if errors.Is(missing, fs.ErrNotExist) {
					err = errors.Join(err, unmake(name, err))
				}
				_ = f.Close()
				return nil, err
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
