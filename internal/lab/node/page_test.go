package node

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tidegate.io/tidegate/internal/lab/image"
)

const browser = "text/html,application/xhtml+xml,*/*;q=0.8"

func TestPage(t *testing.T) {
	a, images, web := newTestApp(t)
	healthy := get(t, web.Client(), web.URL+"/any/path", "Accept", browser)
	if healthy.status != http.StatusOK || healthy.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, headers %v", healthy.status, healthy.header)
	}
	// A page that says which version it is from, or loads something, would differ by itself.
	if found := regexp.MustCompile(`(?i)v2|api-1|abc|teei|https?:|url\(|<script|@import|animation|transition`).FindString(healthy.body); found != "" {
		t.Errorf("the page holds %q:\n%s", found, healthy.body)
	}
	for _, part := range []string{"<h1>", "<p>", "<aside>", "<button"} {
		if !strings.Contains(healthy.body, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	seen := map[string]string{healthy.body: "healthy"}
	for _, look := range image.Pages() {
		images.Set(testImage, image.Behaviour{Page: look})
		body := get(t, web.Client(), web.URL, "Accept", browser).body
		if other, ok := seen[body]; ok {
			t.Errorf("a page that is %s is the %s one", look, other)
		}
		// The style has a rule for it, and the body is of its class: else nobody would see a difference.
		if !strings.Contains(body, "."+look+" ") || !strings.Contains(body, `<body class="`+look+`">`) {
			t.Errorf("nothing on the page is %s:\n%s", look, body)
		}
		seen[body] = look
	}
	if got := exported(t, a, `http_requests_total{method="GET",status="200"}`); got != 3 {
		t.Errorf("%v requests are counted, want 3", got)
	}
}

func TestPageIsForBrowsersAlone(t *testing.T) {
	_, images, web := newTestApp(t)
	for name, headers := range map[string][]string{
		"/":       {"Accept", "application/json"},
		"/any":    {"Accept", "*/*"},
		"/health": {"Accept", browser},
	} {
		if kind := get(t, web.Client(), web.URL+name, headers...).header.Get("Content-Type"); kind != "application/json" {
			t.Errorf("%s with %v answered %s", name, headers, kind)
		}
	}
	images.Set(testImage, image.Behaviour{Errors: 1})
	if response := get(t, web.Client(), web.URL, "Accept", browser); response.status != http.StatusInternalServerError {
		t.Errorf("a page of an image that only fails: %d", response.status)
	}
}
