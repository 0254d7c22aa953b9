package smoke

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

// service is a service with one of each.
func service(t *testing.T) *url.URL {
	t.Helper()
	var flaky, flakier atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok":true}`) })
	mux.HandleFunc("/created", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login?session=s3cret", http.StatusFound)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "s3cret trace", http.StatusInternalServerError)
	})
	mux.HandleFunc("/flaky", func(w http.ResponseWriter, _ *http.Request) {
		if flaky.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/flakier", func(_ http.ResponseWriter, _ *http.Request) {
		if flakier.Add(1) <= 2 {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "first")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(60 * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "last")
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "cut")
	})
	mux.HandleFunc("/garbled", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\ns3cret\r\n\r\n")
		conn.Close()
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", maxBody), "needle")
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 100)
		n, _ := r.Body.Read(body)
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s %s %s %s %s:%s", body[:n], r.Host, r.Header.Get("X-Both"), r.UserAgent(), r.URL.RawQuery, user, password)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return parse(t, server.URL)
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func endpoint(t *testing.T, text string, change func(*Endpoint)) Endpoint {
	t.Helper()
	e, err := ParseEndpoint(text)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&e)
	}
	return e
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	base := service(t)
	retries := func(n int) func(*Endpoint) { return func(e *Endpoint) { e.Retries = n } }
	tests := []struct {
		endpoint string
		change   func(*Endpoint)
		failed   string // a part of the message; empty: it passes
		attempts float64
		timeout  time.Duration // 0: one that no machine is too slow for
	}{
		{endpoint: "/"},
		{endpoint: "/created"},
		{endpoint: "/created=201"},
		{endpoint: "/created=200", failed: "it answers 201, want 200"},
		{endpoint: "/created", change: func(e *Endpoint) { e.Statuses = []int{200, 204} }, failed: "want 200 or 204"},
		{endpoint: "/moved"},
		{endpoint: "/moved=302"},
		{endpoint: "/moved=200", failed: "it answers 302 to /login?[redacted] (redirects are not followed), want 200"},
		{endpoint: "/broken", failed: "it answers 500, want 200 to 399"},
		{endpoint: "/broken=500"},
		{endpoint: "HEAD /"},
		{endpoint: "/", change: func(e *Endpoint) { e.BodyRegex = regexp.MustCompile(`"ok":\s*true`) }},
		{endpoint: "/", change: func(e *Endpoint) { e.BodyRegex = regexp.MustCompile(`"ok":\s*false`) },
			failed: `its body of 11 bytes does not match /"ok":\s*false/`},
		{endpoint: "/", change: func(e *Endpoint) { e.BodyContains = "ok" }},
		{endpoint: "/", change: func(e *Endpoint) { e.BodyContains = "OK" }, failed: `does not contain "OK"`},
		{endpoint: "/long", change: func(e *Endpoint) { e.BodyContains = "needle" }, failed: "the first 1048576 bytes of its body does not contain"},
		{endpoint: "/flaky", change: retries(2), attempts: 2},
		{endpoint: "/flakier", change: retries(1), failed: "EOF (the last of 2 attempts)", attempts: 2},
		{endpoint: "/short", failed: "its body breaks off after 3 bytes"},
		{endpoint: "/garbled", failed: "malformed MIME header: missing colon: [redacted]"},
		{endpoint: "/silent", failed: "no answer within 300ms", timeout: 300 * time.Millisecond},
		{endpoint: "/slow", change: func(e *Endpoint) { e.MaxLatency = time.Minute }},
		{endpoint: "/slow", change: func(e *Endpoint) { e.MaxLatency = 20 * time.Millisecond }, failed: "want at most 20ms"},
	}
	for _, test := range tests {
		t.Run(test.endpoint+" "+test.failed, func(t *testing.T) {
			t.Parallel()
			r := Run(t.Context(), Config{
				Base: base, Endpoints: []Endpoint{endpoint(t, test.endpoint, test.change)}, Timeout: cmp.Or(test.timeout, time.Minute),
			})
			want := probe.Passed
			if test.failed != "" {
				want = probe.Failed
			}
			check := r.Checks[0]
			if r.Verdict != want || check.Verdict != want || !strings.Contains(check.Message, test.failed) {
				t.Errorf("%s, %+v", r.Verdict, check)
			}
			if got := check.Measured["attempts"].Value; got != max(test.attempts, 1) {
				t.Errorf("%g attempts, want %g", got, test.attempts)
			}
			if told, _ := json.Marshal(r); strings.Contains(string(told), "s3cret") {
				t.Errorf("tells a secret: %s", told)
			}
		})
	}
}

