//go:build lab

package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/test/rig"
)

// demoTag is the demo's good version.
const demoTag = "v1.1.0"

// TestDemo runs what the README promises first, while the oracle looks on. The demo checks its own exit codes; what it says it
// did is held against what the regions saw: both services in all regions in order, 10 % where the route said 10 %, and no
// failed request on the way.
func TestDemo(t *testing.T) {
	fleet.Quiet(t)
	home := t.TempDir()
	demo := startDemo(t, home)

	demo.await("A good version of the canary service")
	theirs := fleet.Theirs(t, demoLab(t, home))
	img := demoImage(q2q)
	canary := theirs.NoneFailed(t, order, q2q)
	diary := watchRelease(t, theirs, q2q, img)
	share := shareAtTenPercent(t, theirs, "us-west", img)

	demo.awaitPassed(q2q)
	demo.await("A good version of the blue/green service")
	diary.inOrder(t)
	canary()
	rig.Everywhere(t, order, func(region string) error { return theirs.ServesOnly(t.Context(), region, q2q, img) })
	wantTenPercent(t, share)

	img = demoImage(gateway)
	blueGreen := theirs.NoneFailed(t, order, gateway)
	diary = watchRelease(t, theirs, gateway, img)

	demo.awaitPassed(gateway)
	demo.await("Now a bad one")
	diary.inOrder(t)
	blueGreen()
	rig.Everywhere(t, order, func(region string) error { return theirs.ServesOnly(t.Context(), region, gateway, img) })

	for _, want := range []string{
		"the bad version served", "teei-q2q-ai v1.2.0: rolled-back", "teei-api-gateway: rolled-back", "no file is left",
	} {
		demo.await(want)
	}
	demo.end()
	if left, err := filepath.Glob(filepath.Join(home, "*")); err != nil || len(left) > 0 {
		t.Errorf("the demo left %v (%v)", left, err)
	}
}

func demoImage(service string) string { return "ghcr.io/henrigkroine/" + service + ":" + demoTag }

// demoLab is the state folder of the demo's lab.
func demoLab(t *testing.T, home string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(home, "tidegate-demo-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the demo's folder is not the only one in %s: %v (%v)", home, found, err)
	}
	return found[0]
}

// demo is a run of `tidegate demo`, read as it goes.
type demo struct {
	t     *testing.T
	lines *bufio.Scanner
	said  strings.Builder
	ended chan struct{}
	err   error // of its end
}

// startDemo starts the demo with home for its temporary files. It is interrupted when the test ends.
func startDemo(t *testing.T, home string) *demo {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 12*time.Minute, errors.New("the demo did not end within 12 minutes"))
	cmd := exec.CommandContext(ctx, fleet.Binary, "demo")
	cmd.Env = append(fleet.Env(), "TMPDIR="+home)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has a lab to take down
	cmd.WaitDelay = time.Minute
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	d := &demo{t: t, lines: bufio.NewScanner(out), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = cmd.Wait()
		close(d.ended)
		_ = in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		_ = out.Close() // nobody reads what it says from here on
		<-d.ended
	})
	return d
}

// awaitPassed reads the result of a good release: every region passed, in order, and the whole is complete.
func (d *demo) awaitPassed(service string) {
	d.t.Helper()
	for _, region := range order {
		d.await(region + " Passed v1.0.0 " + demoTag)
	}
	d.await(service + " " + demoTag + ": completed")
}

// await reads on until the demo has said something, however wide the columns are.
func (d *demo) await(what string) {
	d.t.Helper()
	for d.lines.Scan() {
		d.said.WriteString(d.lines.Text() + "\n")
		if strings.Contains(strings.Join(strings.Fields(d.lines.Text()), " "), what) {
			return
		}
	}
	<-d.ended
	d.t.Fatalf("the demo ended before it said %q: %v\n%s", what, d.err, d.said.String())
}

// end waits for the demo, which must end well.
func (d *demo) end() {
	d.t.Helper()
	for d.lines.Scan() {
	}
	if <-d.ended; d.err != nil {
		d.t.Fatalf("the demo: %v\n%s", d.err, d.said.String())
	}
}
