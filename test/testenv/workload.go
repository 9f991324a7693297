package testenv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// workloadVersion is the Kubernetes version that control planes report.
	workloadVersion = "v1.36.3"
	// clusterNameLabel and kubeconfigType mark the Secret that Cluster API reads.
	clusterNameLabel, kubeconfigType = "cluster.x-k8s.io/cluster-name", "cluster.x-k8s.io/secret"
)

// The kinds that stand for an infrastructure and a control plane provider carry what the Cluster API contract asks for
// and nothing else; no controller works on them.
var (
	infrastructureKind = schema.GroupVersionKind{Group: "infrastructure.cluster.x-k8s.io", Version: "v1", Kind: "RealCluster"}
	controlPlaneKind   = schema.GroupVersionKind{Group: "controlplane.cluster.x-k8s.io", Version: "v1", Kind: "RealControlPlane"}

	clusterKind = schema.GroupVersionKind{Group: "cluster.x-k8s.io", Version: "v1beta2", Kind: "Cluster"}
	secretKind  = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}
)

// contractCRD has no status subresource, so that an object is created together with the status that a provider would
// report: one request instead of two for each of a thousand clusters.
func contractCRD(kind schema.GroupVersionKind) *unstructured.Unstructured {
	return Parse(fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[3]ss.%[1]s
  labels: {cluster.x-k8s.io/v1beta2: v1}
spec:
  group: %[1]s
  scope: Namespaced
  names: {kind: %[2]s, listKind: %[2]sList, plural: %[3]ss, singular: %[3]s}
  versions:
  - name: %[4]s
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, kind.Group, kind.Kind, strings.ToLower(kind.Kind), kind.Version))
}

// registration is what RegisterOptions change.
type registration struct {
	kubeconfig []byte
	labels     map[string]string
}

// RegisterOption changes how a workload cluster is registered.
type RegisterOption func(*registration)

// WithoutKubeconfig leaves the kubeconfig Secret out, as while a control plane is still being built. Cluster API then
// cannot connect; WriteKubeconfig supplies it later.
func WithoutKubeconfig() RegisterOption {
	return func(r *registration) { r.kubeconfig = nil }
}

// WithKubeconfig replaces the administrator's kubeconfig of the workload cluster, for example by a narrower identity.
func WithKubeconfig(kubeconfig []byte) RegisterOption {
	return func(r *registration) { r.kubeconfig = kubeconfig }
}

// WithLabels puts labels on the Cluster.
func WithLabels(labels map[string]string) RegisterOption {
	return func(r *registration) { r.labels = labels }
}

// RegisterWorkload creates the Cluster API objects that describe workload as a cluster of this management cluster: a
// Cluster, what its two references name, its kubeconfig Secret, and the namespace. Several Clusters may describe one
// workload. It does not wait; see WaitProvisioned.
func (s *Server) RegisterWorkload(ctx context.Context, ns, name string, workload *Server, options ...RegisterOption) error {
	r := &registration{kubeconfig: workload.Kubeconfig()}
	for _, option := range options {
		option(r)
	}
	objects := []*unstructured.Unstructured{Namespace(ns, nil)}
	if len(r.kubeconfig) > 0 {
		objects = append(objects, kubeconfigSecret(ns, name, r.kubeconfig))
	}
	cluster := newObject(clusterKind, ns, name, map[string]any{"spec": map[string]any{
		"infrastructureRef": map[string]any{"apiGroup": infrastructureKind.Group, "kind": infrastructureKind.Kind, "name": name},
		"controlPlaneRef":   map[string]any{"apiGroup": controlPlaneKind.Group, "kind": controlPlaneKind.Kind, "name": name},
	}})
	cluster.SetLabels(r.labels)
	objects = append(objects, infrastructure(ns, name, workload), controlPlane(ns, name), cluster)
	if err := s.Apply(ctx, objects...); err != nil {
		return fmt.Errorf("cannot register cluster \"%s/%s\": %w", ns, name, err)
	}
	return nil
}

// WriteKubeconfig creates or replaces the kubeconfig Secret of a registered cluster, as a rotation does.
func (s *Server) WriteKubeconfig(ctx context.Context, ns, name string, kubeconfig []byte) error {
	return s.Apply(ctx, kubeconfigSecret(ns, name, kubeconfig))
}

// DeleteKubeconfig deletes the kubeconfig Secret of a registered cluster. One that is absent is no error.
func (s *Server) DeleteKubeconfig(ctx context.Context, ns, name string) error {
	return s.delete(ctx, kubeconfigSecret(ns, name, nil))
}