func TestResultsAreInTheOrderOfTheEndpoints(t *testing.T) {
	t.Parallel()
	var all []Endpoint
	for _, text := range []string{"/slow", "/", "/broken", "/created", "/slow", "/", "/a", "/b", "/c", "/d"} {
		all = append(all, endpoint(t, text, nil))
	}
	r := Run(t.Context(), Config{Base: service(t), Endpoints: all, Timeout: time.Minute})
	for i, e := range all {
		if r.Checks[i].Name != e.Name {
			t.Errorf("check %d is of %s, want %s", i, r.Checks[i].Name, e.Name)
		}
	}
	if r.Verdict != probe.Failed || r.Count(probe.Failed) != 1 || r.Count(probe.Passed) != len(all)-1 {
		t.Errorf("%+v", r)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	base := service(t)
	base.User = url.UserPassword("me", "s3cret")
	e := endpoint(t, "POST /echo", func(e *Endpoint) {
		e.Path, e.Body, e.Header = "/echo?q=s3cret", "hello", http.Header{"X-Both": {"own"}, "Host": {"cart"}}
		e.BodyRegex = regexp.MustCompile(`^hello cart own tidegate-probe q=s3cret me:s3cret$`)
	})
	r := Run(t.Context(), Config{Base: base, Endpoints: []Endpoint{e}, Header: http.Header{"X-Both": {"flag"}}, Timeout: time.Minute})
	if r.Verdict != probe.Passed {
		t.Errorf("%+v", r)
	}
	if strings.Contains(strings.Join(r.Targets, ""), "s3cret") {
		t.Errorf("tells a secret: %s", r.Targets)
	}
}

func TestARefusingServiceHasFailed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := Run(t.Context(), Config{
		Base: parse(t, "http://"+l.Addr().String()), Timeout: time.Minute,
		Endpoints: []Endpoint{endpoint(t, "/", func(e *Endpoint) { e.Retries = 1 })},
	})
	if r.Verdict != probe.Failed || !strings.Contains(r.Checks[0].Message, "connection refused (the last of 2 attempts)") {
		t.Errorf("%+v", r)
	}
}

func TestNothingAskedIsNoPass(t *testing.T) {
	t.Parallel()
	if r := Run(t.Context(), Config{Base: service(t), Timeout: time.Second}); r.Verdict != probe.Error {
		t.Errorf("%+v", r)
	}
}

// TestInterruption: a probe that was stopped has found nothing out, whichever attempt it was in.
func TestInterruption(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{0, 3} {
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel(stopped)
			<-r.Context().Done()
		}))
		t.Cleanup(server.Close)
		r := Run(ctx, Config{
			Base: parse(t, server.URL), Timeout: time.Minute,
			Endpoints: []Endpoint{endpoint(t, "/", func(e *Endpoint) { e.Retries = retries })},
		})
		if r.Verdict != probe.Error || !strings.Contains(r.Error, "stopped") {
			t.Errorf("%d retries: %+v", retries, r)
		}
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what some of the cases are about
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	left := int(time.Until(server.Certificate().NotAfter).Hours()/24) - 1 // a day may end while the test runs
	tests := map[string]struct {
		tls     web.TLS
		days    int
		want    probe.Verdict
		message string
		warned  bool
	}{
		"unknown authority":         {want: probe.Failed, message: "certificate"},
		"its authority":             {tls: web.TLS{CAFile: ca}, want: probe.Passed},
		"no authorities to be read": {tls: web.TLS{CAFile: ca + ".none"}, want: probe.Error},
		"not verified":              {tls: web.TLS{SkipVerify: true}, want: probe.Passed, warned: true},
		"long enough":               {tls: web.TLS{CAFile: ca}, days: left, want: probe.Passed},
		"expires too soon":          {tls: web.TLS{CAFile: ca}, days: left + 2, want: probe.Failed, message: "its certificate expires in"},
		"expires, and not verified": {tls: web.TLS{SkipVerify: true}, days: left + 2, want: probe.Failed, warned: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Run(t.Context(), Config{
				Base: parse(t, server.URL), Endpoints: []Endpoint{endpoint(t, "/", nil)}, TLS: test.tls, MinCertDays: test.days,
				Timeout: time.Minute,
			})
			if r.Verdict != test.want || len(r.Warnings) > 0 != test.warned {
				t.Fatalf("%+v", r)
			}
			if test.message != "" && !strings.Contains(r.Checks[0].Message, test.message) {
				t.Errorf("%+v", r.Checks[0])
			}
			if test.want == probe.Passed && r.Checks[0].Measured["certificate"].Value < 1 {
				t.Errorf("%+v", r.Checks[0].Measured)
			}
		})
	}
}
