//go:build lab

package gates

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// series is one time series as a function of the seconds since the exporter began.
type series struct {
	name     string
	labels   map[string]string
	value    func(seconds float64) float64
	from, to float64 // when it is there, in seconds; to 0 is for ever
}

// counter grows by so much a second, and was born at 0.
func counter(name string, perSecond float64, labels map[string]string) series {
	return risen(name, 0, perSecond, labels)
}

// risen is a counter that had come so far before the exporter began.
func risen(name string, past, perSecond float64, labels map[string]string) series {
	return series{name: name, labels: labels, value: func(s float64) float64 { return past + perSecond*s }}
}

// young is a counter of a pod that lives for a few seconds from birth on. It is there from late seconds after that on.
func young(name string, born, late, perSecond float64, labels map[string]string) series {
	return series{name: name, labels: labels, from: born + late, to: born + lifetime, value: func(s float64) float64 { return perSecond * (s - born) }}
}

func gauge(name string, value float64, labels map[string]string) series {
	return series{name: name, labels: labels, value: func(float64) float64 { return value }}
}

// histogram observes perSecond values a second, all of them between low and high.
func histogram(name string, perSecond, low, high float64, labels map[string]string) []series {
	var all []series
	for _, bucket := range []struct {
		le    string
		share float64
	}{{number(low), 0}, {number(high), 1}, {"+Inf", 1}} {
		all = append(all, counter(name+"_bucket", perSecond*bucket.share, with(labels, "le", bucket.le)))
	}
	return append(all,
		counter(name+"_count", perSecond, labels),
		counter(name+"_sum", perSecond*(low+high)/2, labels))
}

func with(labels map[string]string, name, value string) map[string]string {
	all := maps.Clone(labels)
	all[name] = value
	return all
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// trafficAlone is what is left of a version whose service forgot the metric: its requests, where they are not the metric.
func trafficAlone(all []series) []series {
	var traffic []series
	for _, s := range all {
		if s.name == "http_requests_total" {
			traffic = append(traffic, s)
		}
	}
	if len(traffic) == len(all) {
		return nil
	}
	return traffic
}

// broken are the same series with no number in them.
func broken(all []series) []series {
	var none []series
	for _, s := range all {
		s.value = func(float64) float64 { return math.NaN() }
		none = append(none, s)
	}
	return none
}

// exporter shows all the series of all cases. Each case is a version of its own: the hash tells them apart.
type exporter struct {
	began time.Time
	mu    sync.Mutex
	all   []series
}

func (e *exporter) add(s ...series) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, s...)
}

func (e *exporter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seconds := time.Since(e.began).Seconds()
	for _, s := range e.all {
		if seconds < s.from || s.to > 0 && seconds >= s.to {
			continue
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(s.labels)) {
			labels = append(labels, fmt.Sprintf("%s=%q", name, s.labels[name]))
		}
		_, _ = io.WriteString(w, fmt.Sprintf("%s{%s} %s\n", s.name, strings.Join(labels, ","), number(s.value(seconds))))
	}
}
