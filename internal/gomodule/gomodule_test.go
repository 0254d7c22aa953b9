package gomodule

import (
	"strings"
	"testing"
)

func TestAnotherHashIsRefused(t *testing.T) {
	m := Module{Path: "istio.io/api", Version: "v1.30.8", Sum: "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
	if _, err := m.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "pinned is h1:AAAA") {
		t.Errorf("fetch with a wrong hash: %v", err)
	}
}
