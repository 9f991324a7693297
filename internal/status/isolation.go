// SPDX-License-Identifier: Apache-2.0

package status

import (
	"maps"
	"slices"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// levels of isolation, weakest first (requirements R40).
var levels = []skottv1.IsolationLevel{
	skottv1.IsolationNamespace, skottv1.IsolationNode, skottv1.IsolationCluster, skottv1.IsolationEnvironment,
}

// meeting is where two Environments meet, and how far they are apart there.
type meeting struct {
	cluster string
	level   skottv1.IsolationLevel
}

// isolation is how far an Environment is apart from each of the others. members are all that
// were observed, places the Environments of the ManagementClusters by name.
func isolation(environment string, others []string, members map[string]Member, places map[string]string) []skottv1.IsolationStatus {
	met := map[string][]meeting{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m := members[name]
		for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
			meet(met, environment, places[name], c)
		}
		if d := m.Duplicate; d != "" && places[d] != places[name] {
			if places[name] == environment {
				met[places[d]] = append(met[places[d]], meeting{name, skottv1.IsolationCluster})
			} else if places[d] == environment {
				met[places[name]] = append(met[places[name]], meeting{d, skottv1.IsolationCluster})
			}
		}
	}
	var out []skottv1.IsolationStatus
	for _, other := range slices.Sorted(slices.Values(others)) {
		if other == environment {
			continue
		}
		s := skottv1.IsolationStatus{Environment: other, Level: skottv1.IsolationEnvironment}
		count := int32(0)
		for _, m := range met[other] {
			if slices.Index(levels, m.level) < slices.Index(levels, s.Level) {
				s.Level = m.level
			}
			if count++; len(s.Clusters) < maxClusters {
				s.Clusters = append(s.Clusters, m.cluster)
			}
		}
		s.ClusterCount = &count
		out = append(out, s)
	}
	return out
}

// meet adds the Environments that an Environment meets in one cluster, whose own is home: as
// a guest there, or as the host of others.
func meet(met map[string][]meeting, environment, home string, c Cluster) {
	weakest := map[string]skottv1.IsolationLevel{}
	for namespace, guest := range c.Namespaces {
		other := ""
		switch {
		case guest == home || guest == "":
			continue
		case guest == environment:
			other = home
		case home == environment, slices.Contains(slices.Collect(maps.Values(c.Namespaces)), environment):
			other = guest
		default:
			continue
		}
		level := skottv1.IsolationNamespace
		if slices.Contains(c.OwnNodes, namespace) {
			level = skottv1.IsolationNode
		}
		if known, ok := weakest[other]; !ok || slices.Index(levels, level) < slices.Index(levels, known) {
			weakest[other] = level
		}
	}
	for _, other := range slices.Sorted(maps.Keys(weakest)) {
		met[other] = append(met[other], meeting{c.Key(), weakest[other]})
	}
}
