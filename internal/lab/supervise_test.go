package lab

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLeash(t *testing.T) {
	for leash, want := range map[string]bool{
		"":                    false,
		"release\n":           true,
		"relea":               false, // killed while it wrote
		"hello\nrelease\n":    true,
		"not yet\nreleased\n": false,
	} {
		if got := released(strings.NewReader(leash)); got != want {
			t.Errorf("leash %q: released %v, want %v", leash, got, want)
		}
	}
}

func TestOrderGoesDownTheLeash(t *testing.T) {
	want := order{Dir: "/state", Regions: []string{"us-west"}, Speed: 30, Load: 50, Services: []string{"checkout"}, Empty: true}
	line, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	leash := bufio.NewReader(strings.NewReader(string(line) + "\nrelease\n"))
	got, err := readOrder(leash)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !released(leash) {
		t.Error("the word after the order was lost")
	}
	if _, err := readOrder(bufio.NewReader(strings.NewReader(`{"dir": "/st`))); err == nil {
		t.Error("half an order was taken for a whole one")
	}
}

// Whoever started the supervisor may be gone, and its end of the pipe with it: that must neither end nor hold up anybody.
func TestEventsWithoutAReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	e := &events{out: w}
	for range 3 {
		e.send(Event{Step: "etcd"})
	}
	if e.out != nil {
		t.Error("events are still written to a pipe that nobody reads")
	}
}

func TestEventsEndWithTheLast(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e := &events{out: w}
	sent := []Event{{Region: "us-west", Step: "etcd"}, {Region: "us-west", Step: "etcd", Took: time.Second}, {Ready: true}}
	for _, event := range append(sent, Event{Step: "too late"}) {
		e.send(event)
	}
	var got []Event
	for lines := json.NewDecoder(r); ; {
		var event Event
		if err := lines.Decode(&event); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, event)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOwnImages(t *testing.T) {
	for image, want := range map[string]bool{
		"ghcr.io/henrigkroine/tidegate:v1":               true,
		"registry:5000/tidegate@sha256:01":               true,
		"tidegate":                                       true,
		"ghcr.io/tidegate/other:v1":                      false,
		"ghcr.io/x/tidegate-chromium:v0.1.0":             true,
		"registry:5000/x/tidegate-chromium:v1@sha256:01": true,
		"ghcr.io/x/tidegates:v1":                         false,
		"ghcr.io/x/not-tidegate:v1":                      false,
		"ghcr.io/tidegate-tools/other:v1":                false,
	} {
		if got := own(image); got != want {
			t.Errorf("own(%q) = %v", image, got)
		}
	}
}
