// Command picture renders a recorded terminal session, read from standard input, as an SVG on standard output.
package main

import (
	"bufio"
	"fmt"
	"html"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	lineHeight = 18
	charWidth  = 7.8
	margin     = 16
	maxWidth   = 132 // characters; what is longer is cut
)

// classes of the SGR codes that the command line uses.
var classes = map[string]string{"1": "bold", "2": "dim", "31": "bad", "32": "good", "33": "busy"}

var (
	sgr   = regexp.MustCompile(`\x1b\[([0-9;]*)m`)
	other = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-ln-z]`)
)

func main() {
	if err := render(); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func render() error {
	var lines []string
	width := 80
	scan := bufio.NewScanner(os.Stdin)
	for scan.Scan() {
		line := scan.Text()
		if strings.HasPrefix(line, "Script ") {
			continue // the recorder's own
		}
		line = strings.TrimRight(line, "\r")
		if i := strings.LastIndex(line, "\r"); i >= 0 {
			line = line[i+1:] // what a line that was redrawn showed last
		}
		line = cut(other.ReplaceAllString(line, ""))
		lines = append(lines, line)
		width = max(width, utf8.RuneCountInString(sgr.ReplaceAllString(line, "")))
	}
	if err := scan.Err(); err != nil {
		return err
	}
	w, h := float64(width)*charWidth+2*margin, len(lines)*lineHeight+2*margin
	fmt.Printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="13">
<style>text{fill:#d5dbe3;white-space:pre}.bold{font-weight:700;fill:#fff}.dim{fill:#8a94a3}.good{fill:#7bd88f}.bad{fill:#ff7b72}.busy{fill:#e3b341}</style>
<rect width="100%%" height="100%%" rx="8" fill="#11161d"/>
`, w, h)
	for i, line := range lines {
		fmt.Printf("<text x=\"%d\" y=\"%d\" xml:space=\"preserve\">%s</text>\n", margin, margin+13+i*lineHeight, spans(line))
	}
	fmt.Println("</svg>")
	return nil
}

// cut shortens a line to what the picture has room for. Colours take no room.
func cut(line string) string {
	shown := sgr.ReplaceAllString(line, "")
	if utf8.RuneCountInString(shown) <= maxWidth {
		return line
	}
	codes := sgr.FindAllString(line, -1)
	short := string([]rune(shown)[:maxWidth-1]) + "…"
	if len(codes) > 0 {
		short = codes[0] + short // a line that long has one colour
	}
	return short
}

// spans turns the colours of one line into classes.
func spans(line string) string {
	var b strings.Builder
	class, at := "", 0
	emit := func(text string) {
		switch {
		case text == "":
		case class == "":
			b.WriteString(html.EscapeString(text))
		default:
			fmt.Fprintf(&b, `<tspan class="%s">%s</tspan>`, class, html.EscapeString(text))
		}
	}
	for _, m := range sgr.FindAllStringSubmatchIndex(line, -1) {
		emit(line[at:m[0]])
		class, at = classes[line[m[2]:m[3]]], m[1]
	}
	emit(line[at:])
	return b.String()
}
