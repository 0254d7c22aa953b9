// Command promql evaluates recording rules and queries with Prometheus' own engine, on series made up for a test.
//
// It reads one JSON document (input) and writes another (a list of results, one for each query). It is here, and not among
// the tests that use it, because the engine brings dependencies that nothing else of the project needs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// input is what to evaluate. Time starts at 0, and ends at End; each series has a sample each Step.
type input struct {
	Step    duration // between samples, and between evaluations of the rules
	End     duration // when the queries are evaluated
	Series  []string // as in Prometheus' own unit tests: metric{label="value"} 0+5x60 _x10
	Rules   []rule   // in the order in which they build on one another
	Queries []string
}

type rule struct {
	Record string
	Expr   string
	Labels map[string]string
}

// result is one series of a query's answer. Value is text, for JSON has neither NaN nor infinity.
type result struct {
	Labels map[string]string `json:"labels"`
	Value  string            `json:"value"`
}

// duration is a Go duration in JSON, as text.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	var what input
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&what); err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	if what.Step <= 0 || what.End < what.Step {
		return fmt.Errorf("step %v and end %v leave no time to evaluate", time.Duration(what.Step), time.Duration(what.End))
	}
	e := evaluator{
		step: time.Duration(what.Step), end: time.Unix(0, 0).Add(time.Duration(what.End)),
		engine: promql.NewEngine(promql.EngineOpts{Logger: promslog.NewNopLogger(), MaxSamples: 50_000_000, Timeout: time.Minute}),
	}
	for _, series := range what.Series {
		if err := e.store.describe(series, e.step); err != nil {
			return fmt.Errorf("series %s: %w", series, err)
		}
	}
	for _, r := range what.Rules {
		if err := e.record(ctx, r); err != nil {
			return fmt.Errorf("rule %s, %s: %w", r.Record, r.Expr, err)
		}
	}
	results := make([][]result, len(what.Queries))
	for i, query := range what.Queries {
		var err error
		if results[i], err = e.ask(ctx, query); err != nil {
			return fmt.Errorf("query %s: %w", query, err)
		}
	}
	return json.NewEncoder(out).Encode(results)
}

type evaluator struct {
	engine *promql.Engine
	store  store
	step   time.Duration
	end    time.Time
}

// record evaluates a rule at every step, and keeps what it says under its name and labels: like Prometheus, which goes
// through the rules at each moment; for a rule looks back only, and at rules before it only.
func (e *evaluator) record(ctx context.Context, r rule) error {
	query, err := e.engine.NewRangeQuery(ctx, &e.store, nil, r.Expr, time.Unix(0, 0), e.end, e.step)
	if err != nil {
		return err
	}
	defer query.Close()
	matrix, err := query.Exec(ctx).Matrix()
	if err != nil {
		return err
	}
	for _, found := range matrix {
		b := labels.NewBuilder(found.Metric)
		for name, value := range r.Labels {
			b.Set(name, value)
		}
		s := series{labels: b.Set(model.MetricNameLabel, r.Record).Labels()}
		for _, point := range found.Floats {
			s.samples = append(s.samples, sample{point.T, point.F})
		}
		if err := e.store.add(s); err != nil {
			return err
		}
	}
	return nil
}

// ask evaluates a query at the end.
func (e *evaluator) ask(ctx context.Context, text string) ([]result, error) {
	query, err := e.engine.NewInstantQuery(ctx, &e.store, nil, text, e.end)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	answer := query.Exec(ctx)
	if answer.Err != nil {
		return nil, answer.Err
	}
	vector, ok := answer.Value.(promql.Vector)
	if !ok {
		return nil, fmt.Errorf("is a %s; only instant vectors can be told", answer.Value.Type())
	}
	results := []result{}
	for _, found := range vector {
		results = append(results, result{found.Metric.Map(), strconv.FormatFloat(found.F, 'g', -1, 64)})
	}
	return results, nil
}

// describe adds the series that a line of text describes, one value each step.
func (s *store) describe(line string, step time.Duration) error {
	metric, values, err := parser.ParseSeriesDesc(line)
	if err != nil {
		return err
	}
	described := series{labels: metric}
	for i, v := range values {
		switch {
		case v.Histogram != nil || math.IsNaN(v.Value):
			return fmt.Errorf("value %d is no number", i)
		case !v.Omitted:
			described.samples = append(described.samples, sample{int64(i) * step.Milliseconds(), v.Value})
		}
	}
	return s.add(described)
}
