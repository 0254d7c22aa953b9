package mesh

import "strings"

const clusterDomain = "svc.cluster.local"

// hostname strips an authority of its port and its trailing dot, in lower case.
func hostname(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		authority = authority[:i]
	}
	return strings.ToLower(strings.TrimSuffix(authority, "."))
}

// spellings are the names by which a Service is known in every namespace.
func spellings(namespace, name string) [3]string {
	long := name + "." + namespace + "." + clusterDomain
	return [3]string{long, long[:len(name)+1+len(namespace)], strings.TrimSuffix(long, ".cluster.local")}
}

// qualify completes a host as it stands in an object of a namespace: a name without a dot is that namespace's.
func qualify(namespace, host string) string {
	if strings.Contains(host, ".") {
		return strings.ToLower(host)
	}
	return spellings(namespace, strings.ToLower(host))[0]
}
