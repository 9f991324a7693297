// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// Connection is what became of the way to a ManagementCluster before it was dialled.
type Connection struct {
	// Reason and Message if the connection of the spec cannot be used; empty if it can.
	Reason, Message string
	// EnvironmentMissing: spec.environmentRef names nothing.
	EnvironmentMissing bool
}

// ManagementCluster computes the status of mc from the connection and, if it is engaged,
// what was observed of it. current says whether the proof of a cluster is of what is
// desired for it now.
func ManagementCluster(mc *skottv1.ManagementCluster, connection Connection, m *Member, current func(Cluster) bool) {
	set(mc, skottv1.ConditionReachable, reachable(connection, m))
	if m == nil {
		set(mc, skottv1.ConditionClustersLabelled, unclear(skottv1.ReasonWaitingForConnection, "the cluster was not reached yet"))
		set(mc, skottv1.ConditionGuarded, unclear(skottv1.ReasonWaitingForConnection, "the cluster was not reached yet"))
		set(mc, skottv1.ConditionLearning, unclear(skottv1.ReasonWaitingForConnection, "the cluster was not reached yet"))
		set(mc, skottv1.ConditionWebhookActs, unclear(skottv1.ReasonWaitingForConnection, "the cluster was not reached yet"))
		summariseManagementCluster(mc, connection)
		return
	}
	if m.Version != "" {
		mc.Status.KubernetesVersion = m.Version
		mc.Status.ClusterAPIVersions = m.ClusterAPIVersions
	}
	total, labelled, guarded := int32(len(m.Clusters)), int32(0), int32(0)
	var unlabelled, unguarded []string
	if !isGuarded(m.Self, current) {
		unguarded = append(unguarded, describe(m.Self))
	}
	for _, c := range m.Clusters {
		if c.Labelled {
			labelled++
		} else {
			unlabelled = append(unlabelled, c.Namespace+"/"+c.Name)
		}
		if isGuarded(c, current) {
			guarded++
		} else {
			unguarded = append(unguarded, describe(c))
		}
	}
	mc.Status.WorkloadClusters = &skottv1.WorkloadClustersStatus{Total: &total, Labelled: &labelled, Guarded: &guarded}
	set(mc, skottv1.ConditionClustersLabelled, clustersLabelled(mc, m, unlabelled))
	guard := unclear(skottv1.ReasonWaitingForConnection, "the Clusters were not listed yet")
	if m.ClustersListed {
		guard = yes(skottv1.ReasonGuarded, fmt.Sprintf("%d of %d clusters refused their last live proof", total+1, total+1))
	}
	if len(unguarded) > 0 {
		guard = no(skottv1.ReasonNotGuarded, fmt.Sprintf("%d of %d clusters are not proved: %s", len(unguarded), total+1, Names(unguarded)))
	}
	set(mc, skottv1.ConditionGuarded, guard)
	set(mc, skottv1.ConditionLearning, learning(mc, m))
	set(mc, skottv1.ConditionWebhookActs, webhooksAct(mc, m))
	summariseManagementCluster(mc, connection)
}

// learning says whether addresses are learned from every cluster.
func learning(mc *skottv1.ManagementCluster, m *Member) verdict {
	if !mc.Learns() || mc.EnvironmentName() == "" {
		return no(skottv1.ReasonLearningDisabled, "nothing is learned from its objects; what was learned stays until its retention has passed")
	}
	var gaps []string
	listed := m.ClustersListed
	for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
		for _, gap := range c.LearnGaps {
			gaps = append(gaps, c.Key()+": "+gap)
		}
		listed = listed && (c.Learned || c.GuardedAs != "")
	}
	switch {
	case len(gaps) > 0:
		return no(skottv1.ReasonLearningGaps, fmt.Sprintf("%d gaps: %s", len(gaps), Names(gaps)))
	case !listed:
		return unclear(skottv1.ReasonWaitingForConnection, "not everything was listed yet")
	}
	return yes(skottv1.ReasonLearning, "")
}

func clustersLabelled(mc *skottv1.ManagementCluster, m *Member, unlabelled []string) verdict {
	switch {
	case !m.ClusterAPIServed && mc.Spec.Role == skottv1.RoleManagement:
		return no(skottv1.ReasonClusterAPINotServed, "cluster.x-k8s.io/v1beta2 is not served")
	case !m.ClustersListed:
		return unclear(skottv1.ReasonWaitingForConnection, "the Clusters were not listed yet")
	case len(unlabelled) > 0:
		return no(skottv1.ReasonClustersNotLabelled, fmt.Sprintf("%d of %d Clusters lack labels: %s", len(unlabelled), len(m.Clusters), Names(unlabelled)))
	}
	return yes(skottv1.ReasonClustersLabelled, fmt.Sprintf("%d Clusters", len(m.Clusters)))
}

func reachable(connection Connection, m *Member) verdict {
	switch {
	case connection.Reason != "":
		return no(connection.Reason, connection.Message)
	case m == nil || m.Reason == "" || m.Reason == skottv1.ReasonUnknown:
		return unclear(skottv1.ReasonWaitingForConnection, "the first connection is under way")
	case !m.Reachable:
		return no(m.Reason, m.Message)
	case m.Duplicate != "":
		return no(skottv1.ReasonDuplicateAPIServer, fmt.Sprintf("ManagementCluster %q already names this API server", m.Duplicate))
	}
	return yes(skottv1.ReasonReachable, "")
}

// summariseManagementCluster: Ready asks for a connection and for the labels. A guard that
// is not proved yet does not make the cluster unusable, and has a condition of its own.
func summariseManagementCluster(mc *skottv1.ManagementCluster, connection Connection) {
	summarise(mc, skottv1.ConditionReachable, skottv1.ConditionClustersLabelled)
	if connection.EnvironmentMissing {
		set(mc, skottv1.ConditionReady, no(skottv1.ReasonEnvironmentNotFound,
			fmt.Sprintf("spec.environmentRef.name: Environment %q does not exist; until it does, the cluster counts as production for what leaves it and as non-production for what enters it", mc.EnvironmentName())))
	}
}

// isGuarded reports whether a cluster refused its last proof of what is desired now.
func isGuarded(c Cluster, current func(Cluster) bool) bool {
	return c.Guard.Phase == Enforced && current(c)
}

// describe names a cluster with what keeps it from being guarded.
func describe(c Cluster) string {
	name := nameOf(c)
	if c.Guard.Reason == "" {
		return fmt.Sprintf("%s (%s)", name, c.Guard.Phase)
	}
	return fmt.Sprintf("%s (%s)", name, c.Guard.Reason)
}

func nameOf(c Cluster) string {
	if c.Name != "" {
		return c.Namespace + "/" + c.Name
	}
	return c.ManagementCluster
}
