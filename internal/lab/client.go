package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"tidegate.io/tidegate/internal/lab/build"
	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/lab/mesh"
)

// ErrNone says that there is no lab in a state folder.
var ErrNone = errors.New("no lab")

// ErrDied says that the supervisor of a lab ended without cleaning up. What it left has been cleaned up since.
var ErrDied = errors.New("the lab has died")

// answerWithin is what the supervisor may take for an answer: it computes nothing, but the machine may be overloaded.
const answerWithin = 10 * time.Second

// Client talks to a lab that runs.
type Client struct {
	dir    string
	stored stored // as it was when the client was made
	http   *http.Client
}

// Open finds the lab whose state is in dir ("" is DefaultDir). Where there is none the error is ErrNone; where there is
// one whose supervisor is dead its remains are swept, and the error is ErrDied.
func Open(dir string) (*Client, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	held, err := lock(dir, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w in %s", ErrNone, dir)
	case err == nil: // nobody holds it: nobody is there
		if err := sweep(dir, held); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w; what it left in %s is cleaned up", ErrDied, dir)
	case !errors.Is(err, errHeld):
		return nil, err
	}
	s, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the lab in %s is only just starting, or almost gone", dir)
	}
	if err != nil {
		return nil, err
	}
	return newClient(dir, s), nil
}

func newClient(dir string, s stored) *Client {
	return &Client{dir: dir, stored: s, http: &http.Client{Timeout: answerWithin}}
}

// Dir returns the lab's state folder.
func (c *Client) Dir() string { return c.dir }

// Kubeconfig returns the path of the lab's kubeconfig. Its contexts are called k8s-REGION.
func (c *Client) Kubeconfig() string { return filepath.Join(c.dir, kubeconfigFile) }

// Region returns a region as it was when the client was made. Addresses do not change; see Status for the rest.
func (c *Client) Region(name string) (RegionState, error) { return c.stored.Region(name) }

// Regions returns the names of the lab's regions, in order.
func (c *Client) Regions() []string {
	names := make([]string, len(c.stored.Regions))
	for i, r := range c.stored.Regions {
		names[i] = r.Name
	}
	return names
}

// Speed returns by how much the lab shortens pauses and intervals.
func (c *Client) Speed() int { return c.stored.Speed }

// Binaries returns the components that the lab runs, kubectl and its plugin among them.
func (c *Client) Binaries() build.Binaries { return c.stored.Binaries }

// Status returns what the lab says of itself now.
func (c *Client) Status(ctx context.Context) (State, error) {
	var s State
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

// Images returns, by region and image, what images do that were ever told something else than to be healthy.
func (c *Client) Images(ctx context.Context) (map[string]map[string]image.Behaviour, error) {
	var images map[string]map[string]image.Behaviour
	return images, c.call(ctx, http.MethodGet, "/images", nil, &images)
}

// SetImage tells what an image does from now on, in one region or, if that is "", in all. The zero Behaviour is healthy.
func (c *Client) SetImage(ctx context.Context, region, name string, b image.Behaviour) error {
	return c.call(ctx, http.MethodPut, "/images", imageOrder{Region: region, Image: name, Behaviour: b}, nil)
}

// Traffic returns what the mesh of a region has counted since the start.
func (c *Client) Traffic(ctx context.Context, region string) ([]mesh.Count, error) {
	if region == "" {
		return nil, errors.New("traffic of which region?")
	}
	var counts map[string][]mesh.Count
	err := c.call(ctx, http.MethodGet, "/traffic?region="+url.QueryEscape(region), nil, &counts)
	return counts[region], err
}

// TrafficAll returns what the meshes of all regions have counted since the start, by region.
func (c *Client) TrafficAll(ctx context.Context) (map[string][]mesh.Count, error) {
	var counts map[string][]mesh.Count
	return counts, c.call(ctx, http.MethodGet, "/traffic", nil, &counts)
}

// Sent returns what the load generator of a region has sent to each Rollout since the start, and what came of it: what users
// saw, answers that never came included.
func (c *Client) Sent(ctx context.Context, region string) ([]mesh.Total, error) {
	if region == "" {
		return nil, errors.New("load of which region?")
	}
	var totals map[string][]mesh.Total
	err := c.call(ctx, http.MethodGet, "/load?region="+url.QueryEscape(region), nil, &totals)
	return totals[region], err
}

// SetLoad sets the requests per second that each Rollout in each region is sent; 0 pauses them.
func (c *Client) SetLoad(ctx context.Context, rate float64) error {
	return c.call(ctx, http.MethodPost, "/load", loadOrder{Rate: rate}, nil)
}

// call makes one request of the control API. in and out may be nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	err := c.exchange(ctx, method, path, in, out)
	if err != nil {
		return fmt.Errorf("ask the lab in %s: %w", c.dir, err)
	}
	return nil
}

func (c *Client) exchange(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.stored.Control+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.stored.Token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(content, &f) == nil && f.Error != "" {
			return errors.New(f.Error)
		}
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(content, out)
}
