package image

import (
	"encoding/json"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    Behaviour
		want string // part of the message; "" is valid
	}{
		{"healthy", Behaviour{}, ""},
		{"everything", Behaviour{Errors: 1, Latency: 2, Crash: true, SlowStart: time.Second, Tokens: 1.4, Violations: []string{"pii", "residency"}}, ""},
		{"percent instead of share", Behaviour{Errors: 5}, "errors: 5 is no share"},
		{"negative share", Behaviour{Errors: -0.1}, "errors:"},
		{"NaN share", Behaviour{Errors: math.NaN()}, "errors:"},
		{"negative factor", Behaviour{Latency: -1}, "latency: -1 is no factor"},
		{"infinite factor", Behaviour{Tokens: math.Inf(1)}, "tokens: +Inf is no factor"},
		{"NaN factor", Behaviour{Latency: math.NaN()}, "latency:"},
		{"negative start", Behaviour{SlowStart: -time.Second}, "slowStart: -1s is negative"},
		{"label that breaks Prometheus", Behaviour{Violations: []string{"a b"}}, `violations: "a b" is no kind`},
		{"twice", Behaviour{Violations: []string{"pii", "pii"}}, `violations: "pii" is named twice`},
		{"too many", Behaviour{Violations: strings.Split("a b c d e f g h i", " ")}, "violations: 9 kinds, at most 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.b.Validate()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	full := Behaviour{Errors: 0.05, Latency: 2, Crash: true, SlowStart: 90 * time.Second, Tokens: 1.4, Violations: []string{"pii"}}
	for _, tc := range []struct {
		b    Behaviour
		want string
	}{
		{Behaviour{}, `{}`},
		{full, `{"errors":0.05,"latency":2,"crash":true,"slowStart":"1m30s","tokens":1.4,"violations":["pii"]}`},
	} {
		got, err := json.Marshal(tc.b)
		if err != nil || string(got) != tc.want {
			t.Errorf("Marshal = %s, %v, want %s", got, err, tc.want)
		}
		back := Behaviour{Crash: true, Tokens: 7} // must be overwritten, not merged
		if err := json.Unmarshal(got, &back); err != nil || !cmp.Equal(back, tc.b) {
			t.Errorf("Unmarshal(%s) = %+v, %v", got, back, err)
		}
	}
}

func TestJSONIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		`{"erors":0.05}`:      `unknown field "erors"`,
		`{"slowStart":"20"}`:  `slowStart: time: missing unit`,
		`{"slowStart":20}`:    `slowStart`,
		`{"errors":"5%"}`:     `errors`,
		`{"violations":"pii"`: `unexpected end`,
	} {
		var b Behaviour
		if err := json.Unmarshal([]byte(text), &b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Unmarshal(%s) = %v, want %q", text, err, want)
		}
	}
}

func TestTable(t *testing.T) {
	var table Table
	kinds := []string{"pii"}
	table.Set("api:v2", Behaviour{Errors: 0.5, Violations: kinds})
	kinds[0] = "changed by the caller"
	table.Get("api:v2").Violations[0] = "changed by a reader"
	table.All()["api:v2"].Violations[0] = "changed by another"

	if got := table.Get("api:v2"); got.Errors != 0.5 || got.Violations[0] != "pii" {
		t.Errorf("Get = %+v: the table shares memory with its callers", got)
	}
	if got := table.Get("api:v1"); !got.IsZero() {
		t.Errorf("an image nobody spoke of is %+v, want healthy", got)
	}
	table.Set("api:v2", Behaviour{})
	if all := table.All(); len(all) != 0 {
		t.Errorf("All = %v after the only image was made healthy", all)
	}
}

// TestTableConcurrently is for the race detector.
func TestTableConcurrently(*testing.T) {
	var table Table
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				table.Set("api:v2", Behaviour{Violations: []string{"pii"}})
				table.Get("api:v2")
				table.All()
				table.Set("api:v2", Behaviour{})
			}
		})
	}
	wg.Wait()
}

func TestTag(t *testing.T) {
	for reference, want := range map[string]string{
		"ghcr.io/teei/api:v2":                  "v2",
		"registry:5000/api":                    "latest",
		"registry:5000/api:v1.2":               "v1.2",
		"api@sha256:0123":                      "latest",
		"ghcr.io/teei/api:v3@sha256:0123:4567": "v3",
		"api:":                                 "latest",
		"":                                     "latest",
	} {
		if got := Tag(reference); got != want {
			t.Errorf("Tag(%q) = %q, want %q", reference, got, want)
		}
	}
}
