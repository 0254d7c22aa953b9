package lab

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/lab/mesh"
)

// maxBody bounds what the control API reads: nothing it is told takes more than a line or two.
const maxBody = 64 << 10

// control is the supervisor's API: HTTP on a loopback port, for whoever can read lab.json.
type control struct {
	lab    *supervisor
	server *http.Server
	url    string
	token  string
}

// imageOrder tells what an image does, in one region or, where that is empty, in all.
type imageOrder struct {
	Region    string          `json:"region,omitempty"`
	Image     string          `json:"image"`
	Behaviour image.Behaviour `json:"behaviour"`
}

// loadOrder sets the load on each Rollout.
type loadOrder struct {
	Rate float64 `json:"rate"` // requests per second
}

// failure is the body of every answer that is an error.
type failure struct {
	Error string `json:"error"`
}

func newControl(s *supervisor) (*control, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("control API: %w", err)
	}
	c := &control{lab: s, url: "http://" + listener.Addr().String(), token: rand.Text()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", answer(c.status))
	mux.HandleFunc("GET /images", answer(c.images))
	mux.HandleFunc("PUT /images", answer(c.setImage))
	mux.HandleFunc("GET /traffic", answer(c.traffic))
	mux.HandleFunc("GET /load", answer(c.sent))
	mux.HandleFunc("POST /load", answer(c.setLoad))
	mux.HandleFunc("POST /down", answer(c.down))
	c.server = &http.Server{Handler: c.guard(mux), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("control API ended", "error", err)
		}
	}()
	return c, nil
}

// close ends the API; an answer that is being written, such as the one to "down", is finished first.
func (c *control) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.server.Shutdown(ctx); err != nil {
		_ = c.server.Close()
	}
}

func (c *control) guard(next http.Handler) http.Handler {
	want := []byte("Bearer " + c.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			reply(w, http.StatusUnauthorized, failure{"wrong token"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// answer makes a handler of a function whose error is the caller's fault.
func answer(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := handle(r)
		if err != nil {
			reply(w, http.StatusBadRequest, failure{err.Error()})
			return
		}
		reply(w, http.StatusOK, body)
	}
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // fails only if the caller is gone
}

func (c *control) status(*http.Request) (any, error) { return c.lab.state(), nil }

func (c *control) down(*http.Request) (any, error) {
	c.lab.down()
	return c.lab.state(), nil
}

func (c *control) images(*http.Request) (any, error) {
	tables := map[string]map[string]image.Behaviour{}
	for _, seat := range c.lab.seats {
		tables[seat.config.Name] = maps.Clone(seat.images.All())
	}
	return tables, nil
}

func (c *control) setImage(r *http.Request) (any, error) {
	var o imageOrder
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return nil, err
	}
	if o.Image == "" {
		return nil, errors.New("which image?")
	}
	if err := o.Behaviour.Validate(); err != nil {
		return nil, err
	}
	seats, err := c.seats(o.Region)
	if err != nil {
		return nil, err
	}
	for _, seat := range seats {
		seat.images.Set(o.Image, o.Behaviour)
	}
	return c.images(r)
}

func (c *control) traffic(r *http.Request) (any, error) {
	seats, err := c.seats(r.URL.Query().Get("region"))
	if err != nil {
		return nil, err
	}
	counts := map[string][]mesh.Count{}
	for _, seat := range seats {
		counts[seat.config.Name] = seat.region.Traffic()
	}
	return counts, nil
}

func (c *control) sent(r *http.Request) (any, error) {
	seats, err := c.seats(r.URL.Query().Get("region"))
	if err != nil {
		return nil, err
	}
	totals := map[string][]mesh.Total{}
	for _, seat := range seats {
		totals[seat.config.Name] = seat.region.Sent()
	}
	return totals, nil
}

func (c *control) setLoad(r *http.Request) (any, error) {
	var o loadOrder
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return nil, err
	}
	if !(o.Rate >= 0 && o.Rate <= maxRate) {
		return nil, fmt.Errorf("load %v: want 0 to %d requests a second", o.Rate, maxRate)
	}
	for _, seat := range c.lab.seats {
		seat.region.SetRate(o.Rate)
	}
	c.lab.mu.Lock()
	c.lab.load = o.Rate
	c.lab.mu.Unlock()
	c.lab.note()
	return o, nil
}

// seats returns one region's place, or all of them.
func (c *control) seats(name string) ([]*seat, error) {
	if name == "" {
		return c.lab.seats, nil
	}
	for _, at := range c.lab.seats {
		if at.config.Name == name {
			return []*seat{at}, nil
		}
	}
	return nil, fmt.Errorf("the lab has no region %q", name)
}
