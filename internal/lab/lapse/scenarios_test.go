package lapse

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/apply"
)

// TestScenarios runs testdata/scenarios. `go test ./internal/lab/lapse -rewrite` writes the results anew; read the diff.
//
//	shorten speed=N   the manifests below; prints each value that changed, and so also that no other did
//	query speed=N     the PromQL below; prints it shortened, and what its arguments stand for
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var speed int
			d.ScanArgs(t, "speed", &speed)
			switch d.Cmd {
			case "shorten":
				return scenarioShorten(t, d.Input, speed)
			case "query":
				return scenarioQuery(d.Input, int64(speed))
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func scenarioShorten(t *testing.T, manifests string, speed int) string {
	objs := manifest(t, manifests)
	before := copies(objs)
	if err := Shorten(objs, speed); err != nil {
		if !reflect.DeepEqual(before, objs) {
			t.Error("objects were changed in spite of the error")
		}
		return fmt.Sprintf("error: %v\n", err)
	}
	var out strings.Builder
	for i, obj := range objs {
		var changes []string
		compare(&changes, "", before[i].Object, obj.Object)
		slices.Sort(changes)
		fmt.Fprintln(&out, title(obj))
		for _, change := range changes {
			fmt.Fprintln(&out, " ", change)
		}
	}
	return out.String()
}

func scenarioQuery(query string, n int64) string {
	found := uses{}
	short, err := shortenQuery(query, n, found)
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var lines []string
	for name, use := range found {
		switch {
		case use.duration:
			lines = append(lines, fmt.Sprintf("%s: duration, floor %s\n", name, format(use.floor)))
		case use.query:
			lines = append(lines, fmt.Sprintf("%s: expression\n", name))
		}
	}
	slices.Sort(lines)
	return short + "\n" + strings.Join(lines, "")
}

// compare lists the leaves in which b differs from a.
func compare(changes *[]string, path string, a, b any) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			*changes = append(*changes, path+" has other keys")
			return
		}
		for key := range a {
			compare(changes, strings.TrimPrefix(path+"."+key, "."), a[key], b[key])
		}
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			*changes = append(*changes, path+" has other items")
			return
		}
		for i := range a {
			compare(changes, fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
		}
	default:
		if !reflect.DeepEqual(a, b) {
			*changes = append(*changes, fmt.Sprintf("%s: %#v → %#v", path, a, b))
		}
	}
}

func manifest(t *testing.T, yaml string) []*unstructured.Unstructured {
	t.Helper()
	objs, err := apply.Read(strings.NewReader(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

func copies(objs []*unstructured.Unstructured) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, obj := range objs {
		all = append(all, obj.DeepCopy())
	}
	return all
}
