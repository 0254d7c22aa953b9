package proc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of the tests, and the life of every helper: reached only when the code is wrong.
const patience = 20 * time.Second

// modeKey turns the test binary into one of the helpers below.
const modeKey = "PROC_TEST_MODE"

func TestMain(m *testing.M) {
	helpers := map[string]func(){
		"":         func() { os.Exit(m.Run()) },
		"print":    printSelf,
		"serve":    func() { serve(1, false) },
		"stubborn": func() { serve(2, false) },
		"deaf":     func() { serve(1<<30, false) },
		"family":   func() { serve(1<<30, true) },
		"parent":   parent,
		"large":    large,
	}
	helpers[os.Getenv(modeKey)]()
}

// printSelf writes what the process was given, and exits with code 3.
func printSelf() {
	dir, _ := os.Getwd()
	fmt.Printf("args %q\nenv %q\ndir %s\n", os.Args[1:], os.Environ(), dir)
	fmt.Fprintln(os.Stderr, "on stderr")
	os.Exit(3)
}

// serve says "ready" once it can be signalled, "alive" to SIGUSR1, "bye" and exits at SIGTERM number terms.
func serve(terms int, family bool) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	if family {
		child := exec.CommandContext(context.Background(), os.Args[0])
		child.Env, child.Stdout = []string{modeKey + "=deaf"}, os.Stdout
		if err := child.Start(); err != nil {
			panic(err)
		}
	}
	fmt.Println("ready")
	expired := time.After(patience)
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				fmt.Println("alive")
				continue
			}
			if terms--; terms == 0 {
				fmt.Println("bye")
				return
			}
		case <-expired:
			os.Exit(1)
		}
	}
}

// large serves with so much memory in use that its end takes the kernel a while.
func large() {
	memory := make([]byte, 256<<20)
	for i := 0; i < len(memory); i += os.Getpagesize() {
		memory[i] = 1
	}
	serve(1<<30, false)
	runtime.KeepAlive(memory)
}

// parent starts a deaf child that shares its stdout, and then lives until it is killed.
func parent() {
	l := NewLauncher()
	if _, err := l.Start(helper("deaf", os.Stdout)); err != nil {
		panic(err)
	}
	<-time.After(patience)
}

func helper(mode string, output *os.File) Spec {
	return Spec{Name: mode, Path: os.Args[0], Env: []string{modeKey + "=" + mode}, Output: output}
}

// output is a pipe that the test reads line by line. Its end of file tells that nobody who had it lives.
type output struct {
	*os.File // write end, until it is handed over
	readEnd  *os.File
	lines    *bufio.Reader
}

func newOutput(t *testing.T) *output {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	if err := read.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &output{write, read, bufio.NewReader(read)}
}

// handedOver closes the test's own write end, without which there is no end of file.
func (o *output) handedOver() { o.Close() }

func (o *output) want(t *testing.T, want string) {
	t.Helper()
	line, err := o.lines.ReadString('\n')
	if got := strings.TrimSpace(line); got != want || want != "" && err != nil {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

// wantEOF waits until everybody who held the write end is dead.
func (o *output) wantEOF(t *testing.T) {
	t.Helper()
	if rest, err := o.lines.ReadString(0); err == nil || err.Error() != "EOF" {
		t.Fatalf("somebody still holds the pipe: read %q, %v", rest, err)
	}
}

func newLauncher(t *testing.T) *Launcher {
	t.Helper()
	l := NewLauncher()
	t.Cleanup(l.Close)
	return l
}

// launch starts a helper and waits until it can be signalled.
func launch(t *testing.T, l *Launcher, mode string) (*Process, *output) {
	t.Helper()
	out := newOutput(t)
	p, err := l.Start(helper(mode, out.File))
	if err != nil {
		t.Fatal(err)
	}
	out.handedOver()
	if mode == "family" {
		out.want(t, "ready")
	}
	out.want(t, "ready")
	return p, out
}

func waitDone(t *testing.T, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("%s, pid %d, is not done", p.name, p.PID())
	}
}
