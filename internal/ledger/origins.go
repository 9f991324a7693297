// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// merged is what a location's origins become.
type merged struct {
	origins []skottv1.Origin
	// count of all origins, those that there is no room for too.
	count int
	// kept: there is no origin, and the location is too young to be let go.
	kept bool
}

// refreshAfter is how old the time of the last sighting becomes before it is written again:
// a day of 180, so that a book in which nothing happens is not written to all the time.
func refreshAfter(retention time.Duration) time.Duration {
	return min(retention/4, max(time.Hour, retention/180))
}

// merge brings the origins of a location up to date.
func (p *planner) merge(d *skottv1.DataLocation, seen map[skottv1.Origin]bool) merged {
	retention := p.Retention
	if d.Spec.Retention != nil {
		retention = d.Spec.Retention.Duration
	}
	refresh := refreshAfter(retention)
	// Locations that were learned together are not all refreshed together.
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(d.Name))
	refresh -= refresh / 2 * time.Duration(hash.Sum32()%64) / 64

	var out, gone []skottv1.Origin
	known := make(map[skottv1.Origin]bool, len(d.Status.Origins))
	for _, o := range d.Status.Origins {
		at := place(o)
		known[at] = true
		last := o.LastSeen
		if last == nil {
			last = &d.CreationTimestamp
		}
		absence := Unknown
		if !seen[at] {
			absence = p.Absent(at)
		}
		switch absence {
		case Foreign:
			out = append(out, o)
		case Gone:
			if ends := last.Add(retention); p.Now.Before(ends) {
				p.due(ends)
				gone = append(gone, o)
			}
		default:
			if age := p.Now.Sub(last.Time); age >= refresh || o.LastSeen == nil || age < 0 {
				o.LastSeen = &metav1.Time{Time: p.Now}
				last = o.LastSeen
			}
			p.due(p.later(last.Add(refresh), refresh))
			out = append(out, o)
		}
	}
	for _, o := range sorted(seen) {
		if !known[o] {
			o.FirstSeen, o.LastSeen = &metav1.Time{Time: p.Now}, &metav1.Time{Time: p.Now}
			out = append(out, o)
		}
	}
	return p.cut(d, out, gone, retention)
}

// later puts off what need not be done at once, so that what is due at about the same time
// is done together.
func (p *planner) later(at time.Time, refresh time.Duration) time.Time {
	if soon := p.Now.Add(refresh / 8); at.Before(soon) {
		return soon
	}
	return at
}

// cut keeps as many origins as there is room for. Those that are there go before those that
// are gone, or a location that many objects name would expire with the first of them.
func (p *planner) cut(d *skottv1.DataLocation, there, gone []skottv1.Origin, retention time.Duration) merged {
	m := merged{}
	if len(there)+len(gone) == 0 && len(d.Status.Origins) == 0 && !d.CreationTimestamp.IsZero() {
		// It was created, and its status was never written.
		if ends := d.CreationTimestamp.Add(retention); p.Now.Before(ends) {
			p.due(ends)
			m.kept = true
		}
	}
	if room := skottv1.MaxOrigins - len(there); len(gone) > max(room, 0) {
		slices.SortStableFunc(gone, func(a, b skottv1.Origin) int { return timeOf(b).Compare(timeOf(a)) })
		gone = gone[:max(room, 0)]
	}
	m.count = len(there) + len(gone)
	m.origins = append(there[:min(len(there), skottv1.MaxOrigins):min(len(there), skottv1.MaxOrigins)], gone...)
	return m
}

func timeOf(o skottv1.Origin) time.Time {
	if o.LastSeen == nil {
		return time.Time{}
	}
	return o.LastSeen.Time
}

func sorted(seen map[skottv1.Origin]bool) []skottv1.Origin {
	out := make([]skottv1.Origin, 0, len(seen))
	for o := range seen {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b skottv1.Origin) int {
		return cmp.Or(strings.Compare(a.ManagementCluster, b.ManagementCluster), strings.Compare(a.Cluster, b.Cluster),
			strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Path, b.Path))
	})
	return out
}

// write puts the origins into a status, with what sums them up.
func (m merged) write(s *skottv1.DataLocationStatus) {
	s.Origins, s.OriginCount = m.origins, int32(m.count)
	s.Seen, s.FirstSeen, s.LastSeen = "", nil, nil
	for i := range m.origins {
		o := &m.origins[i]
		if s.FirstSeen == nil || o.FirstSeen != nil && o.FirstSeen.Before(s.FirstSeen) {
			s.FirstSeen = o.FirstSeen
		}
		if s.LastSeen == nil || o.LastSeen != nil && s.LastSeen.Before(o.LastSeen) {
			s.LastSeen = o.LastSeen
		}
	}
	if len(m.origins) > 0 {
		s.Seen = Describe(m.origins[0])
		if m.count > 1 {
			s.Seen += fmt.Sprintf(", %d more", m.count-1)
		}
	}
}

// Describe names the object of an origin and its cluster, in words for people.
func Describe(o skottv1.Origin) string {
	kind, _, _ := strings.Cut(o.Kind, ".")
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + o.Name
	}
	cluster := o.ManagementCluster
	if o.Cluster != "" {
		cluster += "/" + o.Cluster
	}
	if cluster == "" {
		return kind + " " + name
	}
	return kind + " " + name + " in " + cluster
}
