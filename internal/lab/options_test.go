package lab

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompleteFillsIn(t *testing.T) {
	t.Setenv(Variable, "")
	t.Setenv("XDG_STATE_HOME", "/state")
	o, err := Options{}.Complete()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if o.Dir != "/state/tidegate/lab" || o.Speed != 1 || o.Load != 50 || o.Executable != self ||
		!slices.Equal(o.Regions, []string{"us-west", "us-east", "eu-west", "eu-central"}) || o.Progress == nil {
		t.Errorf("completed to %+v", o)
	}
	if o, err = (Options{Load: -1}).Complete(); err != nil || o.Load != 0 {
		t.Errorf("no load is %v, %v", o.Load, err)
	}
}

func TestDefaultDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, tc := range []struct{ variable, state, want string }{
		{"/named", "/state", "/named"},
		{"", "/state", "/state/tidegate/lab"},
		{"", "relative", home + "/.local/state/tidegate/lab"}, // the specification says to ignore it
		{"", "", home + "/.local/state/tidegate/lab"},
	} {
		t.Setenv(Variable, tc.variable)
		t.Setenv("XDG_STATE_HOME", tc.state)
		if got, err := DefaultDir(); err != nil || got != tc.want {
			t.Errorf("%s=%q XDG_STATE_HOME=%q: %s, %v, want %s", Variable, tc.variable, tc.state, got, err, tc.want)
		}
	}
}

func TestCompleteRefuses(t *testing.T) {
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Regions: []string{"US West"}}, `region "US West": want a name`},
		{Options{Regions: []string{"../../etc"}}, "want a name"},
		{Options{Regions: []string{"-x"}}, "want a name"},
		{Options{Regions: []string{""}}, "want a name"},
		{Options{Regions: []string{"a", "b", "a"}}, "region a is named twice"},
		{Options{Regions: strings.Split("a b c d e f g h i j k l m n o p q", " ")}, "17 regions, at most 16"},
		{Options{Speed: -1}, "speed -1"},
		{Options{Speed: 1_000_000}, "speed 1000000"},
		{Options{Load: 20_000}, "load 20000"},
		{Options{Load: math.Inf(1)}, "load +Inf"},
		{Options{Load: math.NaN()}, "load NaN"},
		{Options{Services: []string{"teei-q2q-ai", "checkout"}}, `service "checkout": k8s/rollouts has no such Rollout; want some of `},
		{Options{Services: []string{""}}, `service "": `},
		{Options{Services: []string{"teei-q2q-ai", "teei-q2q-ai"}}, "service teei-q2q-ai is named twice"},
		{Options{Services: []string{"teei-q2q-ai"}, Empty: true}, "services teei-q2q-ai are named for a lab that is to be empty"},
		{Options{Dir: "/"}, "root folder"},
	} {
		if _, err := tc.o.Complete(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.o, err, tc.want)
		}
	}
}

func TestCheckSpace(t *testing.T) {
	later := filepath.Join(t.TempDir(), "not", "there", "yet")
	if err := checkSpace(later, 0); err != nil {
		t.Errorf("a folder that is made later: %v", err)
	}
	err := checkSpace(later, 1<<30)
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), later) {
		t.Errorf("more than any disk has: %v", err)
	}
}
