//go:build lab

package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"tidegate.io/tidegate/test/rig"
)

// TestDashboardShowsAndChangesNothing runs Argo's dashboard as the account that dashboard.yaml gives it: what it shows
// takes every verb of its role, and each of its buttons is refused.
func TestDashboardShowsAndChangesNothing(t *testing.T) {
	if _, err := fleet.Shell(t.Context(), "cd ../..\nkubectl apply -f k8s/base/argo-rollouts/dashboard.yaml"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := fleet.Shell(t.Context(), "cd ../..\nkubectl delete -f k8s/base/argo-rollouts/dashboard.yaml"); err != nil {
			t.Error(err)
		}
	}()
	promoted(t, q2q, rig.NewImage(q2q)) // so that there is something to undo
	rec := newRecorder(t)
	dashboard := as(t, "argo-rollouts", "argo-rollouts-dashboard", rec)
	page := serve(t, dashboard)

	for _, look := range []string{"/rollouts/api/v1/namespace", "/rollouts/api/v1/rollouts/default/info", "/rollouts/api/v1/rollouts/default/" + q2q + "/info"} {
		if code, text := page(http.MethodGet, look, ""); code != http.StatusOK || !strings.Contains(text, "default") {
			t.Errorf("GET %s: %d %s", look, code, text)
		}
	}
	for _, stream := range []string{"/rollouts/api/v1/rollouts/default/info/watch", "/rollouts/api/v1/rollouts/default/" + q2q + "/info/watch"} {
		if code, text := page("watch", stream, ""); code != http.StatusOK || !strings.Contains(text, "default") {
			t.Errorf("GET %s: %d %s", stream, code, text)
		}
	}
	rec.check(t, dashboard.granted(t))

	before, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	for _, button := range []string{"promote", "abort", "retry", "restart", "undo/1", "set/q2q-ai/image/v0"} {
		code, text := page(http.MethodPut, "/rollouts/api/v1/rollouts/default/"+q2q+"/"+button, "{}")
		if code == http.StatusOK || !strings.Contains(text, "forbidden") {
			t.Errorf("%s: %d %s", button, code, text)
		}
	}
	after, err := fleet.Get(t.Context(), region, rig.RolloutsGVR, q2q)
	if err != nil {
		t.Fatal(err)
	}
	if before.GetGeneration() != after.GetGeneration() || rig.Str(after, "status", "phase") != "Healthy" {
		t.Errorf("a button worked: generation %d to %d, now %s", before.GetGeneration(), after.GetGeneration(), rig.Str(after, "status", "phase"))
	}
}

// serve runs the dashboard until the test ends. The answer makes a request of it; "watch" reads the beginning of a stream,
// and leaves it open.
func serve(t *testing.T, who account) func(method, path, body string) (int, string) {
	t.Helper()
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().(*net.TCPAddr)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), fleet.Lab.Binaries().KubectlArgo, "dashboard", "--address=127.0.0.1", fmt.Sprintf("--port=%d", address.Port))
	cmd.Env = append(fleet.Env(), "KUBECONFIG="+who.kubeconfig)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the context ends it
	client := &http.Client{Timeout: 20 * time.Second}
	ask := func(ctx context.Context, method, path, body string) (int, string, error) {
		stream := method == "watch"
		if stream {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+address.String()+path, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		if stream {
			t.Cleanup(func() { _ = resp.Body.Close() })
			first := make([]byte, 4096)
			n, err := io.ReadAtLeast(resp.Body, first, 200)
			return resp.StatusCode, string(first[:n]), err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
	up, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("the dashboard did not answer within 20 s"))
	defer cancel()
	// There is nothing to watch. It answers 503 for a second: the half of it that speaks HTTP looks for the other too early.
	err = wait.PollUntilContextCancel(up, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		code, _, err := ask(ctx, http.MethodGet, "/rollouts/api/v1/version", "")
		return err == nil && code == http.StatusOK, nil
	})
	if err != nil {
		t.Fatal(context.Cause(up))
	}
	return func(method, path, body string) (int, string) {
		t.Helper()
		code, text, err := ask(t.Context(), method, path, body)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return code, text
	}
}
