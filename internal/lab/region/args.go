package region

import (
	"fmt"
	"strings"
)

func (c Config) etcdArgs() []string {
	client, peer := URL(c.Ports.Etcd), URL(c.Ports.EtcdPeer)
	return []string{
		"--data-dir=" + c.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		// A lone member still waits for an election time-out before it leads: half a second less at every start.
		"--heartbeat-interval=20",
		"--election-timeout=100",
		// A lab's data is never read again after a crash.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

// needless are API groups that nothing in a region uses; without them and the admission plugins below, the API server
// is ready half a second earlier and takes a tenth less memory. Left on are, among others, autoscaling, policy,
// networking, batch, apps and coordination.
func needless() []string {
	return []string{
		"admissionregistration.k8s.io/v1", "certificates.k8s.io/v1", "events.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1", "node.k8s.io/v1",
		"resource.k8s.io/v1", "scheduling.k8s.io/v1", "storage.k8s.io/v1",
	}
}

// unadmitted are all of the default admission plugins but NamespaceLifecycle.
func unadmitted() []string {
	return []string{
		"CertificateApproval", "CertificateSigning", "CertificateSubjectRestriction", "ClusterTrustBundleAttest",
		"DefaultIngressClass", "DefaultStorageClass", "DefaultTolerationSeconds", "LimitRanger", "MutatingAdmissionPolicy",
		"MutatingAdmissionWebhook", "PersistentVolumeClaimResize", "PodSecurity", "PodTopologyLabels", "Priority",
		"ResourceQuota", "RuntimeClass", "ServiceAccount", "StorageObjectInUseProtection", "TaintNodesByCondition",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook",
	}
}

func (c Config) apiServerArgs() []string {
	var off []string
	for _, group := range needless() {
		off = append(off, group+"=false")
	}
	return []string{
		"--etcd-servers=" + URL(c.Ports.Etcd),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.API),
		// Else it wants a default route, which a laptop in a train has not got.
		"--advertise-address=" + apiIP,
		"--tls-cert-file=" + c.path(serverCert),
		"--tls-private-key-file=" + c.path(serverKey),
		"--token-auth-file=" + c.path(tokensFile),
		"--anonymous-auth=false",
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path(serviceAccountKey),
		"--service-account-signing-key-file=" + c.path(serviceAccountKey),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--kubelet-certificate-authority=" + c.path(caCert),
		"--kubelet-client-certificate=" + c.path(clientCert),
		"--kubelet-client-key=" + c.path(clientKey),
		"--kubelet-preferred-address-types=InternalIP",
		"--egress-selector-config-file=" + c.path(egressFile),
		"--runtime-config=" + strings.Join(off, ","),
		"--disable-admission-plugins=" + strings.Join(unadmitted(), ","),
		"--enable-priority-and-fairness=false",
		"--profiling=false",
	}
}

func (c Config) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.path(controllerManagerConfig),
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
		// At the default of 20 and 30, a rollback takes seven times as long.
		"--kube-api-qps=300",
		"--kube-api-burst=500",
		"--controllers=" + strings.Join([]string{
			"deployment-controller", "endpoints-controller", "endpointslice-controller", "garbage-collector-controller",
			"job-controller", "namespace-controller", "replicaset-controller",
		}, ","),
	}
}

func (c Config) rolloutsArgs() []string {
	return []string{
		fmt.Sprintf("--metricsPort=%d", c.Ports.Rollouts),
		fmt.Sprintf("--healthzPort=%d", c.Ports.RolloutsProbe),
		"--leader-elect=true",
		// Nobody starts it again here when it gives up its lease: it may miss renewals while the machine is overloaded.
		"--leader-election-lease-duration=60s",
		"--leader-election-renew-deadline=45s",
		"--leader-election-retry-period=2s",
	}
}

func (c Config) rolloutsEnv() []string {
	return append([]string{"KUBECONFIG=" + c.path(rolloutsConfig), "POD_NAMESPACE=" + rolloutsNS}, proxyEnv(c.Ports.Proxy)...)
}

func (c Config) prometheusArgs() []string {
	return []string{
		"--config.file=" + c.path(prometheusFile),
		"--storage.tsdb.path=" + c.path("prometheus"),
		"--storage.tsdb.retention.time=6h",
		"--storage.tsdb.retention.size=512MB",
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", c.Ports.Prometheus),
		// At its default of 5s, gates in a time lapse wait for a new pod's first scrape until they give up.
		"--scrape.discovery-reload-interval=500ms",
		"--log.level=warn",
	}
}
