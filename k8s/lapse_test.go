package k8s_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"tidegate.io/tidegate/internal/lab/lapse"
)

// What the lab's time lapse does not reach would make it wait, or judge more time than it should.
func TestTimeLapseReachesEveryDurationOfATemplate(t *testing.T) {
	const speed = 20
	short := shortened(t, speed)
	for name, template := range templates(t) {
		before, after := measured(t, template), measured(t, short[name])
		for i, was := range before {
			is := after[i]
			if is.interval != was.interval/speed || is.delay != was.delay/speed {
				t.Errorf("%s: interval %s became %s, delay %s became %s", was.name, was.interval, is.interval, was.delay, is.delay)
			}
			var want []time.Duration
			for _, r := range was.ranges {
				want = append(want, max(r/speed, lapse.MinRange))
			}
			if !slices.Equal(is.ranges, want) {
				t.Errorf("%s: ranges %v became %v, want %v", was.name, was.ranges, is.ranges, want)
			}
			if diff := cmp.Diff(was.rest, is.rest); diff != "" {
				t.Errorf("%s is another query (-before +after):\n%s", was.name, diff)
			}
		}
	}
}

// shortened are the templates in the lab's time lapse.
func shortened(t *testing.T, speed int) map[string]rollouts.AnalysisTemplate {
	t.Helper()
	var objs []*unstructured.Unstructured
	for _, o := range build(t, "rollouts/analysis") {
		var fields map[string]any
		if err := yaml.Unmarshal(o.text, &fields); err != nil {
			t.Fatal(err)
		}
		objs = append(objs, &unstructured.Unstructured{Object: fields})
	}
	if err := lapse.Shorten(objs, speed); err != nil {
		t.Fatal(err)
	}
	byName := map[string]rollouts.AnalysisTemplate{}
	for _, obj := range objs {
		var template rollouts.AnalysisTemplate
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &template); err != nil {
			t.Fatal(err)
		}
		byName[template.Name] = template
	}
	return byName
}

// timing is all that is time in a metric, and its query without it.
type timing struct {
	name            string
	interval, delay time.Duration
	ranges          []time.Duration
	rest            string
}

// measured takes the time out of each metric of a template that asks Prometheus.
func measured(t *testing.T, template rollouts.AnalysisTemplate) []timing {
	t.Helper()
	values := defaults(t, []rollouts.AnalysisTemplate{template})
	maps.Copy(values, alone())
	var all []timing
	for _, m := range template.Spec.Metrics {
		if m.Provider.Job != nil {
			continue
		}
		m = resolve(t, values, m)
		query := parse(t, m)
		found := timing{name: m.Name, interval: durationOf(t, m.Interval), delay: durationOf(t, m.InitialDelay)}
		parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
			switch in := node.(type) {
			case *parser.MatrixSelector:
				found.ranges = append(found.ranges, in.Range)
				in.Range = time.Minute
			case *parser.VectorSelector:
				if in.OriginalOffset != 0 {
					found.ranges = append(found.ranges, in.OriginalOffset)
					in.OriginalOffset = time.Minute
				}
			}
			return nil
		})
		found.rest = query.String()
		all = append(all, found)
	}
	return all
}

func durationOf(t *testing.T, d rollouts.DurationString) time.Duration {
	t.Helper()
	if d == "" {
		return 0
	}
	parsed, err := d.Duration()
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
