package lapse

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// template is an AnalysisTemplate, ClusterAnalysisTemplate or AnalysisRun, as far as its arguments are concerned.
type template struct {
	call      // its own arguments and the templates that it includes
	uses uses // what its own metrics use them for
}

func (l *lapse) template(obj *unstructured.Unstructured, spec map[string]any) error {
	t := &template{uses: uses{}}
	t.args = l.arglist(obj, spec)
	t.refs = refsOf(obj, spec)
	for i, metric := range items(spec, "metrics") {
		name := text(metric, "name")
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		if err := l.metric(metric, t.uses); err != nil {
			return fmt.Errorf("metric %q: %w", name, err)
		}
	}
	self := ref{kind: obj.GetKind(), name: obj.GetName()}
	if self.kind != kindCluster {
		self.namespace = namespaceOf(obj)
	}
	l.templates[self] = t
	return nil
}

func (l *lapse) metric(metric map[string]any, uses uses) error {
	if err := l.field(metric, "interval", uses, 0); err != nil {
		return err
	}
	if err := l.field(metric, "initialDelay", uses, 0); err != nil {
		return err
	}
	prometheus := child(metric, "provider", "prometheus")
	if q := text(prometheus, "query"); q != "" {
		short, err := shortenQuery(q, l.n, uses)
		if err != nil {
			return fmt.Errorf("query at %w", err)
		}
		prometheus["query"] = short
	}
	return l.rangeQuery(child(prometheus, "rangeQuery"), uses)
}

// field divides a field that holds one Go duration or one placeholder.
func (l *lapse) field(m map[string]any, key string, uses uses, floor time.Duration) error {
	s := text(m, key)
	if s == "" {
		return nil
	}
	short, err := l.goText(s, uses, floor)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	m[key] = short
	return nil
}

func (l *lapse) goText(s string, uses uses, floor time.Duration) (string, error) {
	holes, err := findHoles(s)
	if err != nil {
		return "", err
	}
	if len(holes) == 0 {
		return goDuration(s, l.n, floor)
	}
	if h := holes[0]; h.start > 0 || h.end < len(s) {
		return "", fmt.Errorf("%q: %w", s, errPart)
	}
	return s, uses.duration(holes[0].tag, floor)
}

func (l *lapse) rangeQuery(rq map[string]any, uses uses) error {
	for _, bound := range []struct {
		key   string
		floor time.Duration
	}{{"start", MinRange}, {"end", 0}} {
		s := text(rq, bound.key)
		if s == "" {
			continue
		}
		short, err := replaceDurations(s, func(literal string) (string, error) {
			return l.goText(literal, uses, bound.floor)
		})
		if err != nil {
			return fmt.Errorf("rangeQuery.%s at %w", bound.key, err)
		}
		rq[bound.key] = short
	}
	if err := l.field(rq, "step", uses, MinStep); err != nil {
		return fmt.Errorf("rangeQuery.%w", err)
	}
	return nil
}
