package node

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// register creates the Node object, or brings the one of an earlier run up to date. No controller watches for
// heartbeats in the lab, so that once is enough.
func (n *Node) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errSlowServer)
	defer cancel()
	object := n.object()
	err := retry(ctx, func(ctx context.Context) error {
		nodes := n.cfg.Client.CoreV1().Nodes()
		_, err := nodes.Create(ctx, object, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		body, err := json.Marshal(map[string]any{"status": object.Status})
		if err != nil {
			return err
		}
		_, err = nodes.Patch(ctx, n.cfg.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
		return err
	})
	if err != nil {
		return fmt.Errorf("register node %s: %w", n.cfg.Name, err)
	}
	return nil
}

// object describes a machine that never runs out of anything: pods are handlers here, and cost next to nothing.
func (n *Node) object() *v1.Node {
	room := v1.ResourceList{
		v1.ResourceCPU:              resource.MustParse("1000"),
		v1.ResourceMemory:           resource.MustParse("1Ti"),
		v1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		v1.ResourcePods:             resource.MustParse("1000"),
	}
	now := metav1.Now()
	condition := func(kind v1.NodeConditionType, status v1.ConditionStatus, reason string) v1.NodeCondition {
		return v1.NodeCondition{Type: kind, Status: status, Reason: reason, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.cfg.Name,
			Labels: map[string]string{
				v1.LabelHostname:       n.cfg.Name,
				v1.LabelOSStable:       runtime.GOOS,
				v1.LabelArchStable:     runtime.GOARCH,
				v1.LabelTopologyRegion: n.cfg.Region,
				v1.LabelTopologyZone:   n.cfg.Region,
			},
		},
		Status: v1.NodeStatus{
			Capacity: room, Allocatable: room,
			Conditions: []v1.NodeCondition{
				condition(v1.NodeReady, v1.ConditionTrue, "KubeletReady"),
				condition(v1.NodeMemoryPressure, v1.ConditionFalse, "KubeletHasSufficientMemory"),
				condition(v1.NodeDiskPressure, v1.ConditionFalse, "KubeletHasNoDiskPressure"),
				condition(v1.NodePIDPressure, v1.ConditionFalse, "KubeletHasSufficientPID"),
			},
			// No host name: by default the API server would rather resolve that than use the address.
			Addresses:       []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: hostIP}},
			DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: n.port}},
			NodeInfo: v1.NodeSystemInfo{
				KubeletVersion: "tidegate-lab", ContainerRuntimeVersion: "lab://1",
				OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH,
			},
		},
	}
}
