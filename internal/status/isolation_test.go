// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIsolation(t *testing.T) {
	places := map[string]string{"mc-prod": "production", "mc-stage": "staging", "mc-twin": "testing"}
	cluster := func(member, name string, namespaces map[string]string, own ...string) Cluster {
		return Cluster{ManagementCluster: member, Namespace: "c", Name: name, Namespaces: namespaces, OwnNodes: own}
	}
	all := []string{"production", "staging", "testing"}
	for name, c := range map[string]struct {
		reason  string
		members map[string]Member
		of      string
		want    []string
	}{
		"Apart": {
			reason: "no cluster is shared", of: "production", members: map[string]Member{"mc-prod": {}, "mc-stage": {}},
			want: []string{"staging Environment []", "testing Environment []"},
		},
		"Namespace": {
			reason: "a staging namespace in a production cluster", of: "production",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "staging"}), cluster("mc-prod", "b", nil)}}},
			want:    []string{"staging Namespace [mc-prod/c/a]", "testing Environment []"},
		},
		"Guest": {
			reason: "the same, seen from staging", of: "staging",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "staging"})}}},
			want:    []string{"production Namespace [mc-prod/c/a]", "testing Environment []"},
		},
		"Guests": {
			reason: "two guests of one cluster", of: "staging",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "staging", "y": "testing"})}}},
			want:    []string{"production Namespace [mc-prod/c/a]", "testing Namespace [mc-prod/c/a]"},
		},
		"Node": {
			reason: "on nodes of their own", of: "production",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "staging"}, "x")}}},
			want:    []string{"staging Node [mc-prod/c/a]", "testing Environment []"},
		},
		"Weakest": {
			reason: "one of two is on nodes of its own", of: "production",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "staging", "y": "staging"}, "x")}}},
			want:    []string{"staging Namespace [mc-prod/c/a]", "testing Environment []"},
		},
		"Own": {
			reason: "a namespace that says what its cluster is", of: "production",
			members: map[string]Member{"mc-prod": {Clusters: []Cluster{cluster("mc-prod", "a", map[string]string{"x": "production"})}}},
			want:    []string{"staging Environment []", "testing Environment []"},
		},
		"SharedManagement": {
			reason: "two ManagementClusters that are one API server", of: "testing",
			members: map[string]Member{"mc-stage": {}, "mc-twin": {Duplicate: "mc-stage"}},
			want:    []string{"production Environment []", "staging Cluster [mc-twin]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range isolation(c.of, all, c.members, places) {
				got = append(got, fmt.Sprintf("%s %s %v", s.Environment, s.Level, s.Clusters))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}
