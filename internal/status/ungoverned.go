// SPDX-License-Identifier: Apache-2.0

package status

import (
	"maps"
	"slices"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	// maxUngoverned is how many kinds a status lists, maxClusters how many clusters of each.
	maxUngoverned, maxClusters = 256, 16
	maxFieldLength             = 512
)

// UngovernedKinds are the kinds of a member's clusters that look as if they moved data and
// that governs does not know, by group and resource.
func UngovernedKinds(m *Member, governs func(group, resource string) bool) []skottv1.UngovernedKind {
	byName := map[string]*skottv1.UngovernedKind{}
	for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
		name := c.ManagementCluster
		if c.Name != "" {
			name = c.Namespace + "/" + c.Name
		}
		for _, u := range c.Ungoverned {
			if governs(u.Group, u.Resource) {
				continue
			}
			kind := u.Kind + "." + u.Group
			k := byName[kind]
			if k == nil {
				k = &skottv1.UngovernedKind{Kind: kind, Resource: u.Resource}
				for _, f := range u.Fields {
					if len(f) <= maxFieldLength {
						k.Fields = append(k.Fields, f)
					}
				}
				byName[kind] = k
			}
			if k.ClusterCount++; len(k.Clusters) < maxClusters {
				k.Clusters = append(k.Clusters, name)
			}
		}
	}
	var out []skottv1.UngovernedKind
	for _, kind := range slices.Sorted(maps.Keys(byName)) {
		if len(out) < maxUngoverned {
			out = append(out, *byName[kind])
		}
	}
	return out
}
