// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels that Skott writes on every Cluster API Cluster, and on the Argo CD cluster
// Secrets that point to one. Their values come from the ManagementCluster alone; the
// admission policies refuse anybody else's change.
const (
	// LabelEnvironment names the Environment of a cluster. On a Namespace it says that
	// the namespace is of another Environment than its cluster, and may only say so
	// when the namespace is created, and only downwards in trust.
	LabelEnvironment = "skott.dev/environment"
	// LabelStage is the stage of the cluster's Environment.
	LabelStage = "skott.dev/stage"
	// LabelDatacenter is the datacenter of the cluster's Management Cluster.
	LabelDatacenter = "skott.dev/datacenter"
	// LabelManagementCluster names the ManagementCluster that the cluster belongs to.
	LabelManagementCluster = "skott.dev/management-cluster"
	// LabelGuarded is "true" while the last live proof of the cluster's guard succeeded,
	// "false" otherwise. Deployments can wait for it.
	LabelGuarded = "skott.dev/guarded"

	// LabelManagedBy marks every object that Skott writes in a guarded cluster.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelAction is carried by Guard objects and selects the ones a binding reads.
	LabelAction = "skott.dev/action"
	// LabelCentral marks the reports in the Ops Cluster that are about other clusters.
	LabelCentral = "skott.dev/central"
	// AnnotationCluster of such a report names the cluster.
	AnnotationCluster = "skott.dev/cluster"

	// AnnotationContent of a Guard identifies what Skott wrote there, so that an operator that
	// starts need not write a megabyte again. It is a note, and decides nothing.
	AnnotationContent = "skott.dev/content"

	// FieldOwner is the server-side apply owner of everything that Skott writes.
	FieldOwner = "skott"

	// Finalizer is held by Environments, ManagementClusters and DataBoundaries, so that
	// none of them disappears in silence.
	Finalizer = "skott.dev/finalizer"
)

// Condition types that several kinds share, with reasons that every condition may carry.
const (
	// ConditionReady sums up the other conditions of an object.
	ConditionReady = "Ready"

	// ReasonReady: everything the object asks for is in place.
	ReasonReady = "Ready"
	// ReasonNotReady: another condition of the object is not true; the message says which.
	ReasonNotReady = "NotReady"
	// ReasonInUse: the object was deleted but others still name it, so it stays.
	ReasonInUse = "InUse"
	// ReasonUnknown: nothing has been observed yet.
	ReasonUnknown = "Unknown"
)
