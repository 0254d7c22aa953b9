//go:build lab

package gates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"tidegate.io/tidegate/internal/promapi"
)

// fullWindows is for how long Prometheus must have scraped before the windows of the templates are full, in seconds.
const fullWindows = 8

// scrape starts a real Prometheus that scrapes the exporter each second, and returns its address once its windows are
// full. It ends with the test.
func scrape(t *testing.T, e *exporter) string {
	t.Helper()
	e.began = time.Now()
	app := httptest.NewServer(e)
	t.Cleanup(app.Close)
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\n"+
		"scrape_configs:\n- job_name: cases\n  honor_labels: true\n  static_configs: [{targets: [%q]}]\n", app.Listener.Addr())
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	address := closedPort(t)
	var log bytes.Buffer // read after Wait alone
	cmd := exec.Command(fleet.Lab.Binaries().Prometheus, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("Prometheus said:\n%s", log.String())
		}
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("Prometheus has scraped too little after a minute"))
	defer cancel()
	client := promapi.At("http://" + address)
	err := wait.PollUntilContextCancel(ctx, time.Second/4, true, func(ctx context.Context) (bool, error) {
		scrapes, err := client.Scalar(ctx, "count_over_time(up[1m])")
		return err == nil && scrapes >= fullWindows, nil // until it listens, asking is an error
	})
	if err != nil {
		t.Fatal(context.Cause(ctx))
	}
	return "http://" + address
}

// closedPort is a loopback address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
