// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Role is what a cluster named by a ManagementCluster does.
//
// +kubebuilder:validation:Enum=Management;Ops
type Role string

// The roles.
const (
	// RoleManagement: runs Cluster API and creates Workload Clusters.
	RoleManagement Role = "Management"
	// RoleOps: runs Argo CD and the central view. Class Production for what leaves it.
	RoleOps Role = "Ops"
)

// Conditions of a ManagementCluster, beside Ready.
const (
	// ConditionReachable: the API server answers with the given credentials.
	ConditionReachable = "Reachable"
	// ConditionClustersLabelled: every Cluster carries the labels of its ManagementCluster.
	ConditionClustersLabelled = "ClustersLabelled"
	// ConditionGuarded: the live proof was denied in the Management Cluster itself and in
	// every Workload Cluster under it.
	ConditionGuarded = "Guarded"
	// ConditionLearning: everything that addresses are learned from, in the cluster and in
	// every Cluster under it, is followed.
	ConditionLearning = "Learning"
	// ConditionDenialsCollected: audit events with denials, those of live proofs at least, arrive
	// from the cluster and from every Cluster under it, so that what is denied there is recorded.
	ConditionDenialsCollected = "DenialsCollected"

	ReasonReachable              = "Reachable"              // the API server answered
	ReasonUnreachable            = "Unreachable"            // it did not; the message says how
	ReasonSecretNotFound         = "SecretNotFound"         // the Secret of spec.connection is missing
	ReasonSecretKeyNotFound      = "SecretKeyNotFound"      // the Secret has no such key
	ReasonInvalidKubeconfig      = "InvalidKubeconfig"      // the key holds no usable kubeconfig
	ReasonUnauthorized           = "Unauthorized"           // the credentials are refused or expired
	ReasonForbidden              = "Forbidden"              // the credentials lack a permission; the message names it
	ReasonCertificateInvalid     = "CertificateInvalid"     // the serving certificate does not verify
	ReasonEnvironmentNotFound    = "EnvironmentNotFound"    // spec.environmentRef names nothing
	ReasonDuplicateAPIServer     = "DuplicateAPIServer"     // another ManagementCluster names the same API server
	ReasonClusterAPINotServed    = "ClusterAPINotServed"    // cluster.x-k8s.io/v1beta2 is not served
	ReasonClustersLabelled       = "ClustersLabelled"       // none is missing a label
	ReasonClustersNotLabelled    = "ClustersNotLabelled"    // the message names them
	ReasonGuarded                = "Guarded"                // every guard is proved
	ReasonNotGuarded             = "NotGuarded"             // the message names the clusters
	ReasonLearning               = "Learning"               // addresses are learned from all of them
	ReasonLearningGaps           = "LearningGaps"           // the message names the kinds that cannot be read
	ReasonLearningDisabled       = "LearningDisabled"       // spec.learn.disabled, or there is no Environment to learn for
	ReasonReceiving              = "Receiving"              // denials arrive from every guarded cluster
	ReasonNoAuditSource          = "NoAuditSource"          // spec.audit is not set
	ReasonNotListening           = "NotListening"           // the operator takes no audit events; the message says why
	ReasonNothingReceived        = "NothingReceived"        // nothing arrived lately; the message names the clusters
	ReasonWaitingForConnection   = "WaitingForConnection"   // the first connection is under way
	ReasonConnectionNotSupported = "ConnectionNotSupported" // the Secret asks for a way to connect that Skott refuses
)

