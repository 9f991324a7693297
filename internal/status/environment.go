// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// EnvironmentView is what is known of an Environment besides its own spec.
type EnvironmentView struct {
	// ManagementClusters that name it.
	ManagementClusters []skottv1.ManagementCluster
	// Members by name of ManagementCluster.
	Members map[string]Member
	// Contested addresses that it claims with others, in words.
	Contested []string
	// Scans of every cluster, and what the boundaries remember of earlier ones.
	Scans      Survey
	Remembered []skottv1.ViolationCount
	// Others are all Environments by name, Places those of every ManagementCluster.
	Others []string
	Places map[string]string
	// Stages of all Environments, and Datacenters of every ManagementCluster.
	Stages      map[string]skottv1.Stage
	Datacenters map[string]string
	// Comparison of the Environment with production, as it was remembered; nil if it was not.
	Comparison *Comparison
	// Users keep a deleted Environment: "ManagementCluster mc-1", …
	Users []string
}

// Environment computes the status of e.
func Environment(e *skottv1.Environment, view EnvironmentView) {
	sites := map[string]*skottv1.DatacenterStatus{}
	var unfit, unlisted []string
	management, workload := int32(0), int32(0)
	for i := range view.ManagementClusters {
		mc := &view.ManagementClusters[i]
		site := sites[mc.Spec.Datacenter]
		if site == nil {
			site = &skottv1.DatacenterStatus{Name: mc.Spec.Datacenter, ManagementClusters: new(int32), WorkloadClusters: new(int32)}
			sites[mc.Spec.Datacenter] = site
		}
		clusters := int32(len(view.Members[mc.Name].Clusters))
		management, workload = management+1, workload+clusters
		*site.ManagementClusters++
		*site.WorkloadClusters += clusters
		if !view.Members[mc.Name].ClustersListed {
			unlisted = append(unlisted, mc.Name)
		}
		if !meta.IsStatusConditionTrue(mc.Status.Conditions, skottv1.ConditionReady) {
			unfit = append(unfit, mc.Name)
		}
	}
	e.Status.ManagementClusters, e.Status.WorkloadClusters = &management, &workload
	e.Status.Datacenters = nil
	for _, name := range slices.Sorted(maps.Keys(sites)) {
		e.Status.Datacenters = append(e.Status.Datacenters, *sites[name])
	}
	e.Status.Isolation = isolation(e.Name, view.Others, view.Members, view.Places)
	parity(e, view)
	set(e, skottv1.ConditionComplete, complete(management, workload, unlisted))
	set(e, skottv1.ConditionDatacentersCovered, covered(e, sites))
	separated := separation(e, view)
	set(e, skottv1.ConditionSeparated, separated)
	conditions := []string{skottv1.ConditionComplete, skottv1.ConditionDatacentersCovered}
	if separated.Status != metav1.ConditionUnknown { // what was not scanned makes nothing unready
		conditions = append(conditions, skottv1.ConditionSeparated)
	}
	summarise(e, conditions...)
	ready := meta.IsStatusConditionTrue(e.Status.Conditions, skottv1.ConditionReady)
	switch {
	case !e.DeletionTimestamp.IsZero() && len(view.Users) > 0:
		set(e, skottv1.ConditionReady, no(skottv1.ReasonInUse, fmt.Sprintf("the Environment was deleted, and is kept because it is used by %s", Names(view.Users))))
	case ready && len(unfit) > 0:
		set(e, skottv1.ConditionReady, no(skottv1.ReasonManagementClusterUnfit, fmt.Sprintf("%d ManagementClusters are not Ready: %s", len(unfit), Names(unfit))))
	}
}

// separation writes what crosses into or out of the Environment into its status, and judges it.
func separation(e *skottv1.Environment, view EnvironmentView) verdict {
	total, names, since := view.Scans.Touching(e.Name, view.Remembered)
	e.Status.Violations, e.Status.Contested = number(total), number(len(view.Contested))
	return judgement{
		clean: skottv1.ReasonSeparated, contested: view.Contested, contestedReason: skottv1.ReasonContestedAddresses, contestedText: "belong to another Environment too",
		total: total, where: Names(names), since: since, missing: view.Scans.Missing(), clusters: len(view.Scans.Clusters),
	}.verdict()
}

func complete(management, workload int32, unlisted []string) verdict {
	switch {
	case management == 0:
		return no(skottv1.ReasonNoManagementCluster, "no ManagementCluster names this Environment")
	case workload == 0 && len(unlisted) > 0:
		return unclear(skottv1.ReasonWaitingForConnection, "the Clusters were not listed yet of "+Names(unlisted))
	case workload == 0:
		return no(skottv1.ReasonNoWorkloadCluster, "its ManagementClusters hold no Cluster")
	}
	return yes(skottv1.ReasonComplete, fmt.Sprintf("%d ManagementClusters, %d Workload Clusters", management, workload))
}

func covered(e *skottv1.Environment, sites map[string]*skottv1.DatacenterStatus) verdict {
	var missing []string
	for _, name := range e.Spec.Datacenters {
		if sites[name] == nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return no(skottv1.ReasonDatacenterMissing, "no ManagementCluster in "+Names(missing))
	}
	return yes(skottv1.ReasonDatacentersCovered, "")
}

// DataLocation computes the status of d: whether its Environment exists, its addresses
// parse, and with whom it shares them. contested holds, per address as written, the other
// Environments that claim it.
func DataLocation(d *skottv1.DataLocation, environmentExists bool, rejected []string, contested map[string][]string) {
	switch {
	case len(rejected) > 0:
		set(d, skottv1.ConditionReady, no(skottv1.ReasonNotReady, Names(rejected)))
	case !environmentExists:
		set(d, skottv1.ConditionReady, no(skottv1.ReasonEnvironmentNotFound, fmt.Sprintf("spec.environmentRef.name: Environment %q does not exist; until it does, its addresses count as production", d.Spec.EnvironmentRef.Name)))
	default:
		set(d, skottv1.ConditionReady, yes(skottv1.ReasonReady, fmt.Sprintf("%d addresses", len(d.Spec.Addresses))))
	}
	verdict := no(skottv1.ReasonNotContested, "")
	if d.Spec.Shared != nil && *d.Spec.Shared {
		verdict = no(skottv1.ReasonShared, "shared addresses belong to nobody alone")
	}
	if len(contested) > 0 {
		var words []string
		for address, others := range contested {
			words = append(words, fmt.Sprintf("%s (also of %s)", address, Names(others)))
		}
		verdict = yes(skottv1.ReasonContested, fmt.Sprintf("%d addresses belong to another Environment too, and stay guarded: %s", len(words), Names(words)))
	}
	set(d, skottv1.ConditionContested, verdict)
}
