package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseBase(t *testing.T) {
	for text, want := range map[string]string{
		"http://shop":                   "",
		"https://shop:3000/api":         "",
		"http://user:s3cret@shop":       "",
		"shop:3000":                     "want http:// or https://",
		"ftp://shop":                    "want http:// or https://",
		"http://":                       "names no host",
		"http://shop/?token=s3cret":     "leave out what follows the path",
		"http://shop/#s3cret":           "leave out what follows the path",
		"http://me:s3cret@shop:port":    "is no URL",
		"http://me:s3cret@shop/%zz?s3=": "is no URL",
		"":                              "want http:// or https://",
	} {
		_, err := ParseBase(text)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: the error tells the secret: %v", text, err)
		}
	}
}

func TestJoin(t *testing.T) {
	base := &url.URL{Scheme: "http", Host: "shop", Path: "/api"}
	for path, want := range map[string]string{
		"/":            "http://shop/api/",
		"/healthz":     "http://shop/api/healthz",
		"/a%2Fb?q=1&r": "http://shop/api/a%2Fb?q=1&r",
		"healthz":      "",
		"//evil/x":     "http://shop/api/evil/x",
		"/x#part":      "",
		"http://evil/": "",
	} {
		got, err := Join(base, path)
		if want == "" {
			if err == nil {
				t.Errorf("%s: %s, want an error", path, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, %v; want %s", path, got, err, want)
		}
	}
}

func TestNothingSecretIsWritten(t *testing.T) {
	u, err := url.Parse("https://me:s3cret@shop/pay?token=s3cret#s3cret")
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		Redact(u), RedactPath("/pay?token=s3cret"), RedactPath("https://me:s3cret@shop/pay?x=s3cret"),
		Scrub(`Get "https://me:s3cret@shop/pay?token=s3cret": refused`),
		Scrub(`invalid proxy address "http://me:s3cret@proxy:1": no`),
		ScrubError(fmt.Errorf("dial http://s3cret@shop?s3cret")).Error(),
	} {
		if strings.Contains(got, "s3cret") || strings.Contains(got, "me:") {
			t.Errorf("tells the secret: %s", got)
		}
		if !strings.Contains(got, "pay") && !strings.Contains(got, "proxy") && !strings.Contains(got, "shop") {
			t.Errorf("tells nothing: %s", got)
		}
	}
	if got := Scrub("is it up? ask https://shop/a"); got != "is it up? ask https://shop/a" {
		t.Errorf("spoiled: %s", got)
	}
}

func TestHeaders(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"TOKEN": "Bearer s3cret\n", "EMPTY": "\n"}[name]
		return value, ok
	}
	h, err := Headers([]string{"x-a=1=2"}, []string{"Authorization=TOKEN"}, env)
	if err != nil || h.Get("X-A") != "1=2" || h.Get("Authorization") != "Bearer s3cret" {
		t.Errorf("%v, %v", h, err)
	}
	for _, missing := range []string{"EMPTY", "NONE"} {
		if _, err := Headers(nil, []string{"X=" + missing}, env); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

func TestDress(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://me:word@shop/", nil)
	Dress(req, http.Header{"Host": {"cart"}, "x-a": {"1"}}, http.Header{"X-A": {"2"}})
	user, password, _ := req.BasicAuth()
	if req.Host != "cart" || req.Header.Get("X-A") != "2" || req.Header.Get("User-Agent") != Agent || user != "me" || password != "word" {
		t.Errorf("host %s, headers %v", req.Host, req.Header)
	}
	Dress(req, http.Header{"Authorization": {"Bearer x"}})
	if got := req.Header.Get("Authorization"); got != "Bearer x" {
		t.Errorf("authorization %s", got)
	}
}

func TestTransportReadsItsAuthorities(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (TLS{CAFile: empty}).Transport(); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
		t.Errorf("error %v", err)
	}
	if _, err := (TLS{CAFile: empty + ".none"}).Transport(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestUnmeasured(t *testing.T) {
	transport, err := TLS{}.Transport()
	if err != nil {
		t.Fatal(err)
	}
	get := func(address string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	nobody := refused(t)
	if err := get("http://" + nobody); err == nil || Unmeasured(err) {
		t.Errorf("a server that refuses says something about itself: %v", err)
	}
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: nobody})
	if err := get("https://shop.invalid"); err == nil || !Unmeasured(err) {
		t.Errorf("a proxy that refuses says nothing about the server: %v", err)
	}
	if err := get("http://shop.invalid"); err == nil || !Unmeasured(err) {
		t.Errorf("a proxy that refuses says nothing about the server: %v", err)
	}
}

// TestNoAnswerIsQuoted: where an answer is not HTTP, the reason says so, and not what it was.
func TestNoAnswerIsQuoted(t *testing.T) {
	const fine = "HTTP/1.1 200 OK\r\n"
	for sent, want := range map[string]string{
		"s3cret\r\n":                                                            "malformed HTTP response",
		"HTTP/s3cret 200 OK\r\n\r\n":                                            "malformed HTTP version",
		"HTTP/1.1 s3cret OK\r\n\r\n":                                            "malformed HTTP status code",
		fine + "s3cret\r\n\r\n":                                                 "malformed MIME header",
		fine + " s3cret: 1\r\n\r\n":                                             "malformed MIME header",
		fine + "Content-Length: 1\"s3cret\r\n\r\n":                              "bad Content-Length",
		fine + "Content-Length: 1\r\nContent-Length: s3cret\r\n\r\n":            "Content-Length",
		fine + "Transfer-Encoding: s3cret\r\n\r\n":                              "unsupported transfer encoding",
		fine + "Transfer-Encoding: a\r\nTransfer-Encoding: s3cret\r\n\r\n":      "too many transfer encodings",
		fine + "Transfer-Encoding: chunked\r\nTrailer: Trailer, s3cret\r\n\r\n": "bad trailer key",
	} {
		answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(sent)), nil)
		if err == nil {
			_ = answer.Body.Close()
			t.Errorf("%q was read", sent)
			continue
		}
		if got := Reason(err); !strings.Contains(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%q: reason %s, want %q in it", sent, got, want)
		}
	}
	const goaway = `http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=`
	if got := Reason(errors.New(goaway + `"s3cret"`)); got != goaway+hidden {
		t.Errorf("reason %s", got)
	}
	for _, kept := range []string{`invalid header field value for "Authorization"`, `certificate "Acme Co"`} {
		if got := Reason(errors.New(kept)); got != kept {
			t.Errorf("%s becomes %s", kept, got)
		}
	}
}