// ManagementClusterSpec says which cluster it is, and how to reach it.
//
// +kubebuilder:validation:XValidation:rule="self.role == 'Ops' || has(self.environmentRef)",message="environmentRef is required when role is Management",fieldPath=".environmentRef"
// +kubebuilder:validation:XValidation:rule="has(oldSelf.environmentRef) == has(self.environmentRef)",message="environmentRef is immutable: delete the ManagementCluster and create another",fieldPath=".environmentRef"
// +kubebuilder:validation:XValidation:rule="self.role == oldSelf.role",message="role is immutable: delete the ManagementCluster and create another",fieldPath=".role"
type ManagementClusterSpec struct {
	// environmentRef names the Environment that the cluster, and every Cluster under it,
	// belongs to. Immutable. It may be omitted for role Ops only, which then is a place of
	// its own, of class Production for what leaves it.
	// +optional
	EnvironmentRef *EnvironmentReference `json:"environmentRef,omitempty"`

	// datacenter the cluster stands in. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="datacenter is immutable: delete the ManagementCluster and create another"
	Datacenter string `json:"datacenter,omitempty"`

	// role of the cluster. Immutable.
	// +required
	Role Role `json:"role,omitempty"`

	// connection says how to reach the cluster: exactly one of its members.
	// +required
	Connection Connection `json:"connection,omitzero"`

	// learn says what is learned from the objects of this cluster and of every Cluster
	// under it. When omitted, addresses are learned and Secrets are not read.
	// +optional
	Learn *Learn `json:"learn,omitempty"`

	// webhook says where the guard webhook of the cluster, and of every Cluster under it, runs.
	// +optional
	Webhook *Webhook `json:"webhook,omitempty"`

	// scan says what becomes of what is found in the cluster, and in every Cluster under it.
	// When omitted, it is reported there.
	// +optional
	Scan *Scan `json:"scan,omitempty"`

	// audit says that the API servers of this cluster, and of every Cluster under it, send
	// their audit events to the operator. When omitted, what they deny is not recorded.
	// +optional
	Audit *Audit `json:"audit,omitempty"`
}

// ReportPlace says where reports are written.
//
// +kubebuilder:validation:Enum=Cluster;Hub;None
type ReportPlace string

// The places.
const (
	// ReportsInCluster: beside the objects, where reports of OpenReports, or PolicyReports, are served.
	ReportsInCluster ReportPlace = "Cluster"
	// ReportsInHub: in the namespace of the operator in the Ops Cluster, where such reports are served there.
	ReportsInHub ReportPlace = "Hub"
	// ReportsNowhere: none is written, and those that were are deleted.
	ReportsNowhere ReportPlace = "None"
)

// Scan says what becomes of what is found.
type Scan struct {
	// reports: one for each object that crosses, where such reports are served. When omitted
	// it is Cluster.
	// +optional
	Reports ReportPlace `json:"reports,omitempty"`
}

// Audit says how those who send audit events show who they are.
type Audit struct {
	// tokenSecretRef names a Secret in the operator's namespace with the bearer token.
	// +required
	TokenSecretRef TokenSecretReference `json:"tokenSecretRef,omitzero"`
}

// TokenSecretReference names a Secret in the operator's namespace, and the key that holds a token.
type TokenSecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// key of the Secret that holds the token, of 16 characters or more; each line is one, so that
	// the old one can stand beside the new one for a while. When omitted it is "token".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Learn says what is learned from the objects of clusters.
type Learn struct {
	// disabled: nothing is learned. What was learned stays until its retention has passed.
	// When omitted it is false.
	// +optional
	Disabled *bool `json:"disabled,omitempty"`

	// secrets may be read: the guard webhook then follows references into the Secrets of
	// these clusters, and of the credentials in them keyed fingerprints are learned, never the
	// values. When omitted it is false.
	// +optional
	Secrets *bool `json:"secrets,omitempty"`
}

// EnvironmentReference names an Environment.
type EnvironmentReference struct {
	// name of the Environment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="environmentRef.name is immutable: delete the object and create another"
	Name string `json:"name,omitempty"`
}

// Connection is a way to reach an API server.
//
// +kubebuilder:validation:XValidation:rule="[has(self.kubeconfigSecretRef), has(self.argoCDClusterSecretRef), has(self.inCluster)].filter(x, x).size() == 1",message="exactly one of kubeconfigSecretRef, argoCDClusterSecretRef, inCluster must be set"
type Connection struct {
	// kubeconfigSecretRef names a Secret in the Ops Cluster that holds a kubeconfig.
	// +optional
	KubeconfigSecretRef *KubeconfigSecretReference `json:"kubeconfigSecretRef,omitempty"`

	// argoCDClusterSecretRef names a cluster Secret of Argo CD in the Ops Cluster
	// (keys server and config).
	// +optional
	ArgoCDClusterSecretRef *SecretReference `json:"argoCDClusterSecretRef,omitempty"`

	// inCluster: the cluster that the operator itself runs in.
	// +optional
	InCluster *InClusterConnection `json:"inCluster,omitempty"`
}

