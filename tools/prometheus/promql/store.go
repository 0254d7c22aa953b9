package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// store is series in memory, as the engine wants to read them.
type store struct {
	series []series
}

type series struct {
	labels  labels.Labels
	samples []chunks.Sample
}

// add refuses what Prometheus would refuse to write: a second series of the same name and labels.
func (s *store) add(added series) error {
	for _, other := range s.series {
		if labels.Equal(other.labels, added.labels) {
			return fmt.Errorf("%s is there already", added.labels)
		}
	}
	s.series = append(s.series, added)
	return nil
}

// Querier reads all that there is: the engine itself drops what is before mint and after maxt.
func (s *store) Querier(_, _ int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ *store }

func (q querier) Select(_ context.Context, sorted bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var selected []series
	for _, s := range q.series {
		matches := func(m *labels.Matcher) bool { return m.Matches(s.labels.Get(m.Name)) }
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !matches(m) }) {
			selected = append(selected, s)
		}
	}
	if sorted {
		slices.SortFunc(selected, func(a, b series) int { return labels.Compare(a.labels, b.labels) })
	}
	return &set{rest: selected}
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries do not ask for label values")
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, errors.New("queries do not ask for label names")
}

func (querier) Close() error { return nil }

// set goes through the series that were selected.
type set struct {
	rest []series
	at   series
}

func (s *set) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *set) At() storage.Series              { return storage.NewListSeries(s.at.labels, s.at.samples) }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// sample is a number at a time in milliseconds.
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                    { return s.t }
func (s sample) F() float64                  { return s.f }
func (sample) ST() int64                     { return 0 }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }
