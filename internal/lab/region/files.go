package region

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The files and folders of a region, relative to its own.
const (
	logsDir                 = "logs"
	jobsDir                 = "jobs" // where the node runs Jobs
	caCert                  = "pki/ca.crt"
	serverCert              = "pki/apiserver.crt"
	serverKey               = "pki/apiserver.key"
	clientCert              = "pki/kubelet-client.crt"
	clientKey               = "pki/kubelet-client.key"
	serviceAccountKey       = "pki/service-account.key"
	tokensFile              = "tokens.csv"
	egressFile              = "egress.yaml"
	prometheusFile          = "prometheus.yml"
	controllerManagerConfig = "controller-manager.kubeconfig"
	prometheusConfig        = "prometheus.kubeconfig"
	rolloutsConfig          = "rollouts.kubeconfig"
	rolloutsToken           = "rollouts.token" // written once the API server has issued it
)

func (c Config) files() ([]File, error) {
	files := []File{
		{caCert, c.PKI.CA},
		{serverCert, c.PKI.ServerCert}, {serverKey, c.PKI.ServerKey},
		{clientCert, c.PKI.ClientCert}, {clientKey, c.PKI.ClientKey},
		{serviceAccountKey, c.PKI.ServiceAccountKey},
		{egressFile, c.egress()},
		{prometheusFile, c.prometheusConfig()},
	}
	tokens, err := c.tokens()
	if err != nil {
		return nil, err
	}
	files = append(files, File{tokensFile, tokens})
	for _, k := range []struct {
		path string
		user clientcmdapi.AuthInfo
	}{
		{controllerManagerConfig, clientcmdapi.AuthInfo{Token: c.Tokens.ControllerManager}},
		{prometheusConfig, clientcmdapi.AuthInfo{Token: c.Tokens.Prometheus}},
		{rolloutsConfig, clientcmdapi.AuthInfo{TokenFile: c.path(rolloutsToken)}},
	} {
		config := clientcmdapi.NewConfig()
		c.addContext(config, c.Name, k.user)
		config.CurrentContext = c.Name
		content, err := clientcmd.Write(*config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.path, err)
		}
		files = append(files, File{k.path, content})
	}
	return files, nil
}

// AddContext adds cluster, user and context to a kubeconfig, all under one name, with the user's own token.
func (c Config) AddContext(config *clientcmdapi.Config, name string) {
	c.addContext(config, name, clientcmdapi.AuthInfo{Token: c.Tokens.Admin})
}

func (c Config) addContext(config *clientcmdapi.Config, name string, user clientcmdapi.AuthInfo) {
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.Server(), CertificateAuthorityData: c.PKI.CA}
	config.AuthInfos[name] = &user
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
}

// tokens is the API server's static token file: token, user, uid, groups.
func (c Config) tokens() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	err := w.WriteAll([][]string{
		{c.Tokens.Admin, "admin", "admin", "system:masters"},
		{c.Tokens.Lab, "tidegate-lab", "tidegate-lab", "system:masters"},
		{c.Tokens.ControllerManager, "system:kube-controller-manager", "controller-manager", "system:masters"},
		{c.Tokens.Prometheus, "prometheus", "prometheus", "system:masters"},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokensFile, err)
	}
	return b.Bytes(), nil
}

// egress sends what the API server dials in the cluster (pods, Services, the kubelet) through the forward proxy:
// nothing else on this machine knows the way to a pod's address. Without TLS, which its own validation allows, the API
// server panics.
func (c Config) egress() []byte {
	return fmt.Appendf(nil, `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      tcp:
        url: https://127.0.0.1:%d
        tlsConfig: {caBundle: %q, clientCert: %q, clientKey: %q}
`, c.Ports.Egress, c.path(caCert), c.path(clientCert), c.path(clientKey))
}

// prometheusConfig scrapes every second, so that a bad version is seen within two: pods that ask for it, the mesh, and
// the controller.
func (c Config) prometheusConfig() []byte {
	return fmt.Appendf(nil, `global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {region: %[1]q}
scrape_configs:
- job_name: pods
  proxy_url: %[2]s
  kubernetes_sd_configs:
  - role: pod
    kubeconfig_file: %[3]q
  relabel_configs:
  - {action: keep, source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: "true"}
  - {action: keep, source_labels: [__meta_kubernetes_pod_phase], regex: Running}
  - action: replace
    source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
    regex: (.+)
    target_label: __metrics_path__
  - action: replace
    source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
    regex: (.+);(\d+)
    replacement: $1:$2
    target_label: __address__
  - {action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}
  - {action: replace, source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {action: replace, source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {action: replace, replacement: %[1]q, target_label: region}
- job_name: mesh
  honor_labels: true
  static_configs:
  - {targets: ["127.0.0.1:%[4]d"], labels: {region: %[1]q}}
- job_name: rollouts-controller
  honor_labels: true
  static_configs:
  - {targets: ["127.0.0.1:%[5]d"], labels: {region: %[1]q}}
`, c.Name, URL(c.Ports.Proxy), c.path(prometheusConfig), c.Ports.Mesh, c.Ports.Rollouts)
}

// write creates the region's folder with its files.
func (d Description) write(dir string) error {
	for _, file := range d.Files {
		path := filepath.Join(dir, file.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		if err := os.WriteFile(path, file.Content, 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	for _, name := range []string{logsDir, jobsDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}