// InClusterConnection has no fields of its own.
type InClusterConnection struct{}

// SecretReference names a Secret.
type SecretReference struct {
	// namespace of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// KubeconfigSecretReference names a Secret and the key that holds a kubeconfig.
type KubeconfigSecretReference struct {
	SecretReference `json:",inline"`
	// key of the Secret that holds the kubeconfig. When omitted it is "value", as in the
	// Secrets of Cluster API.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// ManagementClusterStatus is what Skott observes of the cluster.
type ManagementClusterStatus struct {
	// conditions: Ready, Reachable, ClustersLabelled, Guarded, Learning, WebhookActs, DenialsCollected.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// kubernetesVersion that the API server states.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`

	// clusterAPIVersions served for cluster.x-k8s.io.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	ClusterAPIVersions []string `json:"clusterAPIVersions,omitempty"`

	// workloadClusters counts the Clusters under this cluster.
	// +optional
	WorkloadClusters *WorkloadClustersStatus `json:"workloadClusters,omitempty"`

	// ungoverned are kinds in this cluster, and in the Clusters under it, whose fields look
	// as if they moved data, and that are in no table of movement kinds: nothing of them is
	// read beyond addresses that stand out. A MovementKind governs one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Ungoverned []UngovernedKind `json:"ungoverned,omitempty"`
}

// UngovernedKind is a kind that looks as if it moved data.
type UngovernedKind struct {
	// kind as KIND.GROUP.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Kind string `json:"kind,omitempty"`
	// resource is its plural name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Resource string `json:"resource,omitempty"`
	// fields that make it look so, by path.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=512
	Fields []string `json:"fields,omitempty"`
	// clusters that serve it: the ManagementCluster's name, or NAMESPACE/NAME; the first of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=317
	Clusters []string `json:"clusters,omitempty"`
	// clusterCount is how many clusters serve it.
	// +required
	// +kubebuilder:validation:Minimum=1
	ClusterCount int32 `json:"clusterCount,omitempty"`
}

// WorkloadClustersStatus counts Clusters.
type WorkloadClustersStatus struct {
	// total number of Clusters.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// labelled ones carry the labels of their ManagementCluster.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Labelled *int32 `json:"labelled,omitempty"`
	// guarded ones refused their last live proof.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Guarded *int32 `json:"guarded,omitempty"`
}

// ManagementCluster is one API server that Skott connects to: a Management Cluster, with
// every Cluster API Cluster under it, or the Ops Cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=skott,shortName=skmc
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must be at most 63 characters, as it is used as a label value"
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environmentRef.name`
// +kubebuilder:printcolumn:name="Datacenter",type=string,JSONPath=`.spec.datacenter`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Guarded",type=string,JSONPath=`.status.conditions[?(@.type=="Guarded")].status`
// +kubebuilder:printcolumn:name="Clusters",type=integer,JSONPath=`.status.workloadClusters.total`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.kubernetesVersion`,priority=10
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=10
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ManagementCluster struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says which cluster it is.
	// +required
	Spec ManagementClusterSpec `json:"spec,omitzero"`
	// status is what Skott observes of it.
	// +optional
	Status ManagementClusterStatus `json:"status,omitempty,omitzero"`
}

// ManagementClusterList is a list of ManagementClusters.
//
// +kubebuilder:object:root=true
type ManagementClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ManagementCluster `json:"items"`
}

// Learns reports whether addresses are learned from the objects of the cluster.
func (m *ManagementCluster) Learns() bool {
	l := m.Spec.Learn
	return l == nil || l.Disabled == nil || !*l.Disabled
}

// EnvironmentName is the Environment named by the spec, or "" for an Ops Cluster without one.
func (m *ManagementCluster) EnvironmentName() string {
	if m.Spec.EnvironmentRef == nil {
		return ""
	}
	return m.Spec.EnvironmentRef.Name
}

// GetConditions returns the conditions of the ManagementCluster.
func (m *ManagementCluster) GetConditions() []metav1.Condition { return m.Status.Conditions }

// SetConditions replaces the conditions of the ManagementCluster.
func (m *ManagementCluster) SetConditions(c []metav1.Condition) { m.Status.Conditions = c }
