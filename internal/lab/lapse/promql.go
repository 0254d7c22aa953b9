package lapse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// maxReadings bounds how often a query is parsed to find out which placeholders are names and which are numbers:
// most take one reading or two, and this many take milliseconds.
const maxReadings = 256

// shortenQuery divides the ranges, subquery steps and offsets of a query, and notes in uses what its placeholders
// stand for. The text around the literals stays as it was written.
func shortenQuery(text string, n int64, uses uses) (string, error) {
	holes, err := findHoles(text)
	if err != nil {
		return "", err
	}
	if err := dress(text, holes); err != nil {
		return "", err
	}
	r, err := read(text, holes)
	if err != nil {
		return "", err
	}
	for _, h := range holes {
		if h.expression {
			uses.query(h.tag)
		}
	}
	var out strings.Builder
	at := 0
	for _, d := range r.durations() {
		start, end := r.original(d.start), r.original(d.end)
		short, err := r.shorten(d, n, uses)
		if err != nil {
			return "", fmt.Errorf("%s: %w", position(text, start), err)
		}
		out.WriteString(text[at:start])
		out.WriteString(short)
		at = end
	}
	out.WriteString(text[at:])
	return out.String(), nil
}

// reading is a query with a choice of stand-ins in its holes: text that PromQL's parser understands.
type reading struct {
	query  string
	holes  []hole
	choice []int // which stand-in fills each hole
	text   string
	spans  []span // where the stand-ins are in text
}

type span struct{ start, end int }

func newReading(query string, holes []hole, choice []int) *reading {
	r := &reading{query: query, holes: holes, choice: choice}
	var b strings.Builder
	at := 0
	for i, h := range holes {
		b.WriteString(query[at:h.start])
		start := b.Len()
		b.WriteString(h.standIns[choice[i]])
		r.spans = append(r.spans, span{start, b.Len()})
		at = h.end
	}
	b.WriteString(query[at:])
	r.text = b.String()
	return r
}

// read finds stand-ins with which the query parses. An error only rules out the stand-ins that it touches, so the
// search follows the errors, depth first. If nothing fits, the reading that got furthest tells why.
func read(query string, holes []hole) (*reading, error) {
	stack := []*reading{newReading(query, holes, make([]int, len(holes)))}
	tried := map[string]bool{}
	var failure error
	furthest := -1
	for len(stack) > 0 && len(tried) < maxReadings {
		r := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if tried[r.text] {
			continue
		}
		tried[r.text] = true
		_, err := parser.ParseExpr(r.text)
		if err == nil {
			return r, nil
		}
		at, message := fault(r.text, err)
		if start := r.original(at.start); start > furthest {
			furthest, failure = start, fmt.Errorf("%s: %s", position(query, start), message)
		}
		stack = append(stack, r.others(at)...)
	}
	return nil, failure
}

// fault is the first thing that the parser has to say, and where.
func fault(text string, err error) (at span, message string) {
	var errs parser.ParseErrors
	if !errors.As(err, &errs) || len(errs) == 0 {
		return span{0, len(text)}, err.Error()
	}
	where := errs[0].PositionRange
	return span{int(where.Start), int(where.End)}, errs[0].Err.Error()
}

// others are the readings in which one of the holes in at, or next to it, gets its next stand-in. The likelier, a
// number in place of a name, come last, to be tried first.
func (r *reading) others(at span) []*reading {
	var readings []*reading
	for next := kindsOfStandIn - 1; next > 0; next-- {
		for i, s := range r.spans {
			if s.start <= at.end && at.start <= s.end && r.choice[i]+1 == next && next < len(r.holes[i].standIns) {
				choice := slices.Clone(r.choice)
				choice[i] = next
				readings = append(readings, newReading(r.query, r.holes, choice))
			}
		}
	}
	return readings
}

// original is the offset in the query of an offset in text.
func (r *reading) original(offset int) int {
	shift := 0
	for i, s := range r.spans {
		if offset < s.end {
			return min(offset, s.start) + shift
		}
		shift = r.holes[i].end - s.end
	}
	return offset + shift
}

// shorten is what takes a literal's place: itself, if it is a placeholder.
func (r *reading) shorten(d literal, n int64, uses uses) (string, error) {
	for i, s := range r.spans {
		switch h := r.holes[i]; {
		case s == d.span:
			return r.query[h.start:h.end], uses.duration(h.tag, d.floor)
		case s.start < d.end && d.start < s.end:
			return "", errPart
		}
	}
	return promDuration(r.text[d.start:d.end], n, d.floor)
}

// literal is a duration in a query.
type literal struct {
	span
	floor time.Duration
}

// durations finds the literals between brackets and after offset, by PromQL's own lexer. The parser has accepted
// the text; it keeps the values of these literals, but not where they stand.
func (r *reading) durations() []literal {
	var found []literal
	var floor time.Duration
	inBrackets, afterOffset := false, false
	lexer := parser.Lex(r.text)
	var item parser.Item
	for {
		lexer.NextItem(&item)
		switch item.Typ {
		case parser.EOF, parser.ERROR:
			return found
		case parser.LEFT_BRACKET:
			inBrackets, floor = true, MinRange
		case parser.COLON:
			floor = MinStep
		case parser.RIGHT_BRACKET:
			inBrackets = false
		case parser.OFFSET:
			afterOffset, floor = true, 0
		case parser.ADD, parser.SUB, parser.COMMENT:
		case parser.NUMBER, parser.DURATION:
			if inBrackets || afterOffset {
				at := span{int(item.Pos), int(item.Pos) + len(item.Val)}
				found = append(found, literal{at, floor})
			}
			afterOffset = false
		default:
			afterOffset = false
		}
	}
}
