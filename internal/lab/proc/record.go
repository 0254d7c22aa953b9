package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Record names one process for good: a pid alone is given to another process sooner or later.
type Record struct {
	PID     int    `json:"pid"`
	Started string `json:"started"` // when it started, in the system's own terms; only good for comparing
	Path    string `json:"path"`    // executable, as the system names it
}

// Self returns the record of the process that asks.
func Self() Record { return recordOf(os.Getpid()) }

// recordOf returns the record of a process that runs. Of one that does not, the record is never Ours.
func recordOf(pid int) Record {
	started, path, err := identify(pid)
	if err != nil {
		return Record{PID: pid}
	}
	return Record{PID: pid, Started: started, Path: path}
}

// Ours reports whether the process still runs, and is the one that was recorded rather than a later one with its pid. One
// that is ending still runs until its files are closed.
func (r Record) Ours() bool {
	if r.PID <= 1 || r.Started == "" || r.Path == "" {
		return false
	}
	started, path, err := identify(r.PID)
	return err == nil && started == r.Started && (path == r.Path || path == "")
}

// Kill kills the process if it is Ours, and returns once the kernel has taken the signal. One that is gone, and a
// stranger with its pid, are left alone; that is no error.
func (r Record) Kill() error {
	if !r.Ours() {
		return nil // and keeps FindProcess, which takes a pid below 0 for a group, from bad records
	}
	// Found first, looked at again second: on Linux what was found is a pidfd, which never becomes another process.
	found, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("kill pid %d: %w", r.PID, err)
	}
	defer func() { _ = found.Release() }()
	if !r.Ours() {
		return nil
	}
	err = found.Signal(syscall.SIGKILL)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill pid %d (%s): %w", r.PID, r.Path, err)
	}
	return nil
}
