package lab

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"tidegate.io/tidegate/internal/lab/apply"
	"tidegate.io/tidegate/internal/lab/lapse"
)

// Manifests reads the kustomization in folder, or if that is "" the documents in file, and shortens them to the lab's
// speed.
func (c *Client) Manifests(folder, file string) ([]*unstructured.Unstructured, error) {
	read, from := apply.File, file
	if folder != "" {
		read, from = apply.Dir, folder
	}
	objs, err := read(from)
	if err != nil {
		return nil, err
	}
	if err := lapse.Shorten(objs, c.Speed()); err != nil {
		return nil, fmt.Errorf("%s at speed %d: %w", from, c.Speed(), err)
	}
	return objs, nil
}

// Apply applies objects in one region, server-side.
func (c *Client) Apply(ctx context.Context, region string, objs []*unstructured.Unstructured) error {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig()}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextOf(region)}).ClientConfig()
	if err == nil {
		err = apply.Apply(ctx, cfg, objs)
	}
	if err != nil {
		return fmt.Errorf("region %s: %w", region, err)
	}
	return nil
}
