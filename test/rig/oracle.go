//go:build lab

package rig

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"tidegate.io/tidegate/internal/lab/mesh"
	"tidegate.io/tidegate/internal/promapi"
)

// What the oracle reads.
var (
	RolloutsGVR = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	ReplicasGVR = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	PodsGVR     = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	ServicesGVR = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	crdsGVR     = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	RoutesGVR   = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
)

// Follow calls see with each state of one object of the namespace default, until see returns true or limit is over.
func (f *Fleet) Follow(ctx context.Context, region string, gvr schema.GroupVersionResource, name string, limit time.Duration, see func(*unstructured.Unstructured) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s %s in %s did not come to it within %s", gvr.Resource, name, region, limit))
	defer cancel()
	return follow(ctx, f.Clients[region].Resource(gvr).Namespace("default"), name, see)
}

// follow calls see with each state of one object, until see returns true or ctx ends.
func follow(ctx context.Context, client dynamic.ResourceInterface, name string, see func(*unstructured.Unstructured) bool) error {
	only := "metadata.name=" + name
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			return client.Watch(ctx, o)
		},
	}
	_, err := watchtools.UntilWithSync(ctx, source, &unstructured.Unstructured{}, nil, func(e watch.Event) (bool, error) {
		u, ok := e.Object.(*unstructured.Unstructured)
		return ok && e.Type != watch.Deleted && see(u), nil
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Until waits for a state of the rollout.
func (f *Fleet) Until(t *testing.T, region, rollout, what string, limit time.Duration, cond func(*unstructured.Unstructured) bool) {
	t.Helper()
	if err := f.Follow(t.Context(), region, RolloutsGVR, rollout, limit, cond); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// Everywhere does the same in every region at once, and fails the test with what went wrong in any.
func Everywhere(t *testing.T, regions []string, do func(region string) error) {
	t.Helper()
	errs := make(chan error, len(regions))
	for _, region := range regions {
		go func() { errs <- do(region) }()
	}
	var all error
	for range regions {
		all = errors.Join(all, <-errs)
	}
	if all != nil {
		t.Fatal(all)
	}
}

// Str is the text at path, "" where there is none.
func Str(u *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, path...)
	return s
}

// Num is the whole number at path, 0 where there is none.
func Num(u *unstructured.Unstructured, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(u.Object, path...)
	return n
}

// ImageIn is the image of the first container of the pod spec at path.
func ImageIn(u *unstructured.Unstructured, path ...string) string {
	containers, _, _ := unstructured.NestedSlice(u.Object, append(path, "containers")...)
	if len(containers) == 0 {
		return ""
	}
	c, _ := containers[0].(map[string]any)
	img, _ := c["image"].(string)
	return img
}

// Promoted holds when the controller calls the image stable and healthy.
func Promoted(img string) func(*unstructured.Unstructured) bool {
	return func(u *unstructured.Unstructured) bool {
		return ImageIn(u, "spec", "template", "spec") == img && Settled(u) && Str(u, "status", "phase") == "Healthy" &&
			Str(u, "status", "stableRS") == Str(u, "status", "currentPodHash")
	}
}

// Settled holds when the controller has seen what the rollout asks for now.
func Settled(u *unstructured.Unstructured) bool {
	return Str(u, "status", "observedGeneration") == fmt.Sprint(u.GetGeneration())
}

// Get reads one object of the namespace default.
func (f *Fleet) Get(ctx context.Context, region string, gvr schema.GroupVersionResource, name string) (*unstructured.Unstructured, error) {
	return f.Clients[region].Resource(gvr).Namespace("default").Get(ctx, name, metav1.GetOptions{})
}

// CurrentImage is what the rollout asks for now.
func (f *Fleet) CurrentImage(t *testing.T, region, rollout string) string {
	t.Helper()
	u, err := f.Get(t.Context(), region, RolloutsGVR, rollout)
	if err != nil {
		t.Fatal(err)
	}
	return ImageIn(u, "spec", "template", "spec")
}

// Patch merges body into a rollout, or into the subresource sub.
func (f *Fleet) Patch(ctx context.Context, region, rollout, body string, sub ...string) error {
	_, err := f.Clients[region].Resource(RolloutsGVR).Namespace("default").Patch(ctx, rollout, types.MergePatchType, []byte(body), metav1.PatchOptions{}, sub...)
	return err
}

// SetImage asks for an image, as `kubectl argo rollouts set image` does.
func (f *Fleet) SetImage(ctx context.Context, region, rollout, img string) error {
	body := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, img)
	_, err := f.Clients[region].Resource(RolloutsGVR).Namespace("default").Patch(ctx, rollout, types.JSONPatchType, []byte(body), metav1.PatchOptions{})
	return err
}

// ServesOnly is the oracle's own judgement that all user traffic goes to pods of img: it follows the public route to a
// Service, the Service's selector to pods, and reads the pods' images.
func (f *Fleet) ServesOnly(ctx context.Context, region, rollout, img string) error {
	hosts := []string{rollout} // blue/green: the active Service bears the rollout's name
	if vs, err := f.Get(ctx, region, RoutesGVR, rollout+"-vsvc"); err == nil {
		hosts = weighted(vs)
	}
	for _, host := range hosts {
		svc, err := f.Get(ctx, region, ServicesGVR, host)
		if err != nil {
			return err
		}
		selector, _, _ := unstructured.NestedStringMap(svc.Object, "spec", "selector")
		pods, err := f.Clients[region].Resource(PodsGVR).Namespace("default").List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: selector})})
		if err != nil {
			return err
		}
		running := 0
		for _, pod := range pods.Items {
			if pod.GetDeletionTimestamp() != nil {
				continue
			}
			running++
			if got := ImageIn(&pod, "spec"); got != img {
				return fmt.Errorf("%s: %s leads to pod %s of %s, want %s", region, host, pod.GetName(), got, img)
			}
		}
		if running == 0 {
			return fmt.Errorf("%s: %s leads to no pod", region, host)
		}
	}
	return nil
}

