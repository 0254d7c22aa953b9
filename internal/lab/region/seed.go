package region

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// crdPrefix is where an API server keeps CustomResourceDefinitions in etcd.
const crdPrefix = "/registry/apiextensions.k8s.io/customresourcedefinitions/"

// record is a key of etcd with its value.
type record struct {
	Key   []byte `json:"key"` // as base64, which is what etcd's JSON gateway wants
	Value []byte `json:"value"`
}

// established makes of a CRD's manifest what an API server would have in etcd once it had established it. An API server
// that finds it there serves its kinds at once; one that is sent it over the API works for two seconds more, and keeps
// a hundred megabytes more for good. The manifest is believed to be valid.
func established(crd *unstructured.Unstructured, now time.Time) (record, error) {
	crd = crd.DeepCopy()
	name := crd.GetName()
	names, _, err := unstructured.NestedMap(crd.Object, "spec", "names")
	if err != nil || names == nil {
		return record{}, fmt.Errorf("CustomResourceDefinition %s has no names", name)
	}
	kind, _ := names["kind"].(string)
	for key, value := range map[string]string{"singular": strings.ToLower(kind), "listKind": kind + "List"} {
		if _, ok := names[key]; !ok {
			names[key] = value
		}
	}
	stamp := now.UTC().Format(time.RFC3339)
	condition := func(kind, reason, message string) any {
		return map[string]any{"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp}
	}
	crd.SetUID(uuid.NewUUID())
	crd.SetGeneration(1)
	crd.Object["metadata"].(map[string]any)["creationTimestamp"] = stamp
	crd.Object["spec"].(map[string]any)["names"] = names
	crd.Object["status"] = map[string]any{
		"acceptedNames":  names,
		"storedVersions": storageVersions(crd),
		"conditions": []any{
			condition("NamesAccepted", "NoConflicts", "no conflicts found"),
			condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
		},
	}
	value, err := json.Marshal(crd.Object)
	if err != nil {
		return record{}, fmt.Errorf("CustomResourceDefinition %s: %w", name, err)
	}
	return record{Key: []byte(crdPrefix + name), Value: value}, nil
}

func storageVersions(crd *unstructured.Unstructured) []any {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	var stored []any
	for _, v := range versions {
		if version, ok := v.(map[string]any); ok && version["storage"] == true {
			stored = append(stored, version["name"])
		}
	}
	return stored
}

// seed writes records into an etcd that no API server uses yet.
func seed(ctx context.Context, etcd string, records []record) error {
	for _, r := range records {
		body, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write %s to etcd: %w", r.Key, err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, etcd+"/v3/kv/put", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("write %s to etcd: %w", r.Key, err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("write %s to etcd: %w", r.Key, err)
		}
		answer, err := io.ReadAll(io.LimitReader(resp.Body, excerpt))
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, answer)
		}
		if err != nil {
			return fmt.Errorf("write %s to etcd: %w", r.Key, err)
		}
	}
	return nil
}
