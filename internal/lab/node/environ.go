package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environ is the environment of a container's process, and the same by name for the references in it. The
// container's own variables come last and win.
func (p process) environ(ctx context.Context) ([]string, map[string]string, error) {
	vars := make(map[string]string)
	for _, entry := range p.pod.node.cfg.JobEnv {
		name, value, _ := strings.Cut(entry, "=")
		vars[name] = value
	}
	for _, from := range p.spec.EnvFrom {
		if err := p.addAll(ctx, vars, from); err != nil {
			return nil, nil, err
		}
	}
	for _, e := range p.spec.Env {
		if e.ValueFrom == nil {
			vars[e.Name] = expand(e.Value, vars)
			continue
		}
		value, found, err := p.valueFrom(ctx, e.ValueFrom)
		if err != nil {
			return nil, nil, fmt.Errorf("variable %s: %w", e.Name, err)
		}
		if found {
			vars[e.Name] = value
		}
	}
	list := make([]string, 0, len(vars))
	for name, value := range vars {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list, vars, nil
}

func (p process) addAll(ctx context.Context, vars map[string]string, from v1.EnvFromSource) error {
	var data map[string]string
	var err error
	switch {
	case from.ConfigMapRef != nil:
		data, err = p.configMap(ctx, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
	case from.SecretRef != nil:
		data, err = p.secret(ctx, from.SecretRef.Name, from.SecretRef.Optional)
	}
	for name, value := range data {
		vars[from.Prefix+name] = value
	}
	return err
}

func (p process) valueFrom(ctx context.Context, from *v1.EnvVarSource) (value string, found bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = p.field(from.FieldRef.FieldPath)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		data, err := p.configMap(ctx, ref.Name, ref.Optional)
		return lookUp(data, err, "configmap", ref.Name, ref.Key, ref.Optional)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		data, err := p.secret(ctx, ref.Name, ref.Optional)
		return lookUp(data, err, "secret", ref.Name, ref.Key, ref.Optional)
	default:
		return "", false, fmt.Errorf("the lab knows fieldRef, configMapKeyRef and secretKeyRef only")
	}
}

func lookUp(data map[string]string, err error, kind, name, key string, optional *bool) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, found := data[key]
	if !found && !isTrue(optional) {
		return "", false, fmt.Errorf("couldn't find key %s in %s %s", key, kind, name)
	}
	return value, found, nil
}

func (p process) configMap(ctx context.Context, name string, optional *bool) (map[string]string, error) {
	var object *v1.ConfigMap
	err := call(ctx, func(ctx context.Context) (err error) {
		object, err = p.pod.node.cfg.Client.CoreV1().ConfigMaps(p.pod.name.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	return object.Data, nil
}

func (p process) secret(ctx context.Context, name string, optional *bool) (map[string]string, error) {
	var object *v1.Secret
	err := call(ctx, func(ctx context.Context) (err error) {
		object, err = p.pod.node.cfg.Client.CoreV1().Secrets(p.pod.name.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	data := make(map[string]string, len(object.Data))
	for key, value := range object.Data {
		data[key] = string(value)
	}
	return data, nil
}

func unlessOptional(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && isTrue(optional) {
		return nil
	}
	return err
}

func isTrue(b *bool) bool {
	return b != nil && *b
}

// field is what the downward API says of the pod.
func (p process) field(path string) (string, error) {
	pod := p.pod
	if name, rest, found := strings.Cut(path, "['"); found {
		key := strings.TrimSuffix(rest, "']")
		switch name {
		case "metadata.labels":
			return pod.born.Labels[key], nil
		case "metadata.annotations":
			return pod.born.Annotations[key], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.name.Name, nil
	case "metadata.namespace":
		return pod.name.Namespace, nil
	case "metadata.uid":
		return string(pod.uid), nil
	case "spec.nodeName":
		return pod.node.cfg.Name, nil
	case "spec.serviceAccountName":
		return pod.born.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return pod.ip.String(), nil
	case "status.hostIP", "status.hostIPs":
		return hostIP, nil
	}
	return "", fmt.Errorf("field %q is not known to the lab", path)
}

// expand replaces $(NAME) as Kubernetes does: an unknown name stays as it is, and $$ is a dollar sign.
func expand(text string, vars map[string]string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		text = after
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		value, known := vars[name]
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "(") && closed && known:
			out.WriteString(value)
			text = rest
		default:
			out.WriteByte('$')
		}
	}
}
