package lab

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/region"
	"tidegate.io/tidegate/k8s"
)

// The folders of k8s/ that a lab's workloads are in.
const templatesFolder = "rollouts/analysis"

func serviceFolders() []string { return []string{"rollouts/blue-green", "rollouts/canary"} }

// Services returns the names of the Rollouts that a lab can run, those of k8s/rollouts, in alphabetical order.
func Services() ([]string, error) { return servicesIn(k8s.FS) }

func servicesIn(tree fs.FS) ([]string, error) {
	objs, err := region.ReadTree(tree, serviceFolders()...)
	if err != nil {
		return nil, fmt.Errorf("services of the lab: %w", err)
	}
	names := rolloutsOf(objs)
	slices.Sort(names)
	return names, nil
}

func rolloutsOf(objs []*unstructured.Unstructured) []string {
	var names []string
	for _, obj := range objs {
		if obj.GetKind() == "Rollout" {
			names = append(names, obj.GetName())
		}
	}
	return names
}

// checkServices says which of the named services there is not. No names are all of them.
func checkServices(names []string) error {
	if len(names) == 0 {
		return nil
	}
	known, err := Services()
	if err != nil {
		return err
	}
	for i, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("service %q: k8s/rollouts has no such Rollout; want some of %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return fmt.Errorf("service %s is named twice", name)
		}
	}
	return nil
}

// workloadsIn reads what a region runs from a tree laid out as k8s/: all analysis templates, and of each kustomization the
// named Rollouts (none named: all) with what is labelled as theirs and what is labelled as no Rollout's, which they share.
func workloadsIn(tree fs.FS, services []string) ([]*unstructured.Unstructured, error) {
	objs, err := region.ReadTree(tree, templatesFolder)
	if err != nil {
		return nil, err
	}
	for _, folder := range serviceFolders() {
		found, err := region.ReadTree(tree, folder)
		if err != nil {
			return nil, err
		}
		if len(services) > 0 {
			others := slices.DeleteFunc(rolloutsOf(found), func(name string) bool { return slices.Contains(services, name) })
			found = slices.DeleteFunc(found, func(obj *unstructured.Unstructured) bool { return belongs(obj, others) })
		}
		objs = append(objs, found...)
	}
	return objs, nil
}

// belongs reports whether an object is one of the Rollouts, or is labelled as one's.
func belongs(obj *unstructured.Unstructured, rollouts []string) bool {
	return slices.Contains(rollouts, obj.GetLabels()["app"]) || obj.GetKind() == "Rollout" && slices.Contains(rollouts, obj.GetName())
}
