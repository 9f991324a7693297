// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// maxRows of a breakdown; the schema allows no more.
const maxRows = 256

// Scanned is a guarded cluster, scanned or not, with where it is.
type Scanned struct {
	Cluster
	// Datacenter of its ManagementCluster, for the breakdown.
	Datacenter string
	// Outdated: the last round was by other rules than those of now.
	Outdated bool
}

// Survey is every cluster that may hold objects that cross.
type Survey struct {
	// Clusters of all members, also those that were never scanned.
	Clusters []Scanned
	// Unlisted ManagementClusters may have Clusters that are not among these.
	Unlisted []string
	// Now is when it was made, and Patience how long a scan is good for; zero for ever.
	Now      time.Time
	Patience time.Duration
}

// Breakdown counts the objects that cross a boundary, the most first: rows and all there
// are. Rows of before stay where nothing was scanned since, as after a restart, and what is
// still there keeps the time when it was first seen.
func (s Survey) Breakdown(boundary string, before []skottv1.ViolationCount) (rows []skottv1.ViolationCount, total int) {
	type key struct{ environment, cluster, kind string }
	since := map[key]*metav1.Time{}
	for _, row := range before {
		since[key{row.Environment, row.Cluster, row.Kind}] = row.Since
		if s.awaits(row.Cluster) {
			rows = append(rows, row)
			total += valueOf(row.Count)
		}
	}
	for _, c := range s.Clusters {
		if c.Scan == nil {
			continue
		}
		for _, n := range c.Scan.Counts {
			if n.Boundary != boundary || n.Draft || n.Objects <= 0 {
				continue
			}
			first := n.Since
			if seen := since[key{n.Environment, c.Key(), n.Kind}]; seen != nil && (first.IsZero() || seen.Time.Before(first)) {
				first = seen.Time
			}
			rows = append(rows, skottv1.ViolationCount{
				Environment: n.Environment, Datacenter: c.Datacenter, Cluster: c.Key(), Kind: n.Kind, Count: number(n.Objects), Since: second(first),
			})
			total += n.Objects
		}
	}
	rows = merge(rows)
	return rows[:min(len(rows), maxRows)], total
}

// awaits reports whether the cluster of that key may exist and was not scanned yet.
func (s Survey) awaits(key string) bool {
	for _, c := range s.Clusters {
		if c.Key() == key {
			return c.Scan == nil
		}
	}
	managementCluster, _, _ := strings.Cut(key, "/")
	return slices.Contains(s.Unlisted, managementCluster)
}

// merge adds up rows that differ only in the action of what they count, and sorts.
func merge(rows []skottv1.ViolationCount) []skottv1.ViolationCount {
	where := func(a, b skottv1.ViolationCount) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Kind, b.Kind))
	}
	slices.SortStableFunc(rows, where)
	var out []skottv1.ViolationCount
	for _, row := range rows {
		last := len(out) - 1
		if last < 0 || where(out[last], row) != 0 {
			out = append(out, row)
			continue
		}
		out[last].Count = number(valueOf(out[last].Count) + valueOf(row.Count))
		if first := out[last].Since; first == nil || row.Since != nil && row.Since.Time.Before(first.Time) {
			out[last].Since = row.Since
		}
	}
	slices.SortStableFunc(out, func(a, b skottv1.ViolationCount) int { return cmp.Compare(valueOf(b.Count), valueOf(a.Count)) })
	return out
}

// Draft counts what the draft of a boundary finds and the boundary does not, and of that
// what it alone would refuse. It is not known while clusters that answer are being scanned by it.
func (s Survey) Draft(boundary string) (violations, newlyRefused int, known bool) {
	known = true
	for _, c := range s.Clusters {
		if c.Outdated && c.Guard.Phase != Unreachable {
			known = false
		}
		if c.Scan == nil {
			continue
		}
		for _, n := range c.Scan.Counts {
			if n.Boundary == boundary && n.Draft {
				violations += n.Objects
				if n.Action == skottv1.ActionDeny {
					newlyRefused += n.Objects
				}
			}
		}
		for i := range c.Scan.Findings {
			if c.Scan.Findings[i].refusedWithout(boundary) {
				newlyRefused--
			}
		}
	}
	return violations, max(newlyRefused, 0), known
}

// refusedWithout reports whether the draft of the boundary denies the object, and something
// that is enforced does so too.
func (f *Finding) refusedWithout(boundary string) bool {
	var draft, enforced bool
	for _, v := range f.Violations {
		draft = draft || v.Draft && v.Boundary == boundary && v.Action == skottv1.ActionDeny
		enforced = enforced || !v.Draft && v.Action == skottv1.ActionDeny
	}
	return draft && enforced
}

// Touching counts the objects that cross into or out of an Environment, with the first of
// them in words, and since when. The remembered rows of boundaries count where nothing was
// scanned since.
func (s Survey) Touching(environment string, remembered []skottv1.ViolationCount) (total int, names []string, since time.Time) {
	for _, c := range s.Clusters {
		objects := map[string]int{} // by kind
		if c.Scan == nil {
			for _, row := range remembered {
				if row.Cluster == c.Key() && row.Environment == environment {
					objects[row.Kind] = max(objects[row.Kind], valueOf(row.Count))
					since = earlier(since, timeOf(row.Since))
				}
			}
		} else {
			since = earlier(since, c.Scan.touching(environment, objects))
		}
		for kind, n := range objects {
			total += n
			names = append(names, fmt.Sprintf("%d %s in %s", n, kind, c.Key()))
		}
	}
	return total, names, since
}

