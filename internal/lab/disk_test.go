//go:build lab

package lab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tidegate.io/tidegate/internal/lab"
)

const mega = 1 << 20

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a full disk is tried on a small one of its own, which only root may mount: run this test as root")
	}
	for _, c := range []struct {
		name string
		size int    // of the disk, in MB
		fill int    // how much of it is taken while the lab starts, in MB
		want string // in the error
	}{
		{"seen before anything starts", 20, 0, "disk is full"},
		{"too small for etcd", 220, 200, syscall.ENOSPC.Error()},
		{"not a byte free", 220, 220, syscall.ENOSPC.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := mount(t, c.size)
			o := empty(t)
			o.Dir = filepath.Join(disk, "lab")
			// The first that is heard of a start is of its components, when no file of the lab is there yet.
			fill := sync.OnceValue(func() error { return take(filepath.Join(disk, "taken"), c.fill) })
			o.Progress = func(lab.Event) {
				if err := fill(); err != nil {
					t.Error(err)
				}
			}
			l, err := lab.Start(within(t, upWithin, "the start fails"), o)
			if err == nil {
				stop(t, l)
				t.Fatal("a lab started on a full disk")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
			if err := errors.Join(inside(o.Dir), absent(o.Dir)); err != nil {
				t.Error(err)
			}
			t.Logf("it says: %v", err)
		})
	}
}

// mount makes a disk of some MB, and takes it away with the test.
func mount(t *testing.T, size int) string {
	t.Helper()
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", size), "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk, although root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("%s stays until somebody calls umount: %v: %s", disk, err, out)
		}
	})
	return disk
}

// take writes a file of some MB, or as much of it as there is room for.
func take(path string, size int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	for written := 0; written < size*mega; written += len(page) {
		if _, err := f.Write(page); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				return nil
			}
			return err
		}
	}
	return nil
}
