package image

import (
	"encoding/json"
	"math"
	"reflect"
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
		{"everything", everything(), ""},
		{"percent instead of share", Behaviour{Errors: 5}, "errors: 5 is no share"},
		{"negative share", Behaviour{Errors: -0.1}, "errors:"},
		{"NaN share", Behaviour{Errors: math.NaN()}, "errors:"},
		{"negative factor", Behaviour{Latency: -1}, "latency: -1 is no factor"},
		{"infinite factor", Behaviour{Tokens: math.Inf(1)}, "tokens: +Inf is no factor"},
		{"NaN factor", Behaviour{Latency: math.NaN()}, "latency:"},
		{"more fail than there are", Behaviour{Errors: 0.6, ClientErrors: 0.5}, "errors and clientErrors: 1.1 of the requests fail"},
		{"NaN client errors", Behaviour{ClientErrors: math.NaN()}, "clientErrors: NaN is no share"},
		{"percent of quality", Behaviour{Quality: 60}, "quality: 60 is no share"},
		{"negative audit", Behaviour{Unaudited: -1}, "unaudited: -1 is no share"},
		{"huge factor", Behaviour{Queries: 10_001}, "queries: 10001 is no factor: want 0 (unchanged) to 10000"},
		{"NaN vitals", Behaviour{Vitals: math.NaN()}, "vitals: NaN is no factor"},
		{"unknown page", Behaviour{Page: "upside-down"}, `page: "upside-down" is not known: want moved or recoloured`},
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

// everything is told all there is to tell.
func everything() Behaviour {
	return Behaviour{
		Errors: 0.05, ClientErrors: 0.95, Latency: 2, Crash: true, SlowStart: 90 * time.Second, Tokens: 1.4, Garbled: true,
		Quality: 0.6, Queries: 10, Vitals: 3, Page: PageMoved, Violations: []string{"pii", "residency"}, Unaudited: 0.1,
	}
}

// TestEverythingIsEverything keeps everything, and with it the tests that use it, complete when a field is added.
func TestEverythingIsEverything(t *testing.T) {
	full := reflect.ValueOf(everything())
	for i := range full.NumField() {
		name := full.Type().Field(i).Name
		if full.Field(i).IsZero() {
			t.Errorf("everything does not tell %s", name)
		}
		var one Behaviour
		reflect.ValueOf(&one).Elem().Field(i).Set(full.Field(i))
		if one.IsZero() {
			t.Errorf("a behaviour with nothing but %s counts as healthy", name)
		}
	}
	if !(Behaviour{Violations: []string{}}).IsZero() {
		t.Error("an empty list of violations counts as one")
	}
}

func TestJSON(t *testing.T) {
	for _, tc := range []struct {
		b    Behaviour
		want string
	}{
		{Behaviour{}, `{}`},
		{everything(), `{"errors":0.05,"clientErrors":0.95,"latency":2,"crash":true,"slowStart":"1m30s","tokens":1.4,"garbled":true,` +
			`"quality":0.6,"queries":10,"vitals":3,"page":"moved","violations":["pii","residency"],"unaudited":0.1}`},
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
		"api@sha256:0123":                      "sha256:0123",
		"registry:5000/api@sha256:0123":        "sha256:0123",
		"ghcr.io/teei/api:v3@sha256:0123:4567": "v3",
		"api:":                                 "latest",
		"":                                     "latest",
	} {
		if got := Tag(reference); got != want {
			t.Errorf("Tag(%q) = %q, want %q", reference, got, want)
		}
	}
}
