package lapse

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"
)

// A generated query is a list of pieces; a piece that begins with durationMark is a duration literal.
const durationMark = "\x00"

var (
	// What the placeholders of generated queries are replaced with when the text is to be parsed.
	values = map[string]string{"name": "up", "text": "x.y", "number": "0.5", "range": "7m", "step": "45s", "offset": "1h"}

	someSpace    = rapid.SampledFrom([]string{"", " ", "\n\t", " # sum(x[5m] offset 5m) 'not code' {{args.text}}\n"})
	someName     = rapid.SampledFrom([]string{"up", "http_requests_total", "job:rate5m:sum", "{{args.name}}", "a_{{ args.name }}_b", "x{{args.name}}", "{{args.name}}:y"})
	someLabel    = rapid.SampledFrom([]string{"job", "offset", "step", "by", "{{args.name}}", `"utf8 [5m]"`})
	someQuoted   = rapid.SampledFrom([]string{`"a"`, `'[5m]'`, "`offset 5m`", `"{{args.text}}"`, `'{{args.text}} \' [5m]'`, `"\"[{{ args.text }}m]"`})
	someNumber   = rapid.SampledFrom([]string{"1", "0.95", "5m", "1e3", "{{args.number}}", "-{{ args.number }}"})
	someDuration = rapid.SampledFrom([]string{"5m", "1h30m", "90s", "1500ms", "2d", "1w", "300", "0x10", "1.5", "2s", "7m13s"})
)

func genQuery(t *rapid.T) []string { return genVector(t, 3) }

func genVector(t *rapid.T, depth int) []string {
	shape := 0
	if depth > 0 {
		shape = rapid.IntRange(0, 6).Draw(t, "shape")
	}
	gap := func() string { return someSpace.Draw(t, "space") }
	switch shape {
	case 1:
		return join("rate(", gap(), genRange(t, depth-1), gap(), ")")
	case 2:
		return join("sum by (", someLabel.Draw(t, "by"), ")", gap(), "(", genVector(t, depth-1), ")")
	case 3:
		op := rapid.SampledFrom([]string{"+", "/", ">", "and", "or"}).Draw(t, "op")
		return join("(", genVector(t, depth-1), " ", op, " ", gap(), genVector(t, depth-1), ")")
	case 4:
		return join("(", genVector(t, depth-1), ") * ", someNumber.Draw(t, "factor"))
	case 5:
		return join("histogram_quantile(", someNumber.Draw(t, "quantile"), ",", gap(), genVector(t, depth-1), ")")
	case 6:
		return join("topk(", someNumber.Draw(t, "k"), ", ", genVector(t, depth-1), ")")
	}
	return join(genSelector(t), gap(), genOffset(t))
}

func genRange(t *rapid.T, depth int) []string {
	if depth > 0 && rapid.Bool().Draw(t, "subquery") {
		step := ""
		if rapid.Bool().Draw(t, "with a step") {
			step = genDuration(t, "{{args.step}}")
		}
		return join("(", genVector(t, depth-1), ")[", genDuration(t, "{{args.range}}"), ":", step, "]", genOffset(t))
	}
	return join(genSelector(t), "[", genDuration(t, "{{ args.range }}"), "]", genOffset(t))
}

func genSelector(t *rapid.T) []string {
	selector := someName.Draw(t, "name")
	if rapid.Bool().Draw(t, "matchers") {
		op := rapid.SampledFrom([]string{"=", "!=", "=~"}).Draw(t, "match")
		selector += "{ " + someLabel.Draw(t, "label") + someSpace.Draw(t, "space") + op + someQuoted.Draw(t, "value") + ` ,a="b"}`
	}
	return []string{selector}
}

func genOffset(t *rapid.T) []string {
	if !rapid.Bool().Draw(t, "offset") {
		return nil
	}
	sign := rapid.SampledFrom([]string{"", "-", "- "}).Draw(t, "sign")
	return join(" offset ", sign, genDuration(t, "{{args.offset}}"))
}

func genDuration(t *rapid.T, placeholder string) string {
	if rapid.IntRange(0, 3).Draw(t, "placeholder") == 0 {
		return placeholder
	}
	return durationMark + someDuration.Draw(t, "duration")
}

func join(parts ...any) []string {
	var pieces []string
	for _, part := range parts {
		switch part := part.(type) {
		case string:
			pieces = append(pieces, part)
		case []string:
			pieces = append(pieces, part...)
		}
	}
	return pieces
}

