package slo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Time in these tests: a sample and an evaluation each minute, for 26 hours.
const (
	step    = "1m"
	end     = "26h"
	minutes = 26 * 60
)

// rule is a recording rule.
type rule struct {
	Record string            `json:"record"`
	Expr   string            `json:"expr"`
	Labels map[string]string `json:"labels"`
}

// sample is one series of an answer, at the end.
type sample struct {
	Labels map[string]string
	Value  float64
}

// ask has Prometheus' own engine record the rules, in order, and answer the queries at the end.
func ask(t *testing.T, series []string, rules []rule, queries ...string) [][]sample {
	t.Helper()
	input, err := json.Marshal(map[string]any{"step": step, "end": end, "series": series, "rules": rules, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "../../tools/prometheus", "./promql")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=") // a flag for this module need not suit that one
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run -C tools/prometheus ./promql: %v\n%s", err, stderr.Bytes())
	}
	var answers [][]struct {
		Labels map[string]string
		Value  string
	}
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	converted := make([][]sample, len(answers))
	for i, answer := range answers {
		for _, a := range answer {
			value, err := strconv.ParseFloat(a.Value, 64)
			if err != nil {
				t.Fatal(err)
			}
			converted[i] = append(converted[i], sample{a.Labels, value})
		}
	}
	return converted
}

// phase is a time with the same traffic each minute.
type phase struct{ minutes, requests, errors, slow int }

// traffic is what the pods of a service export in phases, oldest first, that fill the time. The bound of its histogram is
// written as the Prometheus at hand writes it; "" leaves out the histogram. A status that never happened has no series.
// One in ten requests is a 404, which is the caller's fault.
func traffic(t *testing.T, service, le string, phases ...phase) []string {
	t.Helper()
	total := 0
	for _, p := range phases {
		total += p.minutes
	}
	if total != minutes {
		t.Fatalf("%s has %d minutes of traffic, want %d", service, total, minutes)
	}
	counter := func(metric, labels string, perMinute func(phase) int) string {
		line, at := new(strings.Builder), 0
		fmt.Fprintf(line, `%s{app=%q, namespace="default", region="us-west", pod="a"%s} 0`, metric, service, labels)
		for _, p := range phases {
			fmt.Fprintf(line, " %d+%dx%d", at+perMinute(p), perMinute(p), p.minutes-1)
			at += p.minutes * perMinute(p)
		}
		if at == 0 {
			return ""
		}
		return line.String()
	}
	all := func(p phase) int { return p.requests }
	lines := []string{
		counter("http_requests_total", `, method="GET", status="200"`, func(p phase) int { return p.requests - p.requests/10 - p.errors }),
		counter("http_requests_total", `, method="GET", status="404"`, func(p phase) int { return p.requests / 10 }),
		counter("http_requests_total", `, method="GET", status="503"`, func(p phase) int { return p.errors }),
	}
	if le != "" {
		const metric = "http_request_duration_seconds"
		lines = append(lines, counter(metric+"_count", `, method="GET"`, all),
			counter(metric+"_bucket", `, method="GET", le="+Inf"`, all),
			counter(metric+"_bucket", fmt.Sprintf(`, method="GET", le=%q`, le), func(p phase) int { return p.requests - p.slow }))
	}
	var series []string
	for _, line := range lines {
		if line != "" {
			series = append(series, line)
		}
	}
	return series
}
