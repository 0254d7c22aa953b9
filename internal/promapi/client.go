// Package promapi asks a Prometheus server bounded questions: each has a deadline and a limit on the size of its answer.
package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

const (
	timeout  = 10 * time.Second
	maxBytes = 4 << 20
)

// ErrNoData says that the query matched no series. That is not zero.
var ErrNoData = errors.New("no data")

// Client asks one Prometheus server.
type Client struct {
	base string
	http *http.Client
}

// At returns a client for the server at base, such as http://127.0.0.1:9090.
func At(base string) *Client {
	return &Client{base: strings.TrimSuffix(base, "/"), http: &http.Client{}}
}

// Through returns a client for a Prometheus Service ("namespace/name:port") behind the cluster's API server; see
// Check. It needs the verb get on services/proxy, and no route into the cluster.
func Through(cfg *rest.Config, service string) (*Client, error) {
	namespace, name, _ := strings.Cut(service, "/")
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach Prometheus through the API server: %w", err)
	}
	server, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reach Prometheus through the API server: %w", err)
	}
	return &Client{base: server.JoinPath("api/v1/namespaces", namespace, "services", name, "proxy").String(), http: transport}, nil
}

// Check tells what is wrong with an address that is meant for At, in which {region} stands for the region, or for Through.
// Its error does not repeat the address: there may be a password in it.
func Check(address string) error {
	if !strings.Contains(address, "://") {
		namespace, name, ok := strings.Cut(address, "/")
		if !ok || namespace == "" || name == "" {
			return errors.New("it is no Service: write namespace/name:port")
		}
		return nil
	}
	u, err := url.Parse(strings.ReplaceAll(address, "{region}", "region"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("it is no URL that could be asked: write http://host:port or https://host:port")
	}
	return nil
}

// Scalar evaluates an instant query that yields one series and returns its value. It fails with ErrNoData where there is
// none, or where the value is not a number.
func (c *Client) Scalar(ctx context.Context, query string) (float64, error) {
	var answer struct {
		Status string
		Error  string
		Data   struct{ Result []struct{ Value [2]any } }
	}
	if err := c.get(ctx, "/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("query %s: refused: %s", query, answer.Error)
	}
	switch len(answer.Data.Result) {
	case 0:
		return 0, ErrNoData
	case 1:
	default:
		return 0, fmt.Errorf("%d series where one was expected: %s", len(answer.Data.Result), query)
	}
	text, _ := answer.Data.Result[0].Value[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("query %s: value %q: %w", query, text, err)
	}
	if math.IsNaN(value) {
		return 0, ErrNoData
	}
	return value, nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer from Prometheus within %s", timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes))
	if err != nil {
		return fmt.Errorf("read Prometheus's answer: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer of Prometheus (%s) is not JSON: %w", resp.Status, err)
	}
	return nil
}
