package region

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const protobuf = "application/vnd.kubernetes.protobuf"

// clients are the lab's own ways to the region's API.
type clients struct {
	config *rest.Config
	http   *http.Client
	kube   kubernetes.Interface
	custom dynamic.Interface
}

func (c Config) clients() (clients, error) {
	config := &rest.Config{
		Host:            c.Server(),
		BearerToken:     c.Tokens.Lab,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.PKI.CA},
		QPS:             -1, // the limit is the machine
		UserAgent:       "tidegate-lab",
		WarningHandler:  rest.NoWarnings{},
	}
	anonymous := rest.CopyConfig(config)
	anonymous.BearerToken = ""
	client, err := rest.HTTPClientFor(anonymous)
	if err != nil {
		return clients{}, fmt.Errorf("client: %w", err)
	}
	// A server that accepts and then says nothing is asked again.
	client.Timeout = 5 * time.Second
	typed := rest.CopyConfig(config)
	typed.ContentType, typed.AcceptContentTypes = protobuf, protobuf+",application/json"
	kube, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return clients{}, fmt.Errorf("client: %w", err)
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		return clients{}, fmt.Errorf("client: %w", err)
	}
	return clients{config: config, http: client, kube: kube, custom: custom}, nil
}
