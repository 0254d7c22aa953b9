package apply

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var tree = map[string]string{
	"k8s/base/kustomization.yaml": "resources: [service.yaml]\n",
	"k8s/base/service.yaml":       "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n",
	"k8s/prod/kustomization.yaml": "namespace: prod\nresources: [../base, settings.yaml]\n",
	"k8s/prod/settings.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {size: \"3\"}\n",
	"k8s/prod/broken.yaml":        "kind: [\n",
}

func titles(objs []*unstructured.Unstructured) []string {
	var all []string
	for _, obj := range objs {
		all = append(all, title(obj))
	}
	slices.Sort(all)
	return all
}

func TestKustomizeEmbeddedAndOnDisk(t *testing.T) {
	embedded, root := fstest.MapFS{}, t.TempDir()
	for name, content := range tree {
		embedded[name] = &fstest.MapFile{Data: []byte(content)}
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fromTree, err := Kustomize(embedded, "k8s/prod")
	if err != nil {
		t.Fatal(err)
	}
	fromDisk, err := Dir(filepath.Join(root, "k8s/prod"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ConfigMap prod/settings", "Service prod/web"}
	if got := titles(fromTree); !slices.Equal(got, want) {
		t.Errorf("embedded: %v, want %v", got, want)
	}
	if got := titles(fromDisk); !slices.Equal(got, want) {
		t.Errorf("on disk: %v, want %v", got, want)
	}
	for _, obj := range fromTree {
		// Numbers must be those of client-go's decoder: an int cannot even be deep-copied.
		if obj.GetKind() == "Service" {
			ports, _, err := unstructured.NestedSlice(obj.Object, "spec", "ports")
			if err != nil || ports[0].(map[string]any)["port"] != int64(80) {
				t.Errorf("ports %#v, %v", ports, err)
			}
		}
	}
}

func TestKustomizeNamesTheFolderThatFails(t *testing.T) {
	_, err := Kustomize(fstest.MapFS{}, "k8s/nowhere")
	if err == nil || !strings.Contains(err.Error(), "kustomize k8s/nowhere") {
		t.Errorf("error %v", err)
	}
}

func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want []string
		err  string
	}{
		"several documents, some empty": {
			in: "# licence\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: x}\n---\n---\n# nothing\n---\n" +
				"apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n",
			want: []string{"Namespace x", "Service x/a"},
		},
		"json": {
			in: `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
			     {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}`,
			want: []string{"Secret a", "Secret b"},
		},
		"lists in lists": {
			in: "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n" +
				"- apiVersion: v1\n  kind: SecretList\n  items:\n  - {apiVersion: v1, kind: Secret, metadata: {name: b}}\n",
			want: []string{"Secret a", "Secret b"},
		},
		"an empty list":    {in: "apiVersion: v1\nkind: List\nitems: []\n"},
		"nothing":          {in: ""},
		"no kind":          {in: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\napiVersion: v1\n", err: "document 2: "},
		"no apiVersion":    {in: "kind: Secret\nmetadata: {name: a}\n", err: "document 1: an object without apiVersion or kind"},
		"no name":          {in: "apiVersion: v1\nkind: Secret\n", err: "document 1: Secret without a name"},
		"not YAML":         {in: "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n{]", err: "document 2: "},
		"a list of scalar": {in: "apiVersion: v1\nkind: List\nitems: [3]\n", err: "document 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			objs, err := Read(strings.NewReader(test.in))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := titles(objs); !slices.Equal(got, test.want) {
				t.Errorf("read %v, want %v", got, test.want)
			}
		})
	}
}

func TestFileNamesItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.yaml")
	if _, err := File(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("kind: Secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := File(path); err == nil || !strings.Contains(err.Error(), path+": document 1: ") {
		t.Errorf("broken file: %v", err)
	}
}
