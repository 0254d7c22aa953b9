package proc

import (
	"bytes"
	"fmt"
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

// identify says when the process started and what it runs.
func identify(pid int) (started, path string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	ticks, err := startTicks(stat)
	if err != nil {
		return "", "", fmt.Errorf("pid %d: %w", pid, err)
	}
	// Ticks count from the boot, so those of another boot mean nothing.
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", "", err
	}
	path, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // fails for a zombie, as it should
	if err != nil {
		return "", "", err
	}
	// A file that was since removed or replaced is still the one that was started.
	return string(bytes.TrimSpace(boot)) + "/" + ticks, strings.TrimSuffix(path, " (deleted)"), nil
}

// startTicks returns field 22 of /proc/PID/stat. Field 2, the program's name, may hold blanks and brackets.
func startTicks(stat []byte) (string, error) {
	const fromThird = 22 - 3
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) <= fromThird {
		return "", fmt.Errorf("unreadable stat %q", stat)
	}
	return string(fields[fromThird]), nil
}
