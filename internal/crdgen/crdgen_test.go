package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestCommittedFilesAreCurrent(t *testing.T) {
	for _, target := range targets() {
		t.Run(filepath.Base(filepath.Dir(target.path)), func(t *testing.T) {
			want, err := target.render(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join("..", "..", "k8s", filepath.FromSlash(target.path)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("k8s/%s is not what its module makes; run: go run ./internal/crdgen", target.path)
			}
		})
	}
}

func TestSlimDropsWordsAndKeepsTheSchema(t *testing.T) {
	var crd map[string]any
	if err := yaml.Unmarshal([]byte(`
kind: CustomResourceDefinition
metadata: {name: x, labels: {chart: istio}, annotations: {helm.sh/resource-policy: keep}}
spec:
  versions:
  - schema:
      openAPIV3Schema:
        description: gone
        required: [description]
        properties:
          description: {type: string, description: gone, pattern: "^a"}
          list:
            description: gone
            items: {properties: {properties: {description: gone, type: object}}}
            default: [{description: kept}]
`), &crd); err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := yaml.Unmarshal([]byte(`
kind: CustomResourceDefinition
metadata: {name: x}
spec:
  versions:
  - schema:
      openAPIV3Schema:
        required: [description]
        properties:
          description: {type: string, pattern: "^a"}
          list:
            items: {properties: {properties: {type: object}}}
            default: [{description: kept}]
`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, slim(crd)); diff != "" {
		t.Errorf("slim (-want +got):\n%s", diff)
	}
}

func TestMissingCRDIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a-crd.yaml")
	if err := os.WriteFile(file, []byte("kind: CustomResourceDefinition\nmetadata: {name: one}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if crds, err := load(file, []string{"one", "two"}); err == nil {
		t.Errorf("load found %v, want an error about two", crds)
	}
}
