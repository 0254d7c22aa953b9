package smoke

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"/":               {Name: "GET /", Method: "GET", Path: "/"},
		"/healthz=204":    {Name: "GET /healthz", Method: "GET", Path: "/healthz", Statuses: []int{204}},
		"post /login=401": {Name: "POST /login", Method: "POST", Path: "/login", Statuses: []int{401}},
		" HEAD  /a%20b ":  {Name: "HEAD /a%20b", Method: "HEAD", Path: "/a%20b"},
	} {
		got, err := ParseEndpoint(text)
		if err != nil || got.Name != want.Name || got.Method != want.Method || got.Path != want.Path || !slices.Equal(got.Statuses, want.Statuses) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                        "write [METHOD ]PATH[=STATUS]",
		"healthz":                 "write [METHOD ]PATH[=STATUS]",
		"/a=ok":                   "write [METHOD ]PATH[=STATUS]",
		"/a=200=300":              "write [METHOD ]PATH[=STATUS]",
		"/a=99":                   "want 100 to 599",
		"/a=99999999999999999999": "status",
		"BREW /pot":               "method BREW",
		"/a?token=s3cret":         "goes into a --file",
		"/a?n=200":                "goes into a --file",
	} {
		_, err := ParseEndpoint(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

const file = `
endpoints:
- path: /healthz
- name: checkout
  method: post
  path: /api/checkout?dry=1
  headers: {Content-Type: application/json}
  body: '{"cart": []}'
  status: [200, 201]
  bodyRegex: '"ok"'
  maxLatency: 500ms
  retries: 0
- path: /old?session=s3cret
  status: 301
  bodyContains: moved
`

func TestParseFile(t *testing.T) {
	defaults := Endpoint{MaxLatency: 2 * time.Second, Retries: 2, BodyRegex: regexp.MustCompile("default")}
	all, err := ParseFile([]byte(file), defaults)
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	health, checkout, old := all[0], all[1], all[2]
	if health.Name != "GET /healthz" || health.MaxLatency != 2*time.Second || health.Retries != 2 || health.BodyRegex.String() != "default" {
		t.Errorf("%+v", health)
	}
	if checkout.Name != "checkout" || checkout.Method != "POST" || checkout.MaxLatency != 500*time.Millisecond || checkout.Retries != 0 ||
		checkout.BodyRegex.String() != `"ok"` || !slices.Equal(checkout.Statuses, []int{200, 201}) ||
		checkout.Header.Get("content-type") != "application/json" || checkout.Body != `{"cart": []}` {
		t.Errorf("%+v", checkout)
	}
	if !slices.Equal(old.Statuses, []int{301}) || old.BodyContains != "moved" || old.BodyRegex != nil || strings.Contains(old.Name, "s3cret") {
		t.Errorf("%+v", old)
	}
}

func TestParseFileIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"":              "names no endpoint",
		"endpoints: []": "names no endpoint",
		"# none\n":      "names no endpoint",
		"endpoints:\n- path: /a\n  statsu: 500\n":               "line 3: unknown key statsu",
		"endpoint:\n- path: /a\n":                               "line 1: unknown key endpoint",
		"endpoints:\n- path: /a\n  path: /b\n":                  "already defined",
		"endpoints:\n- path: /a\n  status: ok\n":                "line 3: status: want 200",
		"endpoints:\n- path: /a\n  status: []\n":                "line 3: status: want 200",
		"endpoints:\n- path: /a\n  status: 42\n":                "endpoint 1: status 42",
		"endpoints:\n- path: /a\n  bodyRegex: '('\n":            "line 3: \"(\" is no regular expression",
		"endpoints:\n- path: /a\n  bodyRegex: ''\n":             "line 3: \"\" is no regular expression",
		"endpoints:\n- path: /a\n  maxLatency: fast\n":          "line 3: \"fast\" is no length of time",
		"endpoints:\n- path: /a\n  maxLatency: -1s\n":           "want 0 or more",
		"endpoints:\n- path: /a\n- path: b\n":                   "endpoint 2: path \"b\"",
		"endpoints:\n- name: without a path\n":                  "endpoint 1: path \"\"",
		"endpoints:\n- path: /a\n---\nendpoints:\n- path: /b\n": "more than one YAML document",
		"endpoints:\n- path: /a\n  headers: [Authorization]\n":  "line 3",
		"endpoints: {\n": "line",

		"endpoints:\n":                                                      "line 1: endpoints is left empty: give it a value, or leave it out",
		"endpoints:\n- path: /a\n-\n":                                       "line 3: endpoints is left empty",
		"endpoints:\n- path: /a\n  status:\n":                               "line 3: status is left empty",
		"endpoints:\n- path: /a\n  status:\n  - 200\n  -\n":                 "line 5: status is left empty",
		"endpoints:\n- path: /a\n  bodyRegex: # ^ok\n":                      "line 3: bodyRegex is left empty",
		"endpoints:\n- path: /a\n  bodyContains: #ok\n":                     "line 3: bodyContains is left empty",
		"endpoints:\n- path: /a\n  bodyContains: ''\n":                      "line 3: bodyContains: want some text",
		"endpoints:\n- path: /a\n  bodyContains: [a]\n":                     "line 3: bodyContains: want some text",
		"endpoints:\n- path: /a\n  maxLatency:\n  retries: 0\n":             "line 3: maxLatency is left empty",
		"endpoints:\n- path: /a\n  retries: ~\n":                            "line 3: retries is left empty",
		"endpoints:\n- {path: /a, name: null}\n":                            "line 2: name is left empty",
		"endpoints:\n- path: /a\n  headers:\n    X-A:\n":                    "line 4: X-A is left empty",
		"endpoints:\n- path: /a\n  headers: {? &no ~ : x}\n  status: *no\n": "line 4: status is left empty",
	} {
		_, err := ParseFile([]byte(text), Endpoint{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "yaml: ") || strings.Contains(err.Error(), "smoke.") {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}
