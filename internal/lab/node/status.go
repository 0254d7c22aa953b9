package node

import (
	"encoding/json"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hostIP is where the node's own servers listen.
const hostIP = "127.0.0.1"

// view is all that a pod's status is made of.
type view struct {
	spec         *v1.PodSpec
	ip           string
	started      metav1.Time
	inits, mains []v1.ContainerStatus
	before       []v1.PodCondition // for the time of the last transition
	now          metav1.Time
}

// podStatus says what a kubelet would say of a pod in this state.
func podStatus(v view) v1.PodStatus {
	initialized := v.initialized()
	unready := v.unready()
	status := v1.PodStatus{
		Phase:  v.phase(),
		HostIP: hostIP, HostIPs: []v1.HostIP{{IP: hostIP}},
		PodIP: v.ip, PodIPs: []v1.PodIP{{IP: v.ip}},
		StartTime:             &v.started,
		InitContainerStatuses: v.inits,
		ContainerStatuses:     v.mains,
	}
	for _, c := range slices.Concat(v.inits, v.mains) {
		if t := c.State.Terminated; t != nil && t.Reason == reasonRefused {
			status.Reason, status.Message = t.Reason, t.Message
		}
	}
	ready := v1.PodCondition{Status: v1.ConditionTrue}
	switch {
	case status.Phase == v1.PodSucceeded:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodCompleted"}
	case status.Phase == v1.PodFailed:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "PodFailed"}
	case len(unready) > 0:
		ready = v1.PodCondition{Status: v1.ConditionFalse, Reason: "ContainersNotReady",
			Message: "containers with unready status: [" + strings.Join(unready, " ") + "]"}
	}
	done := v1.PodCondition{Type: v1.PodInitialized, Status: v1.ConditionTrue}
	if !initialized {
		done.Status, done.Reason = v1.ConditionFalse, "ContainersNotInitialized"
	}
	containers := ready
	ready.Type, containers.Type = v1.PodReady, v1.ContainersReady
	scheduled := v1.PodCondition{Type: v1.PodScheduled, Status: v1.ConditionTrue}
	for _, condition := range []v1.PodCondition{scheduled, done, containers, ready} {
		status.Conditions = append(status.Conditions, v.dated(condition))
	}
	return status
}

// initialized reports whether the init containers have made way: each is done or, a sidecar, has started. That
// stays so once the others have begun, whatever becomes of a sidecar.
func (v view) initialized() bool {
	for _, c := range v.mains {
		if c.ContainerID != "" {
			return true
		}
	}
	for i, c := range v.inits {
		if isSidecar(&v.spec.InitContainers[i]) {
			if !isTrue(c.Started) {
				return false
			}
		} else if t := c.State.Terminated; t == nil || t.ExitCode != 0 {
			return false
		}
	}
	return true
}

// unready names the containers that are not ready.
func (v view) unready() []string {
	var names []string
	for i, c := range v.inits {
		if isSidecar(&v.spec.InitContainers[i]) && !c.Ready {
			names = append(names, c.Name)
		}
	}
	for _, c := range v.mains {
		if !c.Ready {
			names = append(names, c.Name)
		}
	}
	return names
}

func (v view) phase() v1.PodPhase {
	for i, c := range v.inits {
		if t := c.State.Terminated; t != nil && t.ExitCode != 0 && !isSidecar(&v.spec.InitContainers[i]) {
			return v1.PodFailed // one that may be tried again waits, and is not terminated
		}
	}
	phase := v1.PodSucceeded
	for _, c := range v.mains {
		switch t := c.State.Terminated; {
		case t == nil && c.ContainerID == "":
			return v1.PodPending
		case t == nil:
			phase = v1.PodRunning
		case t.ExitCode != 0 && phase == v1.PodSucceeded:
			phase = v1.PodFailed
		}
	}
	return phase
}

// dated keeps the time of the last transition while the condition stays as it was.
func (v view) dated(c v1.PodCondition) v1.PodCondition {
	c.LastTransitionTime = v.now
	for _, before := range v.before {
		if before.Type == c.Type && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	return c
}

// isSidecar is an init container that is meant to go on running.
func isSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// statusPatch is a strategic merge patch; with the uid, it cannot hit another pod of the same name.
func statusPatch(p *pod, status v1.PodStatus) ([]byte, error) {
	conditions := make([]conditionPatch, len(status.Conditions))
	for i, c := range status.Conditions {
		conditions[i] = conditionPatch{PodCondition: c, Reason: orNull(c.Reason), Message: orNull(c.Message)}
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.uid},
		"status": struct {
			v1.PodStatus
			Conditions []conditionPatch `json:"conditions"`
		}{status, conditions},
	})
}

// conditionPatch is a condition that says null where it has no reason or message: such a patch is merged into the
// condition of the same type, which keeps what the patch leaves out.
type conditionPatch struct {
	v1.PodCondition
	Reason  *string `json:"reason"`
	Message *string `json:"message"`
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
