// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Places that are no Environment. "@" cannot occur in the name of one.
const (
	// PlaceOps is the Ops Cluster when its ManagementCluster names no Environment.
	PlaceOps = "@ops"
	// PlaceUnassigned is a cluster, or the owner of an address, whose Environment does not
	// exist: Production for what leaves it, NonProduction for what enters it (R9).
	PlaceUnassigned = "@unassigned"
	// PlaceCanary owns the addresses of the live proof. Nothing may read them, anywhere.
	PlaceCanary = "@canary"
)

// GuardedCluster says which cluster a Guard stands in.
type GuardedCluster struct {
	// name of the cluster: of the ManagementCluster, or namespace/name of the Cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Name string `json:"name,omitempty"`
	// managementCluster that the cluster is, or belongs to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ManagementCluster string `json:"managementCluster,omitempty"`
	// role: Management, Ops or Workload.
	// +required
	// +kubebuilder:validation:Enum=Management;Ops;Workload
	Role string `json:"role,omitempty"`
	// environment of the cluster, or one of the places @ops and @unassigned.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Environment string `json:"environment,omitempty"`
	// stage of the Environment, if it has one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Stage string `json:"stage,omitempty"`
	// class of the Environment.
	// +required
	Class Class `json:"class,omitempty"`
	// datacenter that the cluster stands in.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Datacenter string `json:"datacenter,omitempty"`
	// textNamespaces are those in which the policies read free text although the guard
	// webhook does, because nothing is refused there while it is away. When omitted they read it everywhere.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	TextNamespaces []string `json:"textNamespaces,omitempty"`
}

// GuardSpec is the compiled decision of every boundary, as one cluster needs it. The
// admission policies read it as their parameter; internal/policy reads the same object.
// Every map is atomic, and written even when empty: the policies look keys up without
// asking whether the map is there.
type GuardSpec struct {
	// cluster that this Guard stands in.
	// +required
	Cluster GuardedCluster `json:"cluster,omitzero"`

	// action that the binding reading this Guard takes.
	// +required
	Action Action `json:"action,omitempty"`

	// revision of the content, but for the names of the cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`

	// environments by name, with their class: those a namespace may claim here, and all
	// that labels can name.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=512
	Environments map[string]Class `json:"environments"`

	// namespaces of this cluster that are of an Environment of their own.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=10000
	Namespaces map[string]string `json:"namespaces"`

	// crossings: from a place, to a place, the DataBoundary that forbids it.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=512
	Crossings map[string]map[string]string `json:"crossings"`

	// addresses in canonical form, with the place that owns them; "" marks a shared one.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=100000
	Addresses map[string]string `json:"addresses"`

	// parents are buckets and paths above an owned address: to read one is to read what
	// lies below it.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=100000
	Parents map[string]string `json:"parents"`

	// depths are the numbers of "/"-separated segments that addresses have, largest first.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Depths []int64 `json:"depths"`

	// suffixLabels are the numbers of labels that "*." addresses have, largest first.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	SuffixLabels []int64 `json:"suffixLabels"`

	// prefixLengths are the lengths of network prefixes among the addresses, longest first.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=129
	PrefixLengths []int64 `json:"prefixLengths"`

	// hosts are the first segments of the addresses, without port: free text is looked up
	// here before anything else.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=100000
	Hosts map[string]string `json:"hosts"`

	// aliases are spellings of cluster endpoints that a policy cannot compute (base64 of
	// Argo CD cluster Secrets, names of such Secrets), with the canonical address.
	// +required
	// +mapType=atomic
	// +kubebuilder:validation:MaxProperties=100000
	Aliases map[string]string `json:"aliases"`

	// customerNamespaces of the cluster's Environment, see Environment.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	CustomerNamespaces []string `json:"customerNamespaces"`

	// families are the policies that this cluster holds: those of kinds that every cluster
	// has, and one per API group with movement kinds that it serves.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	// +kubebuilder:validation:items:MaxLength=253
	Families []string `json:"families,omitempty"`

	// movementKinds of users, which the guard webhook reads beside those of the project. They
	// were validated where they were written.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	MovementKinds []MovementKindSpec `json:"movementKinds,omitempty"`
}

// Guard says which cluster this is, and what is refused here. It is the parameter of
// Skott's admission policies; nobody but Skott may write it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=skott
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster.name`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.cluster.environment`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.cluster.stage`
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.cluster.class`
// +kubebuilder:printcolumn:name="Datacenter",type=string,JSONPath=`.spec.cluster.datacenter`
// +kubebuilder:printcolumn:name="Management",type=string,JSONPath=`.spec.cluster.managementCluster`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Guard struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the compiled decision.
	// +required
	Spec GuardSpec `json:"spec,omitzero"`
}

// GuardList is a list of Guards.
//
// +kubebuilder:object:root=true
type GuardList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Guard `json:"items"`
}
