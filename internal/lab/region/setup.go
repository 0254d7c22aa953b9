package region

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"tidegate.io/tidegate/internal/lab/apply"
)

const (
	monitoringNS      = "monitoring"
	prometheusService = "prometheus-server"
	rolloutsAccount   = "argo-rollouts"
	rolloutsLease     = "argo-rollouts-controller-lock"

	// tokenSeconds is a year: the controller's token is never renewed, and no lab lasts that long.
	tokenSeconds = 365 * 24 * 60 * 60
)

func rolloutKind() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
}

// addressPrometheus gives Prometheus' Pod object its address, as a kubelet would.
func (r *Region) addressPrometheus(ctx context.Context) error {
	status := corev1.PodStatus{
		Phase:      corev1.PodRunning,
		PodIP:      prometheusIP,
		PodIPs:     []corev1.PodIP{{IP: prometheusIP}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: "prometheus", Image: "prom/prometheus", Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		}},
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("address of Prometheus: %w", err)
	}
	_, err = r.clients.kube.CoreV1().Pods(monitoringNS).
		Patch(ctx, prometheusService, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("address of Prometheus: %w", err)
	}
	return nil
}

// writeToken asks the API server for a token of the controller's ServiceAccount, so that the RBAC in
// k8s/base/argo-rollouts is what the controller works with.
func (r *Region) writeToken(ctx context.Context) (string, error) {
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	answer, err := r.clients.kube.CoreV1().ServiceAccounts(rolloutsNS).
		CreateToken(ctx, rolloutsAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of %s: %w", Rollouts, err)
	}
	if err := os.WriteFile(r.opts.Config.path(rolloutsToken), []byte(answer.Status.Token), 0o600); err != nil {
		return "", fmt.Errorf("token of %s: %w", Rollouts, err)
	}
	return answer.Status.Token, nil
}

// permitted waits until the API server has taken in its own roles, the controller's ClusterRole and its Role: the
// controller gives up at the first refusal.
func (r *Region) permitted(ctx context.Context, token string) error {
	for path, want := range map[string]int{
		"/version": http.StatusOK,
		"/apis/argoproj.io/v1alpha1/rollouts?limit=1":                                        http.StatusOK,
		"/apis/coordination.k8s.io/v1/namespaces/" + rolloutsNS + "/leases/" + rolloutsLease: http.StatusNotFound,
	} {
		if err := poll(ctx, r.process(APIServer), r.files.Processes[APIServer], r.probe(path, token, want)); err != nil {
			return fmt.Errorf("permissions of %s: %w", Rollouts, err)
		}
	}
	return nil
}

// endpointsMade waits for what the controller-manager makes of the first Service there is.
func (r *Region) endpointsMade(ctx context.Context) error {
	endpoints := r.clients.custom.Resource(schema.GroupVersionResource{Version: "v1", Resource: "endpoints"})
	return await(ctx, endpoints.Namespace(monitoringNS), prometheusService, func(o *unstructured.Unstructured) bool {
		subsets, _, _ := unstructured.NestedSlice(o.Object, "subsets")
		return len(subsets) > 0
	})
}

// leaseTaken waits until the Rollouts controller leads: it works on nothing before.
func (r *Region) leaseTaken(ctx context.Context) error {
	leases := r.clients.custom.Resource(schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"})
	return await(ctx, leases.Namespace(rolloutsNS), rolloutsLease, func(o *unstructured.Unstructured) bool {
		holder, _, _ := unstructured.NestedString(o.Object, "spec", "holderIdentity")
		return holder != ""
	})
}

// deploy applies the workloads and waits until every Rollout among them is Healthy.
func (r *Region) deploy(ctx context.Context) error {
	workloads, err := r.opts.Workloads()
	if err != nil {
		return err
	}
	if err := apply.Apply(ctx, r.clients.config, workloads); err != nil {
		return err
	}
	waiting := map[string]string{} // Rollout → what it said last
	for _, obj := range workloads {
		if obj.GetKind() == "Rollout" {
			waiting[namespaceOf(obj)+"/"+obj.GetName()] = "not seen yet"
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not Healthy after %s", patience))
	defer cancel()
	err = await(ctx, r.clients.custom.Resource(rolloutKind()), "", func(o *unstructured.Unstructured) bool {
		key := namespaceOf(o) + "/" + o.GetName()
		if _, ok := waiting[key]; !ok {
			return false
		}
		if said, healthy := health(o); healthy {
			delete(waiting, key)
		} else {
			waiting[key] = said
		}
		return len(waiting) == 0
	})
	if err == nil {
		return nil
	}
	var late []string
	for name, said := range waiting {
		late = append(late, name+": "+said)
	}
	slices.Sort(late)
	return spoken(r.files.Processes[Rollouts], fmt.Errorf("workloads: %w: %s", err, strings.Join(late, "; ")))
}

// health says what a Rollout's status says of its present generation.
func health(rollout *unstructured.Unstructured) (said string, healthy bool) {
	status, _, _ := unstructured.NestedMap(rollout.Object, "status")
	phase, _ := status["phase"].(string)
	message, _ := status["message"].(string)
	observed, _ := status["observedGeneration"].(string)
	if observed != strconv.FormatInt(rollout.GetGeneration(), 10) {
		return "the controller has not seen it yet", false
	}
	return strings.TrimSuffix(phase+": "+message, ": "), phase == "Healthy"
}

func namespaceOf(obj *unstructured.Unstructured) string {
	if ns := obj.GetNamespace(); ns != "" {
		return ns
	}
	return metav1.NamespaceDefault
}
