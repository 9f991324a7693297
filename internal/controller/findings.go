// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"slices"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// survey is every cluster that is guarded for itself, scanned or not.
func (h *hub) survey(p *publication) status.Survey {
	var s status.Survey
	engaged := h.members()
	for _, name := range slices.Sorted(maps.Keys(p.clusters)) {
		datacenter := p.clusters[name].Datacenter
		m, ok := engaged[name]
		if !ok {
			unknown := status.Cluster{ManagementCluster: name, Guard: status.GuardState{Phase: status.Unreachable, Reason: skottv1.ReasonWaitingForConnection}}
			s.Clusters = append(s.Clusters, status.Scanned{Cluster: unknown, Datacenter: datacenter})
			s.Unlisted = append(s.Unlisted, name)
			continue
		}
		if m.Duplicate != "" {
			continue
		}
		if !m.ClustersListed {
			s.Unlisted = append(s.Unlisted, name)
		}
		for _, c := range append([]status.Cluster{m.Self}, m.Clusters...) {
			if c.GuardedAs == "" {
				s.Clusters = append(s.Clusters, status.Scanned{Cluster: c, Datacenter: datacenter})
			}
		}
	}
	return s
}

// concerning keeps the clusters that stand on a side of the boundary or have a namespace
// that does, and those where something crosses it all the same.
func concerning(s status.Survey, view status.BoundaryView) status.Survey {
	sides := map[string]bool{}
	for _, c := range view.Clusters {
		sides[c.Key()] = true
	}
	selected := func(environment string) bool {
		return strings.HasPrefix(environment, "@") || slices.Contains(view.From, environment) || slices.Contains(view.To, environment)
	}
	s.Clusters = slices.DeleteFunc(s.Clusters, func(c status.Scanned) bool {
		for _, environment := range c.Namespaces {
			if selected(environment) {
				return false
			}
		}
		return !sides[c.Key()] && (c.Scan == nil || len(c.Scan.Counts) == 0)
	})
	return s
}