// touching counts by kind what crosses into or out of an Environment. Findings know both
// sides of each object, but are bounded; counts are complete, and know the place only, and an object
// of two boundaries is in two of them.
func (s *Scan) touching(environment string, objects map[string]int) (since time.Time) {
	for i := range s.Findings {
		f := &s.Findings[i]
		if slices.ContainsFunc(f.Violations, func(v Violation) bool { return !v.Draft && (v.From == environment || v.To == environment) }) {
			objects[f.GroupKind()]++
			since = earlier(since, f.Since)
		}
	}
	placed := map[[2]string]int{} // by kind and boundary
	for _, n := range s.Counts {
		if !n.Draft && n.Environment == environment && n.Objects > 0 {
			placed[[2]string{n.Kind, n.Boundary}] += n.Objects
			since = earlier(since, n.Since)
		}
	}
	for key, n := range placed {
		objects[key[0]] = max(objects[key[0]], n)
	}
	return since
}

// GroupKind is KIND.GROUP, or KIND, as counts have it.
func (f *Finding) GroupKind() string {
	if group, _, ok := strings.Cut(f.APIVersion, "/"); ok {
		return f.Kind + "." + group
	}
	return f.Kind
}

// Missing says what of the clusters is not known for lack of a complete scan; nothing if
// all is.
func (s Survey) Missing() []string {
	var out []string
	for _, name := range s.Unlisted {
		if slices.ContainsFunc(s.Clusters, func(c Scanned) bool { return c.Key() == name && c.Guard.Phase == Unreachable }) {
			continue // that says it all
		}
		out = append(out, name+" (its Clusters were not listed yet)")
	}
	for _, c := range s.Clusters {
		switch {
		case c.Guard.Phase == Unreachable:
			text := " (does not answer)"
			if c.Scan != nil && !c.Scan.Completed.IsZero() {
				text = " (does not answer; last scanned " + stamp(c.Scan.Completed) + ")"
			}
			out = append(out, c.Key()+text)
		case c.Scan == nil:
			out = append(out, c.Key()+" (not scanned yet)")
		case len(c.Scan.Gaps) > 0:
			why := ""
			if c.Scan.Refusal != "" {
				why = c.Scan.Refusal + "; "
			}
			out = append(out, fmt.Sprintf("%s (%snot read: %s)", c.Key(), why, Names(c.Scan.Gaps)))
		case c.Scan.Completed.IsZero():
			out = append(out, c.Key()+" (the first scan is under way)")
		case s.Patience > 0 && s.Now.Sub(c.Scan.Completed) > s.Patience: // whatever keeps it from being scanned
			out = append(out, c.Key()+" (last scanned "+stamp(c.Scan.Completed)+")")
		case c.Outdated:
			out = append(out, c.Key()+" (the scan by the present rules is under way)")
		}
	}
	return out
}

// judgement is what a condition is made of.
type judgement struct {
	clean           string // the reason if all is well
	contested       []string
	contestedReason string
	contestedText   string
	total           int
	where           string
	since           time.Time
	missing         []string
	clusters        int
}

func (j judgement) verdict() verdict {
	var texts []string
	reason := skottv1.ReasonViolations
	if len(j.contested) > 0 {
		reason = j.contestedReason
		texts = append(texts, fmt.Sprintf("%d addresses %s: %s", len(j.contested), j.contestedText, Names(j.contested)))
	}
	if j.total > 0 {
		text := fmt.Sprintf("%d objects cross", j.total)
		if !j.since.IsZero() {
			text += ", the first since " + stamp(j.since)
		}
		texts = append(texts, text+": "+j.where)
	}
	unknown := ""
	if len(j.missing) > 0 {
		unknown = "not all was scanned: " + Names(j.missing)
	}
	switch {
	case len(texts) > 0 && unknown != "":
		return no(reason, strings.Join(append(texts, unknown), "; "))
	case len(texts) > 0:
		return no(reason, strings.Join(texts, "; "))
	case unknown != "":
		return unclear(skottv1.ReasonNotScanned, "nothing is known to cross, but "+unknown)
	}
	// Not how many objects: the message would change with each of them.
	return yes(j.clean, fmt.Sprintf("nothing crosses in the %d clusters that were scanned, and no address is contested", j.clusters))
}

// whereabouts are the first rows in words.
func whereabouts(rows []skottv1.ViolationCount, total int) string {
	var words []string
	for _, row := range rows[:min(len(rows), maxNamed)] {
		words = append(words, fmt.Sprintf("%d %s in %s", valueOf(row.Count), row.Kind, row.Cluster))
		total -= valueOf(row.Count)
	}
	text := strings.Join(words, ", ")
	if total > 0 {
		text += fmt.Sprintf(" and %d more", total)
	}
	return text
}

func number(n int) *int32 {
	v := int32(min(n, 1<<31-1)) //nolint:gosec // bounded by the minimum
	return &v
}

func valueOf(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

// second is a time as it is read back from an API server.
func second(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
