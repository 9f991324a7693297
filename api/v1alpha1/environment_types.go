// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Stage is what an Environment is for.
//
// +kubebuilder:validation:Enum=production;staging;testing;integration;development
type Stage string

// The stages, from the one that customers use down.
const (
	StageProduction  Stage = "production"
	StageStaging     Stage = "staging"
	StageTesting     Stage = "testing"
	StageIntegration Stage = "integration"
	StageDevelopment Stage = "development"
)

// Class says on which side of a boundary an Environment stands.
//
// +kubebuilder:validation:Enum=Production;NonProduction
type Class string

// The two classes.
const (
	ClassProduction    Class = "Production"
	ClassNonProduction Class = "NonProduction"
)

// Conditions of an Environment, beside Ready.
const (
	// ConditionComplete: at least one ManagementCluster and one Workload Cluster belong to
	// the Environment (R12).
	ConditionComplete = "Complete"
	// ConditionDatacentersCovered: every datacenter of spec.datacenters has at least one
	// ManagementCluster of the Environment (R10).
	ConditionDatacentersCovered = "DatacentersCovered"
	// ConditionSeparated: everything was scanned, nothing crosses into or out of the Environment,
	// and no address of it is contested. Unknown does not make the Environment unready.
	ConditionSeparated = "Separated"
	// ConditionSecurityParity: the clusters have the security measures that production's have
	// (R18). Environments of stage production have no such condition.
	ConditionSecurityParity = "SecurityParity"

	ReasonComplete               = "Complete"               // members of both kinds exist
	ReasonNoManagementCluster    = "NoManagementCluster"    // no ManagementCluster names the Environment
	ReasonNoWorkloadCluster      = "NoWorkloadCluster"      // its ManagementClusters hold no Cluster
	ReasonDatacentersCovered     = "DatacentersCovered"     // none is missing
	ReasonDatacenterMissing      = "DatacenterMissing"      // the message names the datacenters
	ReasonSeparated              = "Separated"              // no object crosses, and no address is contested
	ReasonContestedAddresses     = "ContestedAddresses"     // an address belongs to two Environments
	ReasonManagementClusterUnfit = "ManagementClusterUnfit" // a member is not Ready; the message names it
	ReasonParity                 = "Parity"                 // nothing that production has is missing
	ReasonMeasuresMissing        = "MeasuresMissing"        // the message names what is missing or weaker, and where
	ReasonNotCompared            = "NotCompared"            // something could not be read; the message names it
)

// EnvironmentSpec says what the Environment is.
//
// +kubebuilder:validation:XValidation:rule="self.stage != 'production' || !has(self.class) || self.class == 'Production'",message="class must be Production when stage is production",fieldPath=".class"
// +kubebuilder:validation:XValidation:rule="oldSelf.stage != 'production' || self.stage == 'production'",message="stage of a production Environment is immutable: delete it and create another",fieldPath=".stage"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.class) || oldSelf.class != 'Production' || (has(self.class) && self.class == 'Production') || self.stage == 'production'",message="class Production cannot be lowered: delete the Environment and create another",fieldPath=".class"
type EnvironmentSpec struct {
	// stage is what the Environment is for.
	// +required
	Stage Stage `json:"stage,omitempty"`

	// class says on which side of a boundary the Environment stands. When omitted it
	// follows from stage: production is Production, every other stage NonProduction.
	// A stage other than production may be raised to Production (a sealed Environment
	// for restore tests); the class of a production stage cannot be lowered.
	// +optional
	Class Class `json:"class,omitempty"`

	// datacenters where at least one ManagementCluster of this Environment must exist.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Datacenters []string `json:"datacenters,omitempty"`

	// customerNamespaces are the namespaces, on Management Clusters of this Environment,
	// that hold customers' Clusters: a name, or a prefix followed by "*". When the
	// Environment is NonProduction a new Cluster in one of them is refused, because
	// customers' Clusters run under production Management Clusters only (R11). When
	// omitted, nothing is refused for its namespace.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=2
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$|^[a-z0-9][a-z0-9-]*\*$`
	CustomerNamespaces []string `json:"customerNamespaces,omitempty"`
}

// EnvironmentStatus is what Skott observes of the Environment.
type EnvironmentStatus struct {
	// conditions: Ready, Complete, DatacentersCovered, Separated, SecurityParity.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// managementClusters is the number of ManagementClusters that name the Environment.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ManagementClusters *int32 `json:"managementClusters,omitempty"`

	// workloadClusters is the number of Cluster API Clusters under them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	WorkloadClusters *int32 `json:"workloadClusters,omitempty"`

	// datacenters breaks both numbers down.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Datacenters []DatacenterStatus `json:"datacenters,omitempty"`

	// violations is the number of objects that cross into or out of the Environment, in all
	// clusters that were scanned.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Violations *int32 `json:"violations,omitempty"`

	// contested is the number of addresses that belong to another Environment too.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Contested *int32 `json:"contested,omitempty"`

	// parity compares the security measures of its clusters with those of production. It is
	// not there when stage is production.
	// +optional
	Parity *ParityStatus `json:"parity,omitempty"`

	// isolation is how far the Environment is apart from each other one.
	// +optional
	// +listType=map
	// +listMapKey=environment
	// +kubebuilder:validation:MaxItems=512
	Isolation []IsolationStatus `json:"isolation,omitempty"`
}

// ParityStatus says which security measures of production an Environment lacks. What most
// production clusters of a role have counts as production's.
type ParityStatus struct {
	// clusters of the Environment that were compared.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Clusters *int32 `json:"clusters,omitempty"`
	// productionClusters they were compared with.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ProductionClusters *int32 `json:"productionClusters,omitempty"`
	// measures that count as production's.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Measures *int32 `json:"measures,omitempty"`
	// missingCount is how many of them are missing, or weaker, in at least one cluster.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MissingCount *int32 `json:"missingCount,omitempty"`
	// missing are those, the first of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Missing []MissingMeasure `json:"missing,omitempty"`
}

// MissingMeasure is a security measure that production has.
type MissingMeasure struct {
	// kind of the object that is the measure.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// name of it in production; of what a namespace has, the name of the namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name,omitempty"`
	// role of the clusters that it is compared in: Management, Ops or Workload.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Role string `json:"role,omitempty"`
	// production is how strong it is there: Deny, Fail, restricted; "" where it is there or not.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Production string `json:"production,omitempty"`
	// weaker: the clusters have it, and none lacks it, but not as strong.
	// +optional
	Weaker *bool `json:"weaker,omitempty"`
	// clusters that lack it or have it weaker: the ManagementCluster's name, or NAMESPACE/NAME;
	// the first of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=317
	Clusters []string `json:"clusters,omitempty"`
	// clusterCount is how many do.
	// +required
	// +kubebuilder:validation:Minimum=1
	ClusterCount int32 `json:"clusterCount,omitempty"`
}

