package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"

	"tidegate.io/tidegate/internal/lab/proc"
)

// ownCommand is the name under which manifests call Tidegate's executable.
const ownCommand = "tidegate"

// outputGrace is how long the rest of a dead process's output may take: its group is dead too, so that only a
// process that left the group can still hold the pipe.
const outputGrace = time.Second

// process is a container of Tidegate's own image: its command runs as a real process, in a process group and a
// folder of its own. Volumes are not mounted and ports are not mapped.
type process struct {
	pod  *pod
	spec *v1.Container
	path string // Tidegate's executable
}

func (p process) run(ctx context.Context, l *life) exit {
	environ, vars, err := p.environ(ctx)
	if err != nil {
		return exit{unstarted: "CreateContainerConfigError", message: err.Error()}
	}
	dir, err := newFolder(p.pod.node.cfg.Scratch)
	if err != nil {
		return exit{unstarted: "CreateContainerError", message: err.Error()}
	}
	defer func() {
		if err := dir.remove(); err != nil {
			p.pod.log.Warn("remove the folder of a process", "folder", string(dir), "error", err)
		}
	}()
	argv := p.argv(vars)
	own := append(dir.environ(), "PATH="+os.Getenv("PATH"))
	return p.supervise(ctx, l, proc.Spec{
		Name: argv[0], Path: argv[0], Args: argv[1:], Dir: string(dir), Env: append(own, environ...),
	})
}

// argv is the image's entrypoint, as the manifest overrides it.
func (p process) argv(vars map[string]string) []string {
	var argv []string
	for _, word := range p.spec.Command {
		argv = append(argv, expand(word, vars))
	}
	if len(argv) == 0 {
		argv = []string{p.path}
	} else if filepath.Base(argv[0]) == ownCommand {
		argv[0] = p.path
	}
	for _, word := range p.spec.Args {
		argv = append(argv, expand(word, vars))
	}
	return argv
}

// supervise starts a process and returns once it, its group and its output have ended.
func (p process) supervise(ctx context.Context, l *life, spec proc.Spec) exit {
	output, input, err := os.Pipe()
	if err != nil {
		return exit{unstarted: "CreateContainerError", message: err.Error()}
	}
	defer output.Close()
	spec.Output = input
	var child *proc.Process
	if spec.Path, err = exec.LookPath(spec.Path); err == nil {
		child, err = p.pod.node.launcher.Start(spec)
	}
	_ = input.Close() // the child has its own
	l.up(nil)
	if err != nil {
		fmt.Fprintln(l.log, err)
		return exit{code: codeCannotStart, reason: "StartError", message: err.Error()}
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(l.log, output)
	}()
	await(ctx, l, child)
	_ = output.SetReadDeadline(time.Now().Add(outputGrace))
	<-copied
	return processExit(child.Err())
}

// await passes on what is asked of the process, and returns when it is reaped and its group is dead.
func await(ctx context.Context, l *life, child *proc.Process) {
	select {
	case <-child.Done():
		return
	case <-l.term:
		_ = child.Signal(syscall.SIGTERM)
	case <-l.unhealthy:
		_ = child.Signal(syscall.SIGTERM)
	case <-ctx.Done():
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		_ = child.Stop(ctx) // ctx has ended: this kills
		<-child.Done()
	}
}

func processExit(err error) exit {
	if err == nil {
		return exit{}
	}
	var status *exec.ExitError
	if !errors.As(err, &status) {
		return exit{code: codeCannotStart, message: err.Error()}
	}
	if wait, ok := status.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return exit{code: 128 + int32(wait.Signal()), message: "ended by signal: " + wait.Signal().String()}
	}
	return exit{code: int32(status.ExitCode())}
}