// weighted are the hosts that the primary route sends anything to.
func weighted(vs *unstructured.Unstructured) []string {
	var hosts []string
	routes, _, _ := unstructured.NestedSlice(vs.Object, "spec", "http")
	for _, r := range routes {
		targets, _ := r.(map[string]any)["route"].([]any)
		for _, t := range targets {
			target, _ := t.(map[string]any)
			if weight, _, _ := unstructured.NestedInt64(target, "weight"); weight > 0 {
				host, _, _ := unstructured.NestedString(target, "destination", "host")
				hosts = append(hosts, host)
			}
		}
	}
	return hosts
}

// Requests are a count: all of them, and those of one image.
type Requests struct{ Total, Image int }

// Requests are those that the mesh of a region counted for a rollout so far; Image are those that img answered.
func (f *Fleet) Requests(ctx context.Context, region, rollout, img string) (Requests, error) {
	counts, err := f.Lab.Traffic(ctx, region)
	if err != nil {
		return Requests{}, err
	}
	var r Requests
	for _, c := range counts {
		if c.Service != rollout {
			continue
		}
		r.Total += int(c.Requests)
		if c.Image == img {
			r.Image += int(c.Requests)
		}
	}
	return r, nil
}

// sent is what the users of a rollout sent so far, and what of it came to nothing: an error, a refusal, or no answer at all.
// Right after the start there are none yet.
func (f *Fleet) sent(ctx context.Context, region, rollout string) (mesh.Total, error) {
	totals, err := f.Lab.Sent(ctx, region)
	if err != nil {
		return mesh.Total{}, err
	}
	for _, total := range totals {
		if total.Rollout == rollout {
			return total, nil
		}
	}
	return mesh.Total{}, nil
}

// NoneFailed fails the test if any user's request to the rollout failed, in any of the regions, from now until check is
// called.
func (f *Fleet) NoneFailed(t *testing.T, regions []string, rollout string) (check func()) {
	t.Helper()
	before := map[string]mesh.Total{}
	for _, region := range regions {
		total, err := f.sent(t.Context(), region, rollout)
		if err != nil {
			t.Fatal(err)
		}
		before[region] = total
	}
	return func() {
		t.Helper()
		for _, region := range regions {
			after, err := f.sent(t.Context(), region, rollout)
			if err != nil {
				t.Fatal(err)
			}
			switch failed, sent := after.Failed-before[region].Failed, after.Sent-before[region].Sent; {
			case sent == 0:
				t.Errorf("%s: no request was sent to %s: nothing is proven", region, rollout)
			case failed > 0:
				t.Errorf("%s: %d of %d requests to %s failed: %+v", region, failed, sent, rollout, after.Versions)
			}
		}
	}
}

// UntilForgotten waits until a region's Prometheus answers query with nothing.
func (f *Fleet) UntilForgotten(t *testing.T, region, query string) {
	t.Helper()
	state, err := f.Lab.Region(region)
	if err != nil {
		t.Fatal(err)
	}
	client := promapi.At(state.Prometheus)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, fmt.Errorf("%s still answers after a minute: %s", region, query))
	defer cancel()
	// Prometheus has nothing to watch; its answer changes with each scrape, once a second.
	err = wait.PollUntilContextCancel(ctx, time.Second/4, true, func(ctx context.Context) (bool, error) {
		_, err := client.Scalar(ctx, "count("+query+")")
		if errors.Is(err, promapi.ErrNoData) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		t.Fatal(errors.Join(err, context.Cause(ctx)))
	}
}