// IsolationLevel is how far two Environments are apart, weakest first: Namespace, Node,
// Cluster, Environment. The level below them, labels within one namespace, is no separation,
// and Skott never takes it for one.
//
// +kubebuilder:validation:Enum=Namespace;Node;Cluster;Environment
type IsolationLevel string

// The levels.
const (
	// IsolationNamespace: namespaces of both are in one cluster.
	IsolationNamespace IsolationLevel = "Namespace"
	// IsolationNode: so they are, but each such namespace is bound to nodes of its own.
	IsolationNode IsolationLevel = "Node"
	// IsolationCluster: they have clusters of their own, but share a Management Cluster, and
	// with it what that holds: logs, metrics, images.
	IsolationCluster IsolationLevel = "Cluster"
	// IsolationEnvironment: they share no cluster.
	IsolationEnvironment IsolationLevel = "Environment"
)

// IsolationStatus is how far an Environment is apart from another one.
type IsolationStatus struct {
	// environment is the other one.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Environment string `json:"environment,omitempty"`
	// level reached wherever the two meet: the weakest one.
	// +required
	Level IsolationLevel `json:"level,omitempty"`
	// clusters where they meet, the first of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=512
	Clusters []string `json:"clusters,omitempty"`
	// clusterCount is in how many clusters they meet.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ClusterCount *int32 `json:"clusterCount,omitempty"`
}

// DatacenterStatus counts the members of an Environment in one datacenter.
type DatacenterStatus struct {
	// name of the datacenter.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// managementClusters of the Environment in this datacenter.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ManagementClusters *int32 `json:"managementClusters,omitempty"`

	// workloadClusters of the Environment in this datacenter.
	// +optional
	// +kubebuilder:validation:Minimum=0
	WorkloadClusters *int32 `json:"workloadClusters,omitempty"`
}

// Environment is the unit of separation: every cluster belongs to exactly one.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=skott,shortName=skenv
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must be at most 63 characters, as it is used as a label value"
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.spec.stage`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Separated",type=string,JSONPath=`.status.conditions[?(@.type=="Separated")].status`
// +kubebuilder:printcolumn:name="Management",type=integer,JSONPath=`.status.managementClusters`
// +kubebuilder:printcolumn:name="Workload",type=integer,JSONPath=`.status.workloadClusters`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=10
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Environment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says what the Environment is.
	// +required
	Spec EnvironmentSpec `json:"spec,omitzero"`
	// status is what Skott observes of it.
	// +optional
	Status EnvironmentStatus `json:"status,omitempty,omitzero"`
}

// EnvironmentList is a list of Environments.
//
// +kubebuilder:object:root=true
type EnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Environment `json:"items"`
}

// EffectiveClass is spec.class, or what follows from spec.stage when it is omitted.
func (e *Environment) EffectiveClass() Class {
	if e.Spec.Stage == StageProduction || e.Spec.Class == ClassProduction {
		return ClassProduction
	}
	return ClassNonProduction
}

// GetConditions returns the conditions of the Environment.
func (e *Environment) GetConditions() []metav1.Condition { return e.Status.Conditions }

// SetConditions replaces the conditions of the Environment.
func (e *Environment) SetConditions(c []metav1.Condition) { e.Status.Conditions = c }
