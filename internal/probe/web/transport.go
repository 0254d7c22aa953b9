package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// Agent is how probes introduce themselves.
const Agent = "tidegate-probe"

// TLS says whose certificates are trusted.
type TLS struct {
	CAFile     string // PEM; these authorities and no others. Empty: the system's
	SkipVerify bool
}

// Transport returns connections to servers: a new one for each request, so that every request meets a server as a new
// client does, and is spread over the pods behind a Service. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured. It fails
// where the authorities cannot be read.
func (t TLS) Transport() (*http.Transport, error) {
	config := &tls.Config{InsecureSkipVerify: t.SkipVerify} //nolint:gosec // asked for by its flag, and told in the result
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities: %s holds no PEM certificate", t.CAFile)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
		DisableKeepAlives: true, MaxResponseHeaderBytes: 1 << 20,
	}, nil
}

// Headers reads headers written as K=V, and those written as K=VARIABLE, whose values are taken from the environment so
// that they stand in no manifest and in no process list.
func Headers(plain, fromEnv []string, lookup func(string) (string, bool)) (http.Header, error) {
	h := http.Header{}
	for _, pair := range plain {
		name, value, _ := strings.Cut(pair, "=")
		h.Add(name, value)
	}
	for _, pair := range fromEnv {
		name, variable, _ := strings.Cut(pair, "=")
		value, err := Secret(variable, lookup)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		h.Add(name, value)
	}
	return h, nil
}

// Secret reads a variable. A file's last line break, which found its way into many a Secret, is left out.
func Secret(variable string, lookup func(string) (string, bool)) (string, error) {
	value, ok := lookup(variable)
	if value = strings.TrimRight(value, "\r\n"); !ok || value == "" {
		return "", fmt.Errorf("the environment variable %s is not set, or empty", variable)
	}
	return value, nil
}

// Dress puts headers on a request. A Host header names the virtual host; an address's credentials become an Authorization
// header, unless there is one.
func Dress(req *http.Request, headers ...http.Header) {
	req.Header.Set("User-Agent", Agent)
	for _, h := range headers {
		for name, values := range h {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if user := req.URL.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
}

// Unmeasured tells whether an error of a request says nothing about the server: it was never asked, for there was no way
// to the proxy.
func Unmeasured(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "proxyconnect" || strings.Contains(err.Error(), "invalid proxy address")
}
