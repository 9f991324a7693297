// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Action is what happens to an object that crosses a boundary.
//
// +kubebuilder:validation:Enum=Deny;Warn;Audit
type Action string

// The actions, strictest first: where boundaries disagree, the strictest wins.
const (
	// ActionDeny refuses the request.
	ActionDeny Action = "Deny"
	// ActionWarn lets it through with a warning to the client.
	ActionWarn Action = "Warn"
	// ActionAudit lets it through and records it in the API server's audit log.
	ActionAudit Action = "Audit"
)

// Conditions of a DataBoundary, beside Ready.
const (
	// ConditionPublished: every reachable guarded cluster holds the current revision.
	ConditionPublished = "Published"
	// ConditionEnforced: the live proof was denied in every guarded cluster.
	ConditionEnforced = "Enforced"
	// ConditionNoViolations: everything was scanned, nothing crosses, and no address is contested.
	ConditionNoViolations = "NoViolations"

	ReasonPublished           = "Published"           // the revision is in every guarded cluster
	ReasonPublishing          = "Publishing"          // it is under way; the message names who lacks it
	ReasonNothingSelected     = "NothingSelected"     // from or to selects no Environment
	ReasonEnforced            = "Enforced"            // the proof was denied everywhere
	ReasonNotProved           = "NotProved"           // the message names the clusters
	ReasonCanaryAdmitted      = "CanaryAdmitted"      // an API server let the proof through
	ReasonNoClusters          = "NoClusters"          // no cluster is concerned yet
	ReasonNoViolations        = "NoViolations"        // no object crosses, and no address is contested
	ReasonViolations          = "Violations"          // the message counts objects that cross, and contested addresses
	ReasonNotScanned          = "NotScanned"          // nothing is known to cross, but not everything was scanned
	ReasonBeingRemoved        = "BeingRemoved"        // deleted; the message says when it ends
	ReasonEnvironmentsMissing = "EnvironmentsMissing" // from or to names an Environment that does not exist
)

// EnvironmentSelector chooses Environments: those whose class is listed, or whose name is
// listed, or whose labels match.
//
// +kubebuilder:validation:XValidation:rule="has(self.classes) || has(self.environments) || has(self.selector)",message="at least one of classes, environments, selector must be set"
type EnvironmentSelector struct {
	// classes of Environments.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Classes []Class `json:"classes,omitempty"`

	// environments by name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Environments []string `json:"environments,omitempty"`

	// selector over the labels of Environments.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// BoundaryRule says whose data may not reach whom, and what happens to an object that
// would make it happen.
type BoundaryRule struct {
	// from selects the Environments whose data may not leave. When omitted: class Production.
	// +optional
	From *EnvironmentSelector `json:"from,omitempty"`

	// to selects the Environments that it may not reach. When omitted: class NonProduction.
	// +optional
	To *EnvironmentSelector `json:"to,omitempty"`

	// action on an object that crosses.
	// +required
	Action Action `json:"action,omitempty"`
}

// DataBoundarySpec is the enforced rule, and one that is only tried.
type DataBoundarySpec struct {
	BoundaryRule `json:",inline"`

	// draft is evaluated beside the enforced rule and reported, never enforced.
	// +optional
	Draft *BoundaryRule `json:"draft,omitempty"`
}

// DataBoundaryStatus is what Skott observes of the boundary.
type DataBoundaryStatus struct {
	// conditions: Ready, Published, Enforced, NoViolations.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// guardedClusters counts the clusters on either side of the boundary.
	// +optional
	GuardedClusters *GuardedClustersStatus `json:"guardedClusters,omitempty"`

	// addresses that the boundary keeps on their side.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Addresses *int32 `json:"addresses,omitempty"`

	// violations is the number of objects that cross the boundary, in all clusters that were
	// scanned.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Violations *int32 `json:"violations,omitempty"`

	// contested is the number of addresses that belong to both sides.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Contested *int32 `json:"contested,omitempty"`

	// breakdown says where the violations are, the most first. It may lack the last of them;
	// violations counts all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Breakdown []ViolationCount `json:"breakdown,omitempty"`

	// draft is what the draft of the boundary finds beside it. It is not there when
	// spec.draft is not, and empty while clusters are being scanned by it.
	// +optional
	Draft *DraftStatus `json:"draft,omitempty"`

	// denials are requests that were refused because of the boundary, as far as audit events of
	// the clusters were received.
	// +optional
	Denials *DenialsStatus `json:"denials,omitempty"`

	// revision of what was last published for the boundary.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`
}

// ViolationCount is how many objects of a kind in a cluster cross.
type ViolationCount struct {
	// environment that the objects are in; empty when it is none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Environment string `json:"environment,omitempty"`
	// datacenter of the cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Datacenter string `json:"datacenter,omitempty"`
	// cluster is MANAGEMENTCLUSTER, or MANAGEMENTCLUSTER/NAMESPACE/NAME.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Cluster string `json:"cluster,omitempty"`
	// kind is KIND, or KIND.GROUP.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Kind string `json:"kind,omitempty"`
	// count of the objects.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Count *int32 `json:"count,omitempty"`
	// since is when the first of them was seen.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// DraftStatus is what the draft of a boundary would change. It is empty while clusters are
// being scanned by the draft.
type DraftStatus struct {
	// violations is the number of objects that the draft finds and nothing refuses now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Violations *int32 `json:"violations,omitempty"`
	// newlyRefused is the number of those that the draft denies and nothing else does.
	// +optional
	// +kubebuilder:validation:Minimum=0
	NewlyRefused *int32 `json:"newlyRefused,omitempty"`
}

// DenialsStatus counts refused requests.
type DenialsStatus struct {
	// count of them since the boundary was made, dry runs among them; canaries are not counted.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int64 `json:"count,omitempty"`
	// lastTime is when the last of them was received.
	// +required
	LastTime metav1.Time `json:"lastTime,omitzero"`
}

// GuardedClustersStatus counts guarded clusters.
type GuardedClustersStatus struct {
	// desired number of guarded clusters.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Desired *int32 `json:"desired,omitempty"`
	// enforced ones refused their last live proof at the current revision.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Enforced *int32 `json:"enforced,omitempty"`
	// unreachable ones did not answer.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Unreachable *int32 `json:"unreachable,omitempty"`
}

// DataBoundary forbids data of some Environments to reach others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=skott,shortName=skb
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must be at most 63 characters"
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Enforced",type=integer,JSONPath=`.status.guardedClusters.enforced`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.guardedClusters.desired`
// +kubebuilder:printcolumn:name="Unreachable",type=integer,JSONPath=`.status.guardedClusters.unreachable`
// +kubebuilder:printcolumn:name="Addresses",type=integer,JSONPath=`.status.addresses`
// +kubebuilder:printcolumn:name="Violations",type=integer,JSONPath=`.status.violations`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`,priority=10
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DataBoundary struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the rule.
	// +required
	Spec DataBoundarySpec `json:"spec,omitzero"`
	// status is what Skott observes of it.
	// +optional
	Status DataBoundaryStatus `json:"status,omitempty,omitzero"`
}

// DataBoundaryList is a list of DataBoundaries.
//
// +kubebuilder:object:root=true
type DataBoundaryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DataBoundary `json:"items"`
}

// GetConditions returns the conditions of the DataBoundary.
func (b *DataBoundary) GetConditions() []metav1.Condition { return b.Status.Conditions }

// SetConditions replaces the conditions of the DataBoundary.
func (b *DataBoundary) SetConditions(c []metav1.Condition) { b.Status.Conditions = c }