// TestQueryIsTheSameButForItsDurations is the promise about PromQL: the text around the literals is untouched, the
// meaning differs in nothing but durations, and these are divided by n, down to their floors.
func TestQueryIsTheSameButForItsDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := genQuery(t)
		n := rapid.Int64Range(1, 200).Draw(t, "n")
		query := strings.ReplaceAll(strings.Join(pieces, ""), durationMark, "")

		found := uses{}
		short, err := shortenQuery(query, n, found)
		if err != nil {
			t.Fatalf("%v in\n%s", err, query)
		}
		if pattern := around(pieces); !pattern.MatchString(short) {
			t.Fatalf("text changed\nfrom %s\nto   %s", query, short)
		}

		after := map[string]string{}
		for name, value := range values {
			arg := argument{fields: map[string]any{"name": name, "value": value}, use: found[name]}
			if err := arg.shorten(n); err != nil {
				t.Fatal(err)
			}
			after[name] = text(arg.fields, "value")
		}
		skeleton, durations := dissect(t, fill(query, values))
		shortSkeleton, shortDurations := dissect(t, fill(short, after))
		if diff := cmp.Diff(skeleton, shortSkeleton); diff != "" {
			t.Fatalf("another query: %s", diff)
		}
		for i, was := range durations {
			was.check(t, n, shortDurations[i].d)
		}
	})
}

// around matches a text that has the same pieces around any durations.
func around(pieces []string) *regexp.Regexp {
	var pattern strings.Builder
	for _, piece := range pieces {
		if strings.HasPrefix(piece, durationMark) {
			pattern.WriteString("[0-9.]+[0-9a-z]*")
		} else {
			pattern.WriteString(regexp.QuoteMeta(piece))
		}
	}
	return regexp.MustCompile("^" + pattern.String() + "$")
}

// fill does what Argo does with placeholders.
func fill(query string, values map[string]string) string {
	return regexp.MustCompile(`{{ ?args\.(\w+) ?}}`).ReplaceAllStringFunc(query, func(hole string) string {
		return values[strings.Trim(hole, "{} ")[len("args."):]]
	})
}

// found is a duration in a parsed query.
type found struct {
	d, floor time.Duration
}

func (f found) check(t *rapid.T, n int64, short time.Duration) {
	exact := float64(f.d) / float64(n)
	switch {
	case f.d < 0:
		found{-f.d, f.floor}.check(t, n, -short)
	case f.d <= f.floor:
		if short != f.d {
			t.Fatalf("%s became %s although its floor is %s", f.d, short, f.floor)
		}
	case exact <= float64(f.floor):
		if short != f.floor {
			t.Fatalf("%s/%d became %s, not its floor %s", f.d, n, short, f.floor)
		}
	case math.Abs(float64(short)-exact) > float64(time.Millisecond):
		t.Fatalf("%s/%d became %s", f.d, n, short)
	}
}

// dissect parses a query and takes its durations out, in order.
func dissect(t *rapid.T, query string) (skeleton string, durations []found) {
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Fatalf("%v in\n%s", err, query)
	}
	take := func(d *time.Duration, floor time.Duration) {
		durations = append(durations, found{*d, floor})
		if *d != 0 {
			*d = time.Minute
		}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			take(&node.OriginalOffset, 0)
		case *parser.MatrixSelector:
			take(&node.Range, MinRange)
		case *parser.SubqueryExpr:
			take(&node.Range, MinRange)
			take(&node.Step, MinStep)
			take(&node.OriginalOffset, 0)
		}
		return nil
	})
	return expr.String(), durations
}

// TestAnyText feeds what is seldom PromQL: it may be refused, with a position, but what is accepted once is accepted
// again.
func TestAnyText(t *testing.T) {
	fragment := rapid.SampledFrom([]string{
		"up", "rate(", "sum by (", ")", "{", "}", "[", "]", "{{args.a}}", "{{", "}}", "{{args.b }}", "5m", "5", ":", "offset ",
		"-", " ", "\n", "#", "\"", "'", "`", "\\", "=", "=~", ",", "@", "é", "\xff", "step()", "max(", "args", ".",
	})
	refused := regexp.MustCompile(`^\d+:\d+: .`)
	rapid.Check(t, func(t *rapid.T) {
		query := strings.Join(rapid.SliceOfN(fragment, 0, 12).Draw(t, "query"), "")
		short, err := shortenQuery(query, 3, uses{})
		if err != nil {
			if !refused.MatchString(err.Error()) {
				t.Fatalf("%q: no position in %q", query, err)
			}
			return
		}
		if _, err := shortenQuery(short, 3, uses{}); err != nil {
			t.Fatalf("%q became %q: %v", query, short, err)
		}
	})
}

func TestSecondsAreRoundedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, n := rapid.Int64Range(1, math.MaxInt32).Draw(t, "v"), rapid.Int64Range(1, 10_000).Draw(t, "n")
		got := wholeSeconds(v, n)
		if got < 1 || got*n < v || (got-1)*n >= v {
			t.Fatalf("%d/%d rounded up is not %d", v, n, got)
		}
	})
}

func TestFormatIsReadByGoAndPromQL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, 1e11).Draw(t, "ms")) * time.Millisecond
		inGo, err := time.ParseDuration(format(d))
		inPromQL, err2 := model.ParseDuration(format(d))
		if err != nil || err2 != nil || inGo != d || time.Duration(inPromQL) != d {
			t.Fatalf("%s as %q reads %s (%v) and %s (%v)", d, format(d), inGo, err, inPromQL, err2)
		}
	})
}
