package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// kubelet serves the part of a kubelet's API that the API server asks of a node: logs.
func (n *Node) kubelet() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.serveLogs)
	return &http.Server{
		Handler: mux, TLSConfig: n.cfg.TLS.Clone(),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(n.cfg.Log.Handler(), slog.LevelDebug),
	}
}

func (n *Node) serveLogs(w http.ResponseWriter, r *http.Request) {
	options, err := parseLogOptions(r.URL.Query(), time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}
	n.mu.Lock()
	p := n.pods[name]
	n.mu.Unlock()
	if p == nil {
		http.Error(w, fmt.Sprintf("pod %q not found", name), http.StatusNotFound)
		return
	}
	containers := slices.Concat(p.inits, p.mains)
	i := slices.IndexFunc(containers, func(c *container) bool { return c.spec.Name == r.PathValue("container") })
	if i < 0 {
		http.Error(w, fmt.Sprintf("container %q not found in pod %q", r.PathValue("container"), name), http.StatusNotFound)
		return
	}
	log, err := containers[i].openLog(options.previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	options.stream(r, w, log)
}

// logOptions are what kubectl logs can ask for.
type logOptions struct {
	follow, previous, timestamps bool
	since                        time.Time
	tail                         int   // lines; negative is all
	limit                        int64 // bytes
}

func parseLogOptions(query url.Values, now time.Time) (logOptions, error) {
	o := logOptions{tail: -1, limit: math.MaxInt64}
	var errs []error
	flag := func(name string) bool {
		value := query.Get(name)
		set, err := strconv.ParseBool(cmp.Or(value, "false"))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is neither true nor false", name, value))
		}
		return set
	}
	number := func(name string, least int64) (int64, bool) {
		value := query.Get(name)
		if value == "" {
			return 0, false
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < least {
			errs = append(errs, fmt.Errorf("%s: %q is no number of at least %d", name, value, least))
		}
		return n, true
	}
	o.follow, o.previous, o.timestamps = flag("follow"), flag("previous"), flag("timestamps")
	if n, given := number("tailLines", 0); given {
		o.tail = int(min(n, maxLogLines))
	}
	if n, given := number("limitBytes", 1); given {
		o.limit = n
	}
	if n, given := number("sinceSeconds", 1); given {
		o.since = now.Add(-time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second)
	}
	if value := query.Get("sinceTime"); value != "" {
		if !o.since.IsZero() {
			errs = append(errs, errors.New("sinceSeconds and sinceTime: want one of them"))
		}
		var err error
		if o.since, err = time.Parse(time.RFC3339Nano, value); err != nil {
			errs = append(errs, fmt.Errorf("sinceTime: %w", err))
		}
	}
	return o, errors.Join(errs...)
}

// stream writes the log, and on follow goes on until the container's life or the client ends.
func (o logOptions) stream(r *http.Request, w http.ResponseWriter, log *logBuffer) {
	flush := http.NewResponseController(w)
	lines, next, ended, more := log.read(0)
	lines = slices.DeleteFunc(lines, func(l logLine) bool { return l.at.Before(o.since) })
	if o.tail >= 0 && len(lines) > o.tail {
		lines = lines[len(lines)-o.tail:]
	}
	left := o.limit
	for {
		for _, line := range lines {
			text := o.format(line)
			if int64(len(text)) > left {
				text = text[:left]
			}
			if _, err := w.Write(text); err != nil {
				return
			}
			if left -= int64(len(text)); left == 0 {
				return
			}
		}
		if !o.follow || ended {
			return
		}
		if err := flush.Flush(); err != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
		lines, next, ended, more = log.read(next)
	}
}

func (o logOptions) format(line logLine) []byte {
	var text []byte
	if o.timestamps {
		text = append(line.at.UTC().AppendFormat(text, time.RFC3339Nano), ' ')
	}
	return append(append(text, line.text...), '\n')
}
