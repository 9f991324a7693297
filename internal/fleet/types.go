// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// RoleWorkload is the role of a Cluster API Cluster. No ManagementCluster can have it.
const RoleWorkload skottv1.Role = "Workload"

// Target is one API server to engage: what a ManagementCluster says, resolved.
type Target struct {
	// Name of the ManagementCluster.
	Name string
	// Created is when the ManagementCluster was created. Of two that lead to one API server
	// the older keeps it, so that a new object cannot take a cluster over.
	Created time.Time
	// Environment, Stage and Datacenter become labels of the Clusters.
	Environment, Stage, Datacenter string
	// Role of the cluster: Management or Ops.
	Role skottv1.Role
	// Config holds the given credentials. They are used to create Skott's own account and
	// to probe; all other work is done as that account.
	Config *rest.Config
	// InCluster: Config already is Skott's own account, installed with the operator.
	InCluster bool
}

// Desired is what a guarded cluster must hold. The fleet does not change it.
type Desired struct {
	// Revision must change whenever anything else in here does.
	Revision string
	Guards   []*skottv1.Guard
	Policies []*admissionv1.ValidatingAdmissionPolicy
	Bindings []*admissionv1.ValidatingAdmissionPolicyBinding
	// Canaries prove Revision. Without any, a cluster is never Enforced.
	Canaries []Canary
}

// Canary is a request that must be denied. It is sent as a dry run, by an account that RBAC
// lets through. Kinds: Pod, ConfigMap, Service, Secret, PersistentVolumeClaim, and for
// patches Namespace and Guard.
type Canary struct {
	// Family names what the canary proves.
	Family string
	// Object to create, or the merge patch for the existing object of its name.
	Object *unstructured.Unstructured
	// Patch instead of create.
	Patch bool
	// Want must occur in the text of the denial, such as the revision.
	Want string
}

// Observer hears what happens. Its methods are called from many goroutines, and must not
// block or call back into the Fleet. Clusters are named by Cluster.Key.
type Observer interface {
	// Restored: somebody changed or deleted an object of Skott, and it was put back.
	Restored(cluster, kind, name string)
	// CanaryAdmitted: an API server let a canary through.
	CanaryAdmitted(cluster, family string)
	// Canary is the result of one canary in a proof, with the time of its last request.
	Canary(cluster, family string, denied bool, took time.Duration)
	// Changed: State would return something else than before.
	Changed()
}

// Options of a Fleet. Durations that are zero take the default.
type Options struct {
	// Namespace of Skott's accounts in every guarded cluster. Default skott-system.
	Namespace string
	// GuardCRD defines the kind Guard in guarded clusters.
	GuardCRD *apiextensionsv1.CustomResourceDefinition
	// CanaryInterval between two proofs of an unchanged cluster. Default 60 s.
	CanaryInterval time.Duration
	// ProbeInterval between two looks whether a Management Cluster answers. Default 10 s.
	ProbeInterval time.Duration
	// Timeout of every request. Default 10 s.
	Timeout time.Duration
	// Observer hears what happens; nil is allowed.
	Observer Observer
}

// Phase says how far the guard of a cluster is.
type Phase string

// The phases.
const (
	// Unknown: nothing was tried yet; the reason says what is waited for.
	Unknown Phase = "Unknown"
	// Unreachable: the API server does not answer, or refuses the credentials. What it
	// holds keeps acting.
	Unreachable Phase = "Unreachable"
	// NotGuardable: the API server cannot hold admission policies, or another cluster of
	// the fleet is the same API server under a contradicting Environment.
	NotGuardable Phase = "NotGuardable"
	// Publishing: the desired revision is not there completely.
	Publishing Phase = "Publishing"
	// Published: the desired revision is there, and not proved.
	Published Phase = "Published"
	// Enforced: every canary of the desired revision was denied.
	Enforced Phase = "Enforced"
	// CanaryAdmitted: the API server let a canary through.
	CanaryAdmitted Phase = "CanaryAdmitted"
)

// GuardState is what is known of the guard of a cluster.
type GuardState struct {
	Phase   Phase
	Reason  string
	Message string
	// Revision that was applied last, completely.
	Revision string
	// ProvedRevision is the last one whose canaries were all denied, at ProvedAt.
	ProvedRevision string
	ProvedAt       time.Time
	// Since is when Phase was entered; Publishing and Published count as one.
	Since time.Time
}

// Cluster is one API server to guard: the one of a ManagementCluster itself, or of a Cluster
// under it.
type Cluster struct {
	ManagementCluster string
	// Namespace and Name of the Cluster; empty for the ManagementCluster itself.
	Namespace, Name string
	Role            skottv1.Role
	// Endpoint is host:port of the API server.
	Endpoint string
	// UID of its namespace kube-system, which identifies it; empty until it answered.
	UID types.UID
	// Labelled: the Cluster carries the labels of its ManagementCluster.
	Labelled bool
	// HasKubeconfig: Cluster API has written the Secret that leads to the cluster.
	HasKubeconfig bool
	// GuardedAs is the Key of the cluster that stands for the same API server and is
	// guarded for this one (a self-managed Management Cluster is a Cluster too). Guard is
	// then a copy of that one's.
	GuardedAs string
	Guard     GuardState
	// Namespaces that are labelled with an Environment of their own, with its name.
	Namespaces map[string]string
}

// Key names the cluster uniquely in the fleet: MANAGEMENTCLUSTER or
// MANAGEMENTCLUSTER/NAMESPACE/NAME.
func (c Cluster) Key() string {
	if c.Name == "" {
		return c.ManagementCluster
	}
	return c.ManagementCluster + "/" + c.Namespace + "/" + c.Name
}

// Member is what is known of one engaged ManagementCluster.
type Member struct {
	Name string
	// UID of namespace kube-system; empty until the API server answered once.
	UID types.UID
	// Reachable: the last probe with the given credentials succeeded. Reason is one of
	// those of the condition Reachable.
	Reachable       bool
	Reason, Message string
	// Version of Kubernetes.
	Version string
	// ClusterAPIVersions that are served, and whether the one that Skott reads is.
	ClusterAPIVersions []string
	ClusterAPIServed   bool
	// Duplicate names the member that keeps this API server; "" when this one does.
	Duplicate string
	// Self is the Management Cluster as a guarded cluster.
	Self Cluster
	// Clusters under it, sorted by namespace and name.
	Clusters []Cluster
}