// refused is an address at which nobody listens.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAttempts(t *testing.T) {
	calls := 0
	made, err := Attempts(t.Context(), 2, func() bool { calls++; return calls == 2 })
	if made != 2 || calls != 2 || err != nil {
		t.Errorf("%d attempts, %d calls, %v", made, calls, err)
	}
	calls = 0
	if made, err = Attempts(t.Context(), 1, func() bool { calls++; return false }); made != 2 || calls != 2 || err != nil {
		t.Errorf("%d attempts, %d calls, %v", made, calls, err)
	}
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	made, err = Attempts(ctx, 1000, func() bool { cancel(over); return false })
	if made != 1 || !errors.Is(err, over) {
		t.Errorf("%d attempts, %v", made, err)
	}
	if made, err = Attempts(ctx, 0, func() bool { t.Error("called after the end"); return true }); made != 0 || !errors.Is(err, over) {
		t.Errorf("%d attempts, %v", made, err)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	for n, want := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 5: lastPause, 1000: lastPause} {
		if got := pause(n, 0.5); got != want {
			t.Errorf("after attempt %d: %s, want %s", n, got, want)
		}
	}
	if low, high := pause(1, 0), pause(1, 1); low != firstPause/2 || high != firstPause*3/2 {
		t.Errorf("between %s and %s", low, high)
	}
}
