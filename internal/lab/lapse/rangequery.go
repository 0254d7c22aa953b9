package lapse

import (
	"errors"
	"fmt"
	"strings"
)

// replaceDurations rewrites the literals in the duration("…") calls of an expression in expr-lang, the language of
// Argo's rangeQuery. Everything else stays as it is.
func replaceDurations(text string, replace func(string) (string, error)) (string, error) {
	var out strings.Builder
	for at := 0; at < len(text); {
		end := at + tokenLength(text[at:])
		out.WriteString(text[at:end])
		open := end + blanks(text[end:])
		if text[at:end] != "duration" || !strings.HasPrefix(text[open:], "(") {
			at = end
			continue
		}
		start := open + 1 + blanks(text[open+1:])
		stop := start + tokenLength(text[start:])
		value, err := literalValue(text[start:stop])
		if err == nil {
			value, err = replace(value)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", position(text, start), err)
		}
		out.WriteString(text[end : start+1])
		out.WriteString(value)
		out.WriteString(text[stop-1 : stop])
		at = stop
	}
	return out.String(), nil
}

// tokenLength is the length of the name, number, string or other character that text begins with.
func tokenLength(text string) int {
	switch {
	case text == "":
		return 0
	case strings.IndexByte("\"'`", text[0]) >= 0:
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case text[0]:
				return i + 1
			}
		}
		return len(text)
	}
	return max(1, len(text)-len(strings.TrimLeftFunc(text, func(r rune) bool { return letter(r) == r })))
}

func blanks(text string) int { return len(text) - len(strings.TrimLeft(text, " \t\r\n")) }

// literalValue is what a string literal without escapes says.
func literalValue(token string) (string, error) {
	n := len(token)
	if n < 2 || strings.IndexByte("\"'`", token[0]) < 0 || token[n-1] != token[0] || strings.Contains(token, `\`) {
		return "", errors.New("only a plain string in duration(…) can be shortened")
	}
	return token[1 : n-1], nil
}
