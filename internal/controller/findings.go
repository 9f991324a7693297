// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// missedScans are so many that a clean result is none any more, and leastPatience is how long
	// it is one at least, as a round takes its time.
	missedScans   = 3
	leastPatience = time.Minute
)

// survey is every cluster that is guarded for itself, scanned or not.
func (h *hub) survey(p *publication) status.Survey {
	s := status.Survey{Now: h.now(), Patience: max(missedScans*cmp.Or(h.options.ScanInterval, 10*time.Minute), leastPatience)}
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
				s.Clusters = append(s.Clusters, status.Scanned{Cluster: c, Datacenter: datacenter, Outdated: p.outdates(c)})
			}
		}
	}
	return s
}

// outdates reports whether a cluster was last scanned by other rules than those that are published. Other
// addresses are no other rules: while they are learned, nothing would ever be known.
func (p *publication) outdates(c status.Cluster) bool {
	if c.Scan == nil || c.Scan.Revision == "" {
		return false
	}
	rules, _, _ := strings.Cut(c.Scan.Revision, "-")
	scanning, known := p.scan(c)
	return known && scanning.Rules != rules
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

// scanCount is what the metrics say of a scanned cluster.
func scanCount(c status.Cluster) metrics.ScanCount {
	out := metrics.ScanCount{Cluster: c.Key(), Completed: c.Scan.Completed, Objects: c.Scan.Objects}
	for _, n := range c.Scan.Counts {
		out.Violations = append(out.Violations, metrics.ViolationCount{Boundary: n.Boundary, Environment: n.Environment, Draft: n.Draft, Objects: n.Objects})
	}
	return out
}

// maxTold is how many objects one reconciliation tells of: the status counts them all.
const maxTold = 20

// told is which objects in a cluster were told to cross, by its key.
type told map[string]map[types.UID]bool

// tell writes an Event for each object that is seen to cross a boundary for the first time.
// After a restart, what is where the status counted some before counts as told.
func (r *dataBoundaries) tell(b *skottv1.DataBoundary, before []skottv1.ViolationCount, s status.Survey) {
	if r.told[b.Name] == nil {
		r.told[b.Name] = told{}
	}
	for _, news := range r.told[b.Name].news(b.Name, before, s) {
		related := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: news.APIVersion, Kind: news.Kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: news.Namespace, Name: news.Name, UID: news.UID}}
		r.events.Eventf(b, related, corev1.EventTypeWarning, "Crossing", "Scan", "%s %s in cluster %s crosses: %s",
			news.Kind, types.NamespacedName{Namespace: news.Namespace, Name: news.Name}, news.cluster, short(news.message))
	}
}

// sighting is an object that was not told of.
type sighting struct {
	*status.Finding
	cluster, message string
}

// news are the first objects that were not told of yet. All count as told afterwards.
func (t told) news(boundary string, before []skottv1.ViolationCount, s status.Survey) (out []sighting) {
	for _, c := range s.Clusters {
		if c.Scan == nil {
			continue
		}
		last, known := t[c.Key()]
		now := map[types.UID]bool{}
		for i := range c.Scan.Findings {
			f := &c.Scan.Findings[i]
			v := slices.IndexFunc(f.Violations, func(v status.Violation) bool { return v.Boundary == boundary && !v.Draft })
			if v < 0 {
				continue
			}
			now[f.UID] = true
			counted := !known && slices.ContainsFunc(before, func(row skottv1.ViolationCount) bool { return row.Cluster == c.Key() && row.Kind == f.GroupKind() })
			if !last[f.UID] && !counted && len(out) < maxTold {
				out = append(out, sighting{f, c.Key(), f.Violations[v].Message})
			}
		}
		t[c.Key()] = now
	}
	return out
}

// short is a text that fits into the note of an Event beside its other words.
func short(text string) string {
	const most = 700
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
