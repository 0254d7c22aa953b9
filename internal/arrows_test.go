package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "tidegate.io/tidegate/internal/"

// arrows are the imports that the house allows: from a room to the rooms it may stand on. A room that is missing here
// may stand on none.
var arrows = map[string][]string{
	"cli": {"engine", "fleet", "lab", "lab/image", "promapi", "release", "rollback", "rollouts",
		"probe", "probe/genai", "probe/smoke", "probe/visual", "probe/web"},
	"crdgen":       {"gomodule"},
	"engine":       {"promapi", "release", "rollback", "rollouts"},
	"rollouts":     {"release", "rollback"},
	"probe/smoke":  {"probe", "probe/web"},
	"probe/genai":  {"probe", "probe/web"},
	"probe/visual": {"probe", "probe/visual/pixel", "probe/web"},
	"lab":          {"lab/apply", "lab/build", "lab/image", "lab/lapse", "lab/mesh", "lab/node", "lab/proc", "lab/region"},
	"lab/region":   {"lab/apply", "lab/build", "lab/image", "lab/lapse", "lab/mesh", "lab/node", "lab/proc"},
	"lab/node":     {"lab/image", "lab/proc"},
	"lab/mesh":     {"lab/image"},
	"lab/build":    {"lab/proc"},
}

// pure rooms import the standard library alone, and nothing of it that reaches outside.
var (
	pure      = []string{"release", "rollback", "probe/visual/pixel"}
	forbidden = []string{"context", "net", "os", "syscall", "io", "log", "testing"}
)

func TestArrowsRunDown(t *testing.T) {
	for room, imports := range rooms(t) {
		for _, imported := range imports {
			to, ours := strings.CutPrefix(imported, module)
			if ours && to != room && !allowed(room, to) {
				t.Errorf("%s imports %s: no arrow of the house runs so; move the code, or draw the arrow in this test and say why", room, to)
			}
		}
	}
}

func TestPureRoomsStayPure(t *testing.T) {
	all := rooms(t)
	for _, room := range pure {
		if len(all[room]) == 0 {
			t.Fatalf("room %s was not found: has it moved?", room)
		}
		for _, imported := range all[room] {
			first, _, _ := strings.Cut(imported, "/")
			if strings.Contains(first, ".") {
				t.Errorf("%s imports %s: it may import the standard library alone", room, imported)
			}
			for _, f := range forbidden {
				if imported == f || strings.HasPrefix(imported, f+"/") {
					t.Errorf("%s imports %s: it decides, and reaches nothing", room, imported)
				}
			}
		}
	}
}

func TestOnlyTheDriverKnowsArgo(t *testing.T) {
	for room, imports := range rooms(t) {
		for _, imported := range imports {
			if strings.HasPrefix(imported, "github.com/argoproj/") && room != "rollouts" {
				t.Errorf("%s imports %s: only rollouts may", room, imported)
			}
		}
	}
}

func allowed(from, to string) bool {
	for _, a := range arrows[from] {
		if a == to {
			return true
		}
	}
	return false
}

// rooms maps each package below this folder to what its code imports, tests left out.
func rooms(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		room := path.Dir(filepath.ToSlash(file))
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[room] = append(found[room], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
