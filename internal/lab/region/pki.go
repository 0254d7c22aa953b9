package region

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// validity is how long a region's certificates last: longer than anybody keeps a lab.
const validity = 5 * 365 * 24 * time.Hour

// PKI is what one region is trusted by: its own authority, and PEM of what that signed. It shares nothing with other
// regions, so that a credential for the wrong region is refused as it would be in production.
type PKI struct {
	CA, ServerCert, ServerKey []byte // the API server
	NodeCert, NodeKey         []byte // the node's log API
	ClientCert, ClientKey     []byte // the API server, as client of the node
	ServiceAccountKey         []byte // signs ServiceAccount tokens
}

// NewPKI makes the authority and the certificates of the region called name.
func NewPKI(name string, now time.Time) (PKI, error) {
	a, err := newAuthority(name, now)
	if err != nil {
		return PKI{}, fmt.Errorf("certificate authority of %s: %w", name, err)
	}
	p := PKI{CA: encode("CERTIFICATE", a.cert.Raw)}
	server := x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}, // the second is the Service "kubernetes"
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
	}
	node := x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost"},
	}
	client := x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver-kubelet-client"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, leaf := range []struct {
		template  x509.Certificate
		cert, key *[]byte
	}{{server, &p.ServerCert, &p.ServerKey}, {node, &p.NodeCert, &p.NodeKey}, {client, &p.ClientCert, &p.ClientKey}} {
		if *leaf.cert, *leaf.key, err = a.sign(leaf.template); err != nil {
			return PKI{}, fmt.Errorf("certificate of %s for %s: %w", leaf.template.Subject.CommonName, name, err)
		}
	}
	if _, p.ServiceAccountKey, err = newKey(); err != nil {
		return PKI{}, fmt.Errorf("service account key of %s: %w", name, err)
	}
	return p, nil
}

// NodeTLS is how the node's log API and the way into the cluster are served: to the region's API server alone.
func (p PKI) NodeTLS() (*tls.Config, error) {
	cert, err := tls.X509KeyPair(p.NodeCert, p.NodeKey)
	if err != nil {
		return nil, fmt.Errorf("certificate of the node: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.CA) {
		return nil, fmt.Errorf("authority for the node: no certificate in the PEM")
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"http/1.1"}, // CONNECT takes over the connection, which HTTP/2 does not allow
	}, nil
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  time.Time
}

func newAuthority(name string, now time.Time) (*authority, error) {
	key, _, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "tidegate lab " + name},
		NotBefore:             now.Add(-time.Hour), // clocks that are set back do not make it invalid
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, now: now}, nil
}

// sign fills in what all leaves have in common and returns certificate and key as PEM.
func (a *authority) sign(template x509.Certificate) (cert, keyPEM []byte, err error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	raw, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	return encode("CERTIFICATE", raw), keyPEM, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, encode("EC PRIVATE KEY", der), nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
