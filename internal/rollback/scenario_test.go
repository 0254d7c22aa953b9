package rollback

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScenarios runs testdata/scenarios/*.txt. Regenerate with -rewrite and read the diff.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "next":
				step := Next(state(t, d))
				text := string(step.Kind)
				if step.Paused {
					text += ", paused"
				}
				return fmt.Sprintf("%s: %s\n", text, step.Why)
			case "last-good":
				return lastGood(t, d)
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func state(t *testing.T, d *datadriven.TestData) State {
	s := State{Strategy: Canary, Routed: true, Settled: true, Target: "good"}
	flags := map[string]*bool{
		"on-target": &s.OnTarget, "aborted": &s.Aborted, "full": &s.Full, "paused": &s.Paused,
		"window": &s.Window, "warm": &s.Warm, "routes": &s.Routes, "traffic": &s.Traffic, "restored": &s.Restored,
	}
	values := map[string]*string{"stable": &s.Stable, "current": &s.Current, "active": &s.Active}
	for _, arg := range d.CmdArgs {
		switch {
		case arg.Key == "blue-green":
			s.Strategy, s.Routed = BlueGreen, false
		case arg.Key == "unrouted":
			s.Routed = false
		case arg.Key == "unsettled":
			s.Settled = false
		case flags[arg.Key] != nil:
			*flags[arg.Key] = true
		case values[arg.Key] != nil:
			*values[arg.Key] = arg.Vals[0]
		default:
			d.Fatalf(t, "unknown argument %q", arg.Key)
		}
	}
	return s
}

// lastGood reads one candidate a line: hash, revision, then kept, pods or bad.
func lastGood(t *testing.T, d *datadriven.TestData) string {
	var stable, current string
	d.ScanArgs(t, "stable", &stable)
	d.ScanArgs(t, "current", &current)
	var candidates []Candidate
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		revision, err := strconv.Atoi(words[1])
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
		c := Candidate{Hash: words[0], Revision: revision}
		for _, word := range words[2:] {
			switch word {
			case "kept":
				c.Kept = true
			case "pods":
				c.Replicas = 1
			case "bad":
				c.Bad = true
			default:
				d.Fatalf(t, "unknown word %q", word)
			}
		}
		candidates = append(candidates, c)
	}
	hash, err := LastGood(stable, current, candidates)
	if err != nil {
		return err.Error() + "\n"
	}
	return hash + "\n"
}
