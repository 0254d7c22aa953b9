//go:build lab

package access

import (
	"context"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

// recorder stands between an account and the API server, and keeps what was asked and how it was judged.
type recorder struct {
	*httptest.Server

	mu      sync.Mutex
	allowed map[request]bool
	denied  map[request]bool
	awaited map[request]chan struct{} // closed once it was asked
}

// newRecorder passes everything on to the region's API server as it came: token, watches, upgrades. It speaks TLS itself,
// since a kubeconfig's token is not read for a server that does not.
func newRecorder(t *testing.T) *recorder {
	t.Helper()
	admin := adminConfig(t)
	target, err := url.Parse(admin.Host)
	if err != nil {
		t.Fatal(err)
	}
	anonymous := rest.AnonymousClientConfig(admin)
	anonymous.NextProtos = []string{"http/1.1"} // HTTP/2 knows no upgrade
	transport, err := rest.TransportFor(anonymous)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{allowed: map[request]bool{}, denied: map[request]bool{}, awaited: map[request]chan struct{}{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      transport,
		FlushInterval:  -1,
		ModifyResponse: rec.keep,
		ErrorLog:       log.New(io.Discard, "", 0), // each watch that a client ends would be told of as an error
	}
	rec.Server = httptest.NewTLSServer(proxy)
	rec.Config.ErrorLog = proxy.ErrorLog
	t.Cleanup(rec.close)
	return rec
}

func (rec *recorder) close() {
	rec.CloseClientConnections()
	rec.Close()
}

func (rec *recorder) keep(answer *http.Response) error {
	asked, ok := of(answer.Request.Method, answer.Request.URL)
	if !ok {
		return nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if answer.StatusCode == http.StatusForbidden {
		rec.denied[asked] = true
	} else {
		rec.allowed[asked] = true
	}
	if came := rec.awaited[asked]; came != nil {
		delete(rec.awaited, asked)
		close(came)
	}
	return nil
}

// next is closed the next time that this is asked, whatever the answer.
func (rec *recorder) next(asked request) <-chan struct{} {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	came := make(chan struct{})
	rec.awaited[asked] = came
	return came
}

// check holds what was asked against what the account's Roles grant, both ways.
func (rec *recorder) check(t *testing.T, granted map[request]bool) {
	t.Helper()
	// What is still running may be on its way to its last request; nothing tells when it has made it.
	_ = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 5*time.Second, true, func(context.Context) (bool, error) {
		return len(rec.unused(granted)) == 0, nil
	})
	for rule := range rec.unused(granted) {
		t.Errorf("granted and never asked for: %s. Remove it from its Role: nothing needs it", rule)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for asked := range rec.denied {
		t.Errorf("refused: %s. Its work asks for it: add it to its Role, or see to it that it is not asked", asked)
	}
	for asked := range rec.allowed {
		if _, ok := ruleFor(asked, granted); !ok {
			t.Errorf("allowed, and none of its Roles grants it: %s", asked)
		}
	}
	t.Logf("%d verbs granted, %d different requests", len(granted), len(rec.allowed))
}

// unused are the rules that no request was allowed by so far.
func (rec *recorder) unused(granted map[request]bool) map[request]bool {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	unused := maps.Clone(granted)
	for asked := range rec.allowed {
		if rule, ok := ruleFor(asked, granted); ok {
			delete(unused, rule)
		}
	}
	return unused
}

// ruleFor finds the rule that a request was allowed by: with its name or without, in its namespace or in every one.
func ruleFor(asked request, granted map[request]bool) (request, bool) {
	for _, rule := range []request{
		asked,
		{asked.verb, asked.group, asked.resource, asked.namespace, ""},
		{asked.verb, asked.group, asked.resource, "", ""},
	} {
		if granted[rule] {
			return rule, true
		}
	}
	return request{}, false
}
