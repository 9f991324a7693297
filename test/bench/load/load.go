// SPDX-License-Identifier: Apache-2.0

// Package load makes what the benchmarks decide over: platforms of any number of
// addresses, and objects of the sizes that the design names. Nothing in the objects crosses
// a boundary: what is measured is the cost for everybody else.
package load

import (
	"fmt"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// Sizes of the address books.
var Sizes = []int{10, 1_000, 10_000}

// Staging is the cluster that decides.
var Staging = skottv1.GuardedCluster{
	Name: "customers/staging-1", ManagementCluster: "mc-sto2-staging", Role: "Workload", Environment: "staging", Datacenter: "sto2",
}

// Snapshot is a platform of one boundary with that many production addresses, of every
// type that grows with a fleet, and more of them if given.
func Snapshot(addresses int, more ...skottv1.Address) policy.Snapshot {
	location := skottv1.DataLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "production"},
		Spec:       skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"}, Addresses: more},
	}
	for i := range addresses {
		location.Spec.Addresses = append(location.Spec.Addresses, address(i))
	}
	return policy.Snapshot{
		Environments: []skottv1.Environment{environment("production", skottv1.StageProduction), environment("staging", skottv1.StageStaging)},
		Boundaries: []skottv1.DataBoundary{{
			ObjectMeta: metav1.ObjectMeta{Name: "customer-data"}, Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{Action: skottv1.ActionDeny}},
		}},
		Locations: []skottv1.DataLocation{location},
	}
}

func environment(name string, stage skottv1.Stage) skottv1.Environment {
	return skottv1.Environment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: skottv1.EnvironmentSpec{Stage: stage}}
}

// address is the i-th of a platform: of ten, four buckets, three hosts, a volume, a
// registry project or a repository, and, of the first hundred only, a suffix or a network.
func address(i int) skottv1.Address {
	customer := fmt.Sprintf("customer-%d", i/10)
	switch i % 10 {
	case 0, 1, 2, 3:
		return skottv1.Address{Type: "Bucket", Value: fmt.Sprintf("https://s3.sto%d.example/%s-backups-%d", i%3, customer, i)}
	case 4, 5, 6:
		return skottv1.Address{Type: "Host", Value: fmt.Sprintf("db-%d.%s.prod.example", i, customer)}
	case 7:
		return skottv1.Address{Type: "Volume", Value: fmt.Sprintf("cinder.csi.openstack.org/%08x-0000-4000-8000-000000000000", i)}
	case 8:
		return skottv1.Address{Type: "Registry", Value: "registry.example/" + customer}
	}
	switch {
	case i >= 100:
		return skottv1.Address{Type: "Git", Value: "https://git.example/customers/" + customer}
	case i%20 == 9:
		return skottv1.Address{Type: "Host", Value: "*." + customer + ".customers.example"}
	}
	return skottv1.Address{Type: "CIDR", Value: fmt.Sprintf("sto2/10.%d.0.0/16", i)}
}

// Object is one request: what is created, and where.
type Object struct {
	// Name of the row in a table.
	Name string
	// Group and Resource of the request, and the path that it is posted to.
	Group, Resource, Path string
	// Content of the object.
	Content map[string]any
}

// Objects of the sizes that the design names.
func Objects() []Object {
	return []Object{
		{"BackupStorageLocation", "velero.io", "backupstoragelocations", "/apis/velero.io/v1/namespaces/default/backupstoragelocations", Location("https://s3.sto2.example", "staging-backups")},
		{"PersistentVolumeClaim", "", "persistentvolumeclaims", "/api/v1/namespaces/default/persistentvolumeclaims", claim()},
		{"Deployment, 40 env values", "apps", "deployments", "/apis/apps/v1/namespaces/default/deployments", deployment(40)},
		{"ConfigMap, 10 KB", "", "configmaps", "/api/v1/namespaces/default/configmaps", configMap(10 << 10)},
		{"ConfigMap, 60 KB", "", "configmaps", "/api/v1/namespaces/default/configmaps", configMap(60 << 10)},
		{"ConfigMap, 100 KB", "", "configmaps", "/api/v1/namespaces/default/configmaps", configMap(100 << 10)},
	}
}

