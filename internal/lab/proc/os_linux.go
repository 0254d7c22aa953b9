package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns once the child is a zombie, which it leaves in place.
func awaitExit(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// identify says when the process started and what it runs. The path of one that is ending is "": the kernel has taken its
// memory, but it may still hold its files and the locks on them.
func identify(pid int) (started, path string, err error) {
	// Ticks count from the boot, so those of another boot mean nothing.
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", "", err
	}
	path, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	// Read second, so that the end of a process between the two is seen.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	ticks, ended, err := parseStat(stat)
	if err != nil {
		return "", "", fmt.Errorf("pid %d: %w", pid, err)
	}
	if ended {
		return "", "", fmt.Errorf("pid %d has ended", pid)
	}
	// A file that was since removed or replaced is still the one that was started.
	return string(bytes.TrimSpace(boot)) + "/" + ticks, strings.TrimSuffix(path, " (deleted)"), nil
}

// parseStat returns from /proc/PID/stat when the process started, in ticks, and whether it has ended: it is a zombie, and so
// is its last thread. Field 2, the program's name, may hold blanks and brackets.
func parseStat(stat []byte) (ticks string, ended bool, err error) {
	const state, threads, started = 0, 17, 19 // fields 3, 20 and 22: the first two are cut off
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) <= started {
		return "", false, fmt.Errorf("unreadable stat %q", stat)
	}
	ended = strings.Contains("ZX", fields[state]) && (fields[threads] == "1" || fields[threads] == "0")
	return fields[started], ended, nil
}
