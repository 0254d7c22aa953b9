package cli

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab/image"
)

// typed is what flags tell.
func typed(t *testing.T, flags string) (image.Behaviour, error) {
	t.Helper()
	var b behaviour
	var cmd cobra.Command
	b.add(&cmd)
	err := cmd.ParseFlags(strings.Fields(flags))
	return b.Behaviour, err
}

func TestDescribeImageIsWhatWasTyped(t *testing.T) {
	full := image.Behaviour{
		Errors: 0.07, ClientErrors: 0.005, Latency: 2.5, Crash: true, SlowStart: 1500 * time.Millisecond, Tokens: 1.4, Garbled: true,
		Quality: 0.6, Queries: 10, Vitals: 3, Page: image.PageRecoloured, Violations: []string{"pii", "residency"}, Unaudited: 0.29,
	}
	const flags = "--errors 7% --client-errors 0.5% --latency 2.5x --crash --slow-start 1.5s --tokens 1.4x --garbled " +
		"--quality 60% --queries 10x --vitals 3x --page recoloured --violation pii,residency --unaudited 29%"
	if got := describeImage(full); got != flags {
		t.Errorf("described as\n%s, want\n%s", got, flags)
	}
	got, err := typed(t, flags)
	if diff := cmp.Diff(full, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	whole := reflect.ValueOf(full)
	for i := range whole.NumField() {
		var one image.Behaviour
		reflect.ValueOf(&one).Elem().Field(i).Set(whole.Field(i))
		got, err := typed(t, describeImage(one))
		if diff := cmp.Diff(one, got); err != nil || diff != "" || got.IsZero() {
			t.Errorf("%s alone is described as %q: %v, -want +got:\n%s", whole.Type().Field(i).Name, describeImage(one), err, diff)
		}
	}
	if got := describeImage(image.Behaviour{}); got != "" {
		t.Errorf("a healthy image is described as %q", got)
	}
}

func TestFlagsOfABehaviourRefuse(t *testing.T) {
	for flags, want := range map[string]string{
		"--errors 101%":       `"101%" is no share`,
		"--client-errors -1%": `"-1%" is no share`,
		"--unaudited NaN":     `"NaN" is no share`,
		"--quality 0":         `"0" is no quality`,
		"--quality good":      `"good" is no quality`,
		"--queries 0x":        `"0x" is no factor`,
		"--vitals NaN":        `"NaN" is no factor`,
	} {
		if _, err := typed(t, flags); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", flags, err, want)
		}
	}
}