// In is the object in another namespace.
func (o Object) In(namespace string) Object {
	o.Path = strings.Replace(o.Path, "/namespaces/default/", "/namespaces/"+namespace+"/", 1)
	o.Content = maps.Clone(o.Content)
	metadata := maps.Clone(o.Content["metadata"].(map[string]any))
	metadata["namespace"] = namespace
	o.Content["metadata"] = metadata
	o.Name += " in " + namespace
	return o
}

// CrossingHost is a host of production in every platform of ten addresses or more.
var CrossingHost = address(4).Value

// Naming is the object with a host of production in it as well.
func (o Object) Naming(host string) Object {
	switch o.Resource {
	case "backupstoragelocations":
		endpoint, bucket := address(0).Value[:strings.LastIndexByte(address(0).Value, '/')], address(0).Value[strings.LastIndexByte(address(0).Value, '/')+1:]
		o.Content = Location(endpoint, bucket)
	case "deployments":
		o.Content = deployment(40, map[string]any{"name": "DATABASE", "value": "postgresql://app@" + host + ":5432/app"})
	case "configmaps":
		o.Content = maps.Clone(o.Content)
		data := maps.Clone(o.Content["data"].(map[string]any))
		data["database"] = "postgresql://app@" + host + ":5432/app"
		o.Content["data"] = data
	}
	o.Name += ", crossing"
	return o
}

// Map is a ConfigMap of that many bytes.
func Map(bytes int) Object {
	return Object{fmt.Sprintf("ConfigMap, %d KB", bytes>>10), "", "configmaps", "/api/v1/namespaces/default/configmaps", configMap(bytes)}
}

// Location is a BackupStorageLocation.
func Location(endpoint, bucket string) map[string]any {
	return map[string]any{
		"apiVersion": "velero.io/v1", "kind": "BackupStorageLocation", "metadata": map[string]any{"name": "bench", "namespace": "default"},
		"spec": map[string]any{
			"provider": "aws", "objectStorage": map[string]any{"bucket": bucket, "prefix": "cluster-1"},
			"config": map[string]any{"s3Url": endpoint, "region": "sto2", "s3ForcePathStyle": "true"},
		},
	}
}

// claim is a PersistentVolumeClaim of a volume by name, which is one exact field.
func claim() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "bench", "namespace": "default"},
		"spec": map[string]any{
			"volumeName": "pvc-0f3a-staging", "storageClassName": "", "accessModes": []any{"ReadWriteOnce"},
			"resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}},
		},
	}
}

// deployment has n env values of which every second names a host, as values do.
func deployment(n int, more ...any) map[string]any {
	env := more
	for i := range n {
		value := fmt.Sprintf("level-%d", i)
		if i%2 == 0 {
			value = fmt.Sprintf("postgresql://app@db-%d.customer-%d.staging.example:5432/app?sslmode=verify-full", i, i)
		}
		env = append(env, map[string]any{"name": fmt.Sprintf("SETTING_%d", i), "value": value})
	}
	labels := map[string]any{"app": "bench"}
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "bench", "namespace": "default"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec": map[string]any{"containers": []any{map[string]any{
					"name": "app", "image": "registry.example/staging/app:v1", "env": env,
				}}},
			},
		},
	}
}

// configMap has that many bytes of configuration, with a host name in each third line.
func configMap(bytes int) map[string]any {
	var b strings.Builder
	for i := 0; b.Len() < bytes; i++ {
		fmt.Fprintf(&b, "pool_%d: {max: %d, idle: 30s, retry: exponential}\n", i, i%50)
		fmt.Fprintf(&b, "# tuned for the load test of last spring, see the runbook\n")
		fmt.Fprintf(&b, "upstream_%d: https://app-%d.staging.example:8443/api/v2\n", i, i)
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "bench", "namespace": "default"},
		"data": map[string]any{"application.yaml": b.String()[:bytes]},
	}
}
