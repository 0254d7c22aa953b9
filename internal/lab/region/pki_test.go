package region

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func newPKI(t *testing.T, name string) PKI {
	t.Helper()
	p, err := NewPKI(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// serve answers HTTPS requests with the name of who asked, and returns its URL.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(tls.NewListener(plain, config)) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return "https://" + plain.Addr().String()
}

// get asks url, trusting one region's authority and showing what certificate there is.
func get(t *testing.T, url string, trust PKI, certificates ...tls.Certificate) (string, error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trust.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a hundred times what a handshake takes
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func pair(t *testing.T, cert, key []byte) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServerIsTrustedInItsOwnRegionAlone(t *testing.T) {
	here, there := newPKI(t, "us-west"), newPKI(t, "us-east")
	url := serve(t, &tls.Config{Certificates: []tls.Certificate{pair(t, here.ServerCert, here.ServerKey)}})
	if _, err := get(t, url, here); err != nil {
		t.Errorf("the region's own authority: %v", err)
	}
	if _, err := get(t, url, there); err == nil {
		t.Error("another region's authority vouches for this API server")
	}
}

func TestNodeServesTheAPIServerAlone(t *testing.T) {
	here, there := newPKI(t, "us-west"), newPKI(t, "us-east")
	config, err := here.NodeTLS()
	if err != nil {
		t.Fatal(err)
	}
	url := serve(t, config)
	if who, err := get(t, url, here, pair(t, here.ClientCert, here.ClientKey)); err != nil || who != "kube-apiserver-kubelet-client" {
		t.Errorf("the API server of the region: %q, %v", who, err)
	}
	if _, err := get(t, url, here); err == nil {
		t.Error("anybody may read logs")
	}
	if _, err := get(t, url, here, pair(t, there.ClientCert, there.ClientKey)); err == nil {
		t.Error("the API server of another region may read logs")
	}
	if _, err := get(t, url, here, pair(t, here.ServerCert, here.ServerKey)); err == nil {
		t.Error("a server's certificate passes as a client's")
	}
}
