// Package apply brings manifests into a cluster: it reads them from a kustomization or a file, and applies them
// server-side, in an order in which they can work.
package apply

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// sniff is how many bytes the decoder looks at to tell JSON from YAML.
const sniff = 4096

// Kustomize builds the kustomization in folder dir of a tree, such as an embedded one, as `kubectl apply -k` would
// from disk. The whole tree is in reach, so `../` in dir works.
func Kustomize(fsys fs.FS, dir string) ([]*unstructured.Unstructured, error) {
	tree := filesys.MakeFsInMemory()
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return tree.WriteFile(path.Join("/", name), content)
	})
	if err != nil {
		return nil, fmt.Errorf("read the tree of %s: %w", dir, err)
	}
	return build(tree, path.Join("/", dir), dir)
}

// Dir builds the kustomization in a folder on disk, as `kubectl apply -k` does.
func Dir(path string) ([]*unstructured.Unstructured, error) {
	return build(filesys.MakeFsOnDisk(), path, path)
}

func build(tree filesys.FileSystem, dir, name string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // the order is the kustomization's own, or that of kubectl
	resources, err := krusty.MakeKustomizer(options).Run(tree, dir)
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", name, err)
	}
	var objs []*unstructured.Unstructured
	for _, resource := range resources.Resources() {
		raw, err := resource.MarshalJSON()
		if err == nil {
			objs, err = decode(objs, raw)
		}
		if err != nil {
			return nil, fmt.Errorf("kustomize %s: %s: %w", name, resource.CurId(), err)
		}
	}
	return objs, nil
}

// File reads the objects of a YAML or JSON file; see Read.
func File(path string) ([]*unstructured.Unstructured, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	objs, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return objs, nil
}

// Read reads the objects of a stream of YAML or JSON documents, in order. Empty documents are skipped, and lists are
// replaced by their items. An error says which document it is about, counting from one.
func Read(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, sniff)
	for n := 1; ; n++ {
		var document runtime.RawExtension
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objs, nil
		}
		if err == nil && len(document.Raw) > 0 && string(document.Raw) != "null" {
			objs, err = decode(objs, document.Raw)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
	}
}

// decode appends the object in raw, or the items if it is a list.
func decode(objs []*unstructured.Unstructured, raw []byte) ([]*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return flatten(objs, obj)
}

func flatten(objs []*unstructured.Unstructured, obj *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if obj.IsList() && strings.HasSuffix(obj.GetKind(), "List") {
		err := obj.EachListItem(func(item runtime.Object) error {
			var err error
			objs, err = flatten(objs, item.(*unstructured.Unstructured))
			return err
		})
		return objs, err
	}
	switch {
	case obj.GetKind() == "" || obj.GetAPIVersion() == "":
		return nil, errors.New("an object without apiVersion or kind")
	case obj.GetName() == "":
		return nil, fmt.Errorf("%s without a name", obj.GetKind())
	}
	return append(objs, obj), nil
}
