// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/ledger"
	"github.com/skott-dev/skott/internal/policy"
)

// BenchmarkPublish is what the publisher does for a cluster when one of the addresses is new.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{10_000, 50_000} {
		b.Run(fmt.Sprintf("addresses=%d", size), func(b *testing.B) {
			s, cluster := learnedSnapshot(size+1), skottv1.GuardedCluster{Environment: "staging", Role: "Workload"}
			families := s.Rules.AllFamilies()
			last := policy.New(s)
			last.Guards(cluster, nil, families)
			b.ReportAllocs()
			for b.Loop() {
				next := s
				next.Last, next.Locations = last, slices.Clone(s.Locations[:size])
				if last.Size() == size {
					next.Locations = slices.Clone(s.Locations)
				}
				_ = digest(next, nil, webhooks{})
				last = policy.New(next)
				last.Guards(cluster, nil, families)
			}
		})
	}
}

// learnedSnapshot has so many learned volumes.
func learnedSnapshot(size int) policy.Snapshot {
	s := policy.Snapshot{Rules: policy.BuiltinRules(), Environments: []skottv1.Environment{
		{ObjectMeta: metav1.ObjectMeta{Name: "production"}, Spec: skottv1.EnvironmentSpec{Stage: "production"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "staging"}, Spec: skottv1.EnvironmentSpec{Stage: "staging"}},
	}, Boundaries: []skottv1.DataBoundary{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{Action: skottv1.ActionDeny}}}}}
	for i := range size {
		text := fmt.Sprintf("cinder.csi.openstack.org/7c9e6679-7425-40de-944b-%012d", i)
		s.Locations = append(s.Locations, skottv1.DataLocation{
			ObjectMeta: metav1.ObjectMeta{Name: ledger.Name("production", "Volume", text), UID: types.UID(fmt.Sprintf("7c9e6679-7425-40de-944b-%012d", i)), Generation: 1,
				Labels: map[string]string{skottv1.LabelOrigin: originLearned}},
			Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"},
				Addresses: []skottv1.Address{{Type: "Volume", Value: text}}},
		})
	}
	return s
}

// BenchmarkDigest is what it does when nothing has changed.
func BenchmarkDigest(b *testing.B) {
	s := policy.Snapshot{Rules: policy.BuiltinRules()}
	for i := range 10_000 {
		s.Locations = append(s.Locations, skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("learned.production.volume.%020d", i), UID: "7c9e6679-7425-40de-944b-e07fc1f90ae7", Generation: 1}})
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = digest(s, nil, webhooks{})
	}
}
