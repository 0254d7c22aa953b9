package lapse

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// kindsOfStandIn is how many stand-ins a hole has at most: a name, a number, a string.
const kindsOfStandIn = 3

// hole is one of Argo's placeholders, {{ tag }}.
type hole struct {
	start, end int      // in the text, braces included
	tag        string   // what stands between the braces, trimmed
	standIns   []string // what may be put in its place so that the text can be parsed, likeliest first
	expression bool     // stands where an expression, or a part of one, may stand
}

// findHoles finds the placeholders of a text as Argo does: from each {{ to the next }}, whatever is between.
func findHoles(text string) ([]hole, error) {
	var holes []hole
	for at := 0; ; {
		start := strings.Index(text[at:], "{{")
		if start < 0 {
			return holes, nil
		}
		start += at
		length := strings.Index(text[start:], "}}")
		if length < 0 {
			return nil, fmt.Errorf("%s: placeholder without an end", position(text, start))
		}
		at = start + length + len("}}")
		holes = append(holes, hole{start: start, end: at, tag: strings.TrimSpace(text[start+2 : at-2])})
	}
}

// position says where offset is in text, as line:column.
func position(text string, offset int) string {
	before := text[:max(0, min(offset, len(text)))]
	return fmt.Sprintf("%d:%d", strings.Count(before, "\n")+1, len(before)-strings.LastIndexByte(before, '\n'))
}

// place is the kind of a spot in PromQL.
type place int

const (
	inCode     place = iota
	inMatchers       // between { and }
	inMatcher        // after the operator of a matcher
	inDuration       // between [ and ], or after offset
	inText           // in a string or a comment
)

// placeAfter says what kind of spot follows this beginning of a query.
func placeAfter(prefix string) place {
	lexer := parser.Lex(prefix)
	here := inCode
	var last, item parser.Item
	for ; ; last = item {
		lexer.NextItem(&item)
		switch item.Typ {
		case parser.LEFT_BRACE:
			here = inMatchers
		case parser.EQL, parser.NEQ, parser.EQL_REGEX, parser.NEQ_REGEX:
			if here == inMatchers {
				here = inMatcher
			}
		case parser.STRING, parser.COMMA, parser.IDENTIFIER:
			if here == inMatcher {
				here = inMatchers
			} else if here != inMatchers {
				here = inCode
			}
		case parser.LEFT_BRACKET, parser.OFFSET:
			here = inDuration
		case parser.NUMBER, parser.DURATION:
			if here == inDuration && last.Typ != parser.LEFT_BRACKET && last.Typ != parser.COLON {
				here = inCode // the literal after offset
			}
		case parser.ADD, parser.SUB, parser.COLON, parser.COMMENT: // [5m:1m], offset -5m
		case parser.ERROR:
			if at := int(item.Pos); at < len(prefix) && strings.IndexByte("\"'`", prefix[at]) >= 0 {
				return inText
			}
			return here
		case parser.EOF:
			if last.Typ == parser.COMMENT && int(last.Pos)+len(last.Val) == len(prefix) {
				return inText
			}
			return here
		default:
			here = inCode
		}
	}
}

// dress gives each hole its stand-ins, by what is around it.
func dress(text string, holes []hole) error {
	var prefix strings.Builder
	at := 0
	for i := range holes {
		h := &holes[i]
		prefix.WriteString(text[at:h.start])
		before, after := text[:h.start], text[h.end:]
		where := placeAfter(prefix.String())
		glued := i > 0 && h.start == at || strings.HasPrefix(after, "{{") || continues(before, after, where)
		name := "_" + strings.Map(letter, h.tag)
		switch {
		case where == inDuration && glued:
			return fmt.Errorf("%s: %w", position(text, h.start), errPart)
		case where == inDuration:
			h.standIns = []string{"1m"}
		case where == inMatcher:
			h.standIns = []string{`"x"`}
		case where == inMatchers && !glued && !operatorFollows(after):
			h.standIns = []string{name + `="x"`}
		case where == inCode:
			h.standIns = []string{name, "1", `"x"`}
			h.expression = !glued
		default:
			h.standIns = []string{name}
		}
		prefix.WriteString(h.standIns[0])
		at = h.end
	}
	return nil
}

// continues says whether the character before or after a hole belongs to the same name or number as the hole.
func continues(before, after string, where place) bool {
	inWord := func(r rune) bool { return letter(r) == r || r == '.' || r == ':' && where != inDuration }
	return before != "" && strings.LastIndexFunc(before, inWord) == len(before)-1 || strings.IndexFunc(after, inWord) == 0
}

// operatorFollows says whether the operator of a matcher comes next: then what is before it is a label's name.
func operatorFollows(text string) bool {
	var next parser.Item
	lexer := parser.Lex(text)
	for lexer.NextItem(&next); next.Typ == parser.COMMENT; lexer.NextItem(&next) {
	}
	at := int(next.Pos) // of the token, or of the error: outside braces, =~ is one
	return at < len(text) && strings.IndexByte("=!", text[at]) >= 0
}

// letter makes r fit for a PromQL name.
func letter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
