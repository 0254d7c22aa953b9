package node

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func texts(lines []logLine) string {
	var all []string
	for _, l := range lines {
		all = append(all, string(l.text))
	}
	return strings.Join(all, "|")
}

func TestLogCutsLines(t *testing.T) {
	var log logBuffer
	fmt.Fprint(&log, "a\nb")
	if lines, _, _, _ := log.read(0); texts(lines) != "a" {
		t.Errorf("read %q before the second line ended", texts(lines))
	}
	fmt.Fprint(&log, "b\n\nlast words")
	log.close()
	fmt.Fprint(&log, "from the grave\n")
	lines, _, ended, _ := log.read(0)
	if got := texts(lines); got != "a|bb||last words" || !ended {
		t.Errorf("read %q, ended %v", got, ended)
	}
}

func TestLogIsBounded(t *testing.T) {
	var log logBuffer
	for i := range 3 * maxLogLines {
		fmt.Fprintf(&log, "%d\n", i)
	}
	lines, next, _, _ := log.read(0)
	if len(lines) != maxLogLines || string(lines[0].text) != fmt.Sprint(2*maxLogLines) || next != 3*maxLogLines {
		t.Errorf("%d lines from %q, next %d", len(lines), lines[0].text, next)
	}
	fmt.Fprintf(&log, "%s\n", strings.Repeat("x", 2*maxLogLine))
	lines, _, _, _ = log.read(next)
	if len(lines) != 1 || len(lines[0].text) != maxLogLine {
		t.Errorf("a long line was not cut")
	}
	for range 2 * maxLogBytes / maxLogLine {
		fmt.Fprintf(&log, "%s\n", strings.Repeat("x", maxLogLine))
	}
	lines, _, _, _ = log.read(0)
	if held := len(lines) * maxLogLine; held > maxLogBytes {
		t.Errorf("%d bytes are held", held)
	}
}

func TestLogWakesReaders(t *testing.T) {
	var log logBuffer
	_, next, _, more := log.read(0)
	select {
	case <-more:
		t.Fatal("woken by nothing")
	default:
	}
	go fmt.Fprint(&log, "a\n")
	select {
	case <-more:
	case <-time.After(patience):
		t.Fatal("not woken by a line")
	}
	lines, _, _, more := log.read(next)
	if texts(lines) != "a" {
		t.Errorf("read %q", texts(lines))
	}
	go log.close()
	select {
	case <-more:
	case <-time.After(patience):
		t.Fatal("not woken by the end")
	}
}
