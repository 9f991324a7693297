// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	diffs "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/ledger"
	"github.com/skott-dev/skott/internal/status"
)

func clusterNamed(name, environment string) *skottv1.ManagementCluster {
	mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if environment != "" {
		mc.Spec.EnvironmentRef = &skottv1.EnvironmentReference{Name: environment}
	}
	return mc
}

// fleetOf is a fleet of one ManagementCluster of production with the Cluster platform/shop.
func fleetOf() *fleetView {
	environment := func(stage skottv1.Stage) *skottv1.Environment {
		return &skottv1.Environment{Spec: skottv1.EnvironmentSpec{Stage: stage}}
	}
	self, shop := status.Cluster{ManagementCluster: "mc"}, status.Cluster{ManagementCluster: "mc", Namespace: "platform", Name: "shop"}
	return &fleetView{
		clusters:     map[string]*skottv1.ManagementCluster{"mc": clusterNamed("mc", "production")},
		environments: map[string]*skottv1.Environment{"production": environment("production"), "staging": environment("staging")},
		members:      map[string]status.Member{"mc": {Name: "mc", Self: self, Clusters: []status.Cluster{shop}, ClustersListed: true}},
		learned:      map[string]fleet.Learned{},
		mine:         func(*skottv1.ManagementCluster) bool { return true },
	}
}

func TestAbsence(t *testing.T) {
	self := skottv1.Origin{ManagementCluster: "mc", Kind: "PersistentVolume"}
	shop := skottv1.Origin{ManagementCluster: "mc", Cluster: "platform/shop", Kind: "PersistentVolume"}
	for name, c := range map[string]struct {
		change func(*fleetView)
		origin skottv1.Origin
		want   ledger.Absence
	}{
		"NotLearnedFromYet":        {func(*fleetView) {}, self, ledger.Unknown},
		"ClusterNotLearnedFromYet": {func(*fleetView) {}, shop, ledger.Unknown},
		"ManagementClusterDeleted": {func(v *fleetView) { delete(v.clusters, "mc") }, shop, ledger.Gone},
		"OtherInstance":            {func(v *fleetView) { v.mine = func(*skottv1.ManagementCluster) bool { return false } }, shop, ledger.Foreign},
		"OtherInstanceDeleted": {func(v *fleetView) {
			delete(v.clusters, "mc")
			v.mine = func(*skottv1.ManagementCluster) bool { return false }
		}, shop, ledger.Gone},
		"Disabled":   {func(v *fleetView) { v.clusters["mc"].Spec.Learn = &skottv1.Learn{Disabled: ptr.To(true)} }, self, ledger.Gone},
		"NotEngaged": {func(v *fleetView) { delete(v.members, "mc") }, shop, ledger.Unknown},
		"Duplicate": {func(v *fleetView) {
			m := v.members["mc"]
			m.Duplicate = "older"
			v.members["mc"] = m
		}, self, ledger.Unknown},
		"ClusterDeleted": {func(v *fleetView) {
			m := v.members["mc"]
			m.Clusters = nil
			v.members["mc"] = m
		}, shop, ledger.Gone},
		"ClusterNotListedYet": {func(v *fleetView) {
			m := v.members["mc"]
			m.Clusters, m.ClustersListed = nil, false
			v.members["mc"] = m
		}, shop, ledger.Unknown},
		"KindNotKnown": {func(v *fleetView) { v.learned["mc"] = fleet.Learned{} }, self, ledger.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			v := fleetOf()
			c.change(v)
			if got := v.absence(c.origin); got != c.want {
				t.Errorf("absence = %d, want %d", got, c.want)
			}
		})
	}
}

func TestSightings(t *testing.T) {
	v := fleetOf()
	found := []fleet.Found{{Type: "Bucket", Value: "aws/b", Path: "spec.bucket"}}
	v.learned["mc"] = fleet.Learned{Cluster: v.members["mc"].Self, Objects: []fleet.Sighted{
		{Kind: "A", Name: "a", Found: found},
		{Kind: "A", Namespace: "rehearsal", Name: "b", Environment: "staging", Found: found},
		{Kind: "A", Namespace: "climber", Name: "c", Environment: "nowhere", Found: found},
	}}
	var got []string
	for _, s := range v.sightings() {
		got = append(got, s.Origin.Name+" "+s.Environment)
	}
	if diff := diffs.Diff([]string{"a production", "b staging", "c production"}, got); diff != "" {
		t.Error(diff)
	}

	// A namespace of a staging cluster cannot make what is in it production's.
	v.clusters["mc"] = clusterNamed("mc", "staging")
	v.learned["mc"].Objects[1].Environment = "production"
	for _, s := range v.sightings() {
		if s.Environment != "staging" {
			t.Errorf("%s is of %s", s.Origin.Name, s.Environment)
		}
	}
	v.clusters["mc"].Spec.Learn = &skottv1.Learn{Disabled: ptr.To(true)}
	if got := v.sightings(); len(got) > 0 {
		t.Errorf("%v is learned from a cluster that does not learn", got)
	}
	v.clusters["mc"] = clusterNamed("mc", "")
	if got := v.sightings(); len(got) > 0 {
		t.Errorf("%v is learned from a cluster of no Environment", got)
	}
}

func TestParallel(t *testing.T) {
	var done atomic.Int64
	broken := errors.New("broken")
	err := parallel(1000, func(i int) error {
		done.Add(1)
		if i == 500 {
			return fmt.Errorf("%d: %w", i, broken)
		}
		return nil
	})
	if !errors.Is(err, broken) || done.Load() != 1000 {
		t.Errorf("%v after %d of 1000", err, done.Load())
	}
	if err := parallel(0, nil); err != nil {
		t.Error(err)
	}
}
