// Package smoke asks a service a few questions and judges the answers: is it worth sending users to?
package smoke

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/probe/web"
)

// Endpoint is one question, and what a good answer to it is.
type Endpoint struct {
	Name         string // empty: method and path
	Method       string
	Path         string // behind the base, maybe with a query
	Header       http.Header
	Body         string
	Statuses     []int          // any of these is good. Empty: 200 to 399
	BodyRegex    *regexp.Regexp // nil: any body
	BodyContains string
	MaxLatency   time.Duration // of one attempt, with its body. 0: no limit
	Retries      int
}

// methods are what an endpoint may ask with.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

var endpointForm = regexp.MustCompile(`^(?:([A-Za-z]+) +)?(/[^\s=]*)(?:=(\d+))?$`)

// ParseEndpoint reads [METHOD ]PATH[=STATUS], such as "POST /login=401".
func ParseEndpoint(text string) (Endpoint, error) {
	if strings.ContainsAny(text, "?#") {
		return Endpoint{}, fmt.Errorf("endpoint %q: one with a query goes into a --file, where it cannot be mistaken for a status",
			web.RedactPath(text))
	}
	m := endpointForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: write [METHOD ]PATH[=STATUS], like /healthz or POST /login=401", text)
	}
	e := Endpoint{Method: m[1], Path: m[2]}
	if m[3] != "" {
		status, err := strconv.Atoi(m[3])
		if err != nil {
			return Endpoint{}, fmt.Errorf("endpoint %q: status: %w", text, err)
		}
		e.Statuses = []int{status}
	}
	return e, e.complete()
}

// complete fills in what may be left out, and fails on what cannot be asked.
func (e *Endpoint) complete() error {
	if e.Method == "" {
		e.Method = http.MethodGet
	}
	e.Method = strings.ToUpper(e.Method)
	if !slices.Contains(methods, e.Method) {
		return fmt.Errorf("method %s: want one of %s", e.Method, strings.Join(methods, ", "))
	}
	if _, err := web.Join(&url.URL{Scheme: "http", Host: "any"}, e.Path); err != nil {
		return err
	}
	for _, status := range e.Statuses {
		if status < 100 || status > 599 {
			return fmt.Errorf("status %d: want 100 to 599", status)
		}
	}
	if e.MaxLatency < 0 || e.Retries < 0 {
		return fmt.Errorf("maxLatency and retries: want 0 or more")
	}
	if e.Name == "" {
		e.Name = e.Method + " " + web.RedactPath(e.Path)
	}
	return nil
}

// wantedStatus writes which statuses are good.
func (e Endpoint) wantedStatus() string {
	if len(e.Statuses) == 0 {
		return "200 to 399"
	}
	var all []string
	for _, status := range e.Statuses {
		all = append(all, strconv.Itoa(status))
	}
	return strings.Join(all, " or ")
}

func (e Endpoint) goodStatus(status int) bool {
	if len(e.Statuses) == 0 {
		return status >= 200 && status < 400
	}
	return slices.Contains(e.Statuses, status)
}