// WaitProvisioned waits until the core manager reports the cluster as Provisioned and as connected, which is the state
// in which a workload cluster can be used.
func (s *Server) WaitProvisioned(ctx context.Context, ns, name string) error {
	cluster := newObject(clusterKind, ns, name, nil)
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(cluster), cluster); err != nil {
			return false, err
		}
		phase, _, _ := unstructured.NestedString(cluster.Object, "status", "phase")
		return phase == "Provisioned" && conditionTrue(cluster, "RemoteConnectionProbe"), nil
	})
	if err != nil {
		return fmt.Errorf("cluster \"%s/%s\" is not provisioned: %w; its status: %v", ns, name, err, cluster.Object["status"])
	}
	return nil
}

// UnregisterWorkload deletes a registered cluster and everything RegisterWorkload created for it, except the
// namespace, and waits until the core manager has let it go. The workload cluster itself is untouched.
func (s *Server) UnregisterWorkload(ctx context.Context, ns, name string) error {
	cluster := newObject(clusterKind, ns, name, nil)
	if err := s.delete(ctx, cluster); err != nil {
		return err
	}
	err := poll(ctx, func(ctx context.Context) (bool, error) {
		err := s.client.Get(ctx, client.ObjectKeyFromObject(cluster), cluster)
		return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("cluster \"%s/%s\" is not gone: %w", ns, name, err)
	}
	// The core manager deletes the referenced objects; these calls cover one that runs no longer.
	return errors.Join(
		s.delete(ctx, controlPlane(ns, name)),
		s.delete(ctx, infrastructure(ns, name, s)),
		s.DeleteKubeconfig(ctx, ns, name),
	)
}

// delete removes an object by name. One that is absent is no error.
func (s *Server) delete(ctx context.Context, object *unstructured.Unstructured) error {
	if err := client.IgnoreNotFound(s.client.Delete(ctx, object)); err != nil {
		return fmt.Errorf("cannot delete %s %q from server %q: %w", object.GetKind(), object.GetName(), s.name, err)
	}
	return nil
}

// infrastructure is a provisioned RealCluster. The manager copies the endpoint into the Cluster.
func infrastructure(ns, name string, workload *Server) *unstructured.Unstructured {
	return newObject(infrastructureKind, ns, name, map[string]any{
		"spec": map[string]any{"controlPlaneEndpoint": map[string]any{
			"host": workload.Host(), "port": int64(workload.Port()),
		}},
		"status": map[string]any{
			"initialization": map[string]any{"provisioned": true},
			"conditions":     []any{condition("Ready")},
		},
	})
}

// controlPlane is an initialised RealControlPlane with its one replica up to date.
func controlPlane(ns, name string) *unstructured.Unstructured {
	one := int64(1)
	return newObject(controlPlaneKind, ns, name, map[string]any{
		"spec": map[string]any{"version": workloadVersion, "replicas": one},
		"status": map[string]any{
			"initialization":    map[string]any{"controlPlaneInitialized": true},
			"version":           workloadVersion,
			"replicas":          one,
			"readyReplicas":     one,
			"availableReplicas": one,
			"upToDateReplicas":  one,
			"conditions":        []any{condition("Available")},
		},
	})
}

// kubeconfigSecret is the Secret from which Cluster API, and Skott, connect to a workload cluster.
func kubeconfigSecret(ns, name string, kubeconfig []byte) *unstructured.Unstructured {
	object := newObject(secretKind, ns, name+"-kubeconfig", map[string]any{
		"type": kubeconfigType,
		"data": map[string]any{"value": base64Bytes(kubeconfig)},
	})
	object.SetLabels(map[string]string{clusterNameLabel: name})
	return object
}

// Namespace with labels, or none.
func Namespace(name string, labels map[string]string) *unstructured.Unstructured {
	object := newObject(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "", name, nil)
	object.SetLabels(labels)
	return object
}

// condition is a true condition that has not changed for long.
func condition(kind string) map[string]any {
	return map[string]any{
		"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
	}
}

// newObject is an object with what it holds beside its identity, or nothing.
func newObject(kind schema.GroupVersionKind, ns, name string, content map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(kind) // makes the map, if there is none
	object.SetNamespace(ns)
	object.SetName(name)
	return object
}

// base64Bytes is how JSON carries bytes.
func base64Bytes(content []byte) string { return base64.StdEncoding.EncodeToString(content) }
