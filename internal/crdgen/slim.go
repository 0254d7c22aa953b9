package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// load reads the CRDs from the files that the pattern matches, in order of their names. It returns those named, or
// all of them where none is named; one that is missing is an error.
func load(pattern string, names []string) ([]map[string]any, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var crds []map[string]any
	for _, file := range files {
		found, err := decode(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		crds = append(crds, found...)
	}
	if len(names) > 0 {
		crds = slices.DeleteFunc(crds, func(crd map[string]any) bool { return !slices.Contains(names, nameOf(crd)) })
	}
	if len(crds) == 0 || len(names) > 0 && len(crds) != len(names) {
		return nil, fmt.Errorf("found %d CRDs in %s, want %s", len(crds), pattern, names)
	}
	slices.SortFunc(crds, func(a, b map[string]any) int { return strings.Compare(nameOf(a), nameOf(b)) })
	return crds, nil
}

func decode(file string) ([]map[string]any, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decoder := utilyaml.NewYAMLOrJSONDecoder(f, 4096)
	var objects []map[string]any
	for {
		object := map[string]any{}
		if err := decoder.Decode(&object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if object["kind"] == "CustomResourceDefinition" {
			objects = append(objects, object)
		}
	}
}

func nameOf(crd map[string]any) string {
	metadata, _ := crd["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}

// slim removes what is there for readers only: descriptions, and the labels and annotations of the tool that
// packaged the CRD upstream. What the API server validates, defaults and prunes by stays as it is.
func slim(crd map[string]any) map[string]any {
	crd["metadata"] = map[string]any{"name": nameOf(crd)}
	dropDescriptions(crd)
	return crd
}

// dropDescriptions walks a schema. The keys below "properties" are names that users chose, so that a property
// called "description" is a property; a default is data.
func dropDescriptions(node any) {
	switch node := node.(type) {
	case map[string]any:
		if _, isText := node["description"].(string); isText {
			delete(node, "description")
		}
		for key, child := range node {
			properties, isMap := child.(map[string]any)
			switch {
			case key == "default":
			case key == "properties" && isMap:
				for _, property := range properties {
					dropDescriptions(property)
				}
			default:
				dropDescriptions(child)
			}
		}
	case []any:
		for _, child := range node {
			dropDescriptions(child)
		}
	}
}
