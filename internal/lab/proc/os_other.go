//go:build unix && !linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lookWithin bounds a call of ps, which answers in milliseconds unless the machine is stuck.
const lookWithin = 5 * time.Second

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// awaitExit returns once the child has exited, and leaves it to be reaped.
func awaitExit(pid int) error {
	queue, err := unix.Kqueue()
	if err != nil {
		return err
	}
	defer unix.Close(queue)
	unix.CloseOnExec(queue)
	var exit unix.Kevent_t
	unix.SetKevent(&exit, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	exit.Fflags = unix.NOTE_EXIT
	for {
		_, err := unix.Kevent(queue, []unix.Kevent_t{exit}, make([]unix.Kevent_t, 1), nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ESRCH): // it exited before it could be watched
			return nil
		default:
			return err
		}
	}
}

// identify says when the process started, to the second, and what it runs.
func identify(pid int) (started, path string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	ps := exec.CommandContext(ctx, "/bin/ps", "-o", "lstart=,comm=", "-p", strconv.Itoa(pid))
	ps.Env = []string{"LC_ALL=C", "TZ=UTC"} // a record must mean the same to the next run, wherever that is started
	out, err := ps.Output()
	if err != nil {
		return "", "", fmt.Errorf("ps -p %d: %w", pid, err)
	}
	line := strings.TrimSpace(string(out))
	if len(line) <= len(time.ANSIC) {
		return "", "", fmt.Errorf("ps -p %d: unreadable answer %q", pid, line)
	}
	return line[:len(time.ANSIC)], strings.TrimSpace(line[len(time.ANSIC):]), nil
}
