package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	tempPrefix = "tmp-"
	// unusedFor is how long an entry that nobody asks for is kept: every new Go or pin makes half a gigabyte of new
	// ones, while a branch with older pins may be returned to.
	unusedFor = 30 * 24 * time.Hour
)

// cache is a folder with one entry, KEY/{manifest.json,bin/}, for each step that was built.
type cache struct{ dir string }

func openCache(dir string) (cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return cache{}, fmt.Errorf("component cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cache{}, fmt.Errorf("component cache: %w", err)
	}
	return cache{dir}, nil
}

// look returns name → path of the step's binaries, or why they cannot be used.
func (c cache) look(s Step) (map[string]string, error) {
	entry := filepath.Join(c.dir, s.Key)
	m, err := readManifest(entry)
	if err != nil {
		return nil, err
	}
	if err := m.verify(entry, s); err != nil {
		return nil, err
	}
	now := time.Now()
	// The mark for sweep. Where it cannot be set, in a cache that is read-only, nobody sweeps either.
	_ = os.Chtimes(filepath.Join(entry, manifestName), now, now)
	return c.paths(s), nil
}

// temp returns a new folder for a build. Only who holds the lock may ask for one.
func (c cache) temp() (string, error) { return os.MkdirTemp(c.dir, tempPrefix) }

// put moves what was built into its place, once it is safely on disk.
func (c cache) put(s Step, entry string) (map[string]string, error) {
	if err := writeManifest(entry, s); err != nil {
		return nil, err
	}
	for _, path := range []string{filepath.Join(entry, "bin"), entry} {
		if err := syncPath(path); err != nil {
			return nil, err
		}
	}
	// One that is in the way failed its verification.
	if err := os.RemoveAll(filepath.Join(c.dir, s.Key)); err != nil {
		return nil, err
	}
	if err := os.Rename(entry, filepath.Join(c.dir, s.Key)); err != nil {
		return nil, err
	}
	return c.paths(s), syncPath(c.dir)
}

func (c cache) paths(s Step) map[string]string {
	paths := map[string]string{}
	for _, name := range s.Components {
		paths[name] = filepath.Join(c.dir, s.Key, "bin", name)
	}
	return paths
}

// sweep removes what builds that were killed left behind, and entries out of use. The caller holds the lock, so no
// folder of a build has a build.
func (c cache) sweep(now time.Time) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("component cache: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		info, err := os.Stat(filepath.Join(path, manifestName))
		unused := err == nil && now.Sub(info.ModTime()) > unusedFor
		if strings.HasPrefix(e.Name(), tempPrefix) || unused {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("component cache: %w", err)
			}
		}
	}
	return nil
}

// lock waits, until ctx ends, for the right to build. It calls waiting first if another process has it. The kernel
// drops the lock with the process that holds it.
func (c cache) lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the component cache: %w", err)
	}
	err = flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		got := make(chan error)
		go func() {
			err := flock(file, syscall.LOCK_EX)
			select {
			case got <- err:
			case <-ctx.Done(): // flock cannot be called back: what nobody wants any more is let go
				_ = file.Close()
			}
		}()
		select {
		case err = <-got:
		case <-ctx.Done():
			return nil, fmt.Errorf("lock the component cache: %w", context.Cause(ctx))
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { file.Close() }, nil
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}
