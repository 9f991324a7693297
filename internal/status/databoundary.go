// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// BoundaryView is what is known of a DataBoundary besides its own spec.
type BoundaryView struct {
	// From and To are the Environments that it selects, Missing those that it names and
	// that do not exist.
	From, To, Missing []string
	// Clusters that stand on either side of it.
	Clusters []Cluster
	// Desired is the revision that a cluster should hold, "" while that is not known.
	Desired func(Cluster) string
	// Revision of everything that is published.
	Revision string
	// Addresses that the boundary keeps on their side.
	Addresses int
	// Contested addresses between its two sides.
	Contested []string
	// Scans of every cluster that may hold objects that cross.
	Scans Survey
	// RemovedAt is when a deleted boundary stops acting; zero if it is not deleted.
	RemovedAt time.Time
}

// DataBoundary computes the status of b.
func DataBoundary(b *skottv1.DataBoundary, view BoundaryView) {
	desired, enforced, unreachable := int32(len(view.Clusters)), int32(0), int32(0)
	var behind, unproved, admitted []string
	for _, c := range view.Clusters {
		want := view.Desired(c)
		if c.Guard.Phase == Unreachable {
			unreachable++
		}
		if want == "" || c.Guard.Revision != want {
			behind = append(behind, describe(c))
		}
		switch {
		case c.Guard.Phase == CanaryAdmitted:
			admitted = append(admitted, describe(c))
		case c.Guard.Phase == Enforced && c.Guard.ProvedRevision == want:
			enforced++
		default:
			unproved = append(unproved, describe(c))
		}
	}
	b.Status.GuardedClusters = &skottv1.GuardedClustersStatus{Desired: &desired, Enforced: &enforced, Unreachable: &unreachable}
	b.Status.Addresses, b.Status.Contested, b.Status.Revision = number(view.Addresses), number(len(view.Contested)), view.Revision

	selects := len(view.From) > 0 && len(view.To) > 0
	set(b, skottv1.ConditionPublished, published(view, selects, desired, behind))
	set(b, skottv1.ConditionEnforced, proved(desired, enforced, unproved, admitted))
	set(b, skottv1.ConditionNoViolations, violations(b, view))
	summarise(b, skottv1.ConditionPublished, skottv1.ConditionEnforced)
}

// violations writes what crosses the boundary into its status, and judges it.
func violations(b *skottv1.DataBoundary, view BoundaryView) verdict {
	rows, total := view.Scans.Breakdown(b.Name, b.Status.Breakdown)
	b.Status.Breakdown, b.Status.Violations, b.Status.Draft = rows, number(total), nil
	if b.Spec.Draft != nil {
		b.Status.Draft = &skottv1.DraftStatus{}
		if found, refused, known := view.Scans.Draft(b.Name); known {
			b.Status.Draft = &skottv1.DraftStatus{Violations: number(found), NewlyRefused: number(refused)}
		}
	}
	j := judgement{
		clean: skottv1.ReasonNoViolations, contested: view.Contested, contestedReason: skottv1.ReasonViolations, contestedText: "belong to both sides",
		total: total, where: whereabouts(rows, total), missing: view.Scans.Missing(), clusters: len(view.Scans.Clusters),
	}
	for i := range rows {
		j.since = earlier(j.since, timeOf(rows[i].Since))
	}
	return j.verdict()
}

func published(view BoundaryView, selects bool, desired int32, behind []string) verdict {
	switch {
	case !view.RemovedAt.IsZero():
		return no(skottv1.ReasonBeingRemoved, fmt.Sprintf("the boundary was deleted; it acts until %s and is then withdrawn from %d clusters", view.RemovedAt.UTC().Format(time.RFC3339), desired))
	case len(view.From) == 0:
		return no(skottv1.ReasonNothingSelected, "spec.from selects no Environment")
	case !selects:
		return no(skottv1.ReasonNothingSelected, "spec.to selects no Environment")
	case len(view.Missing) > 0:
		return no(skottv1.ReasonEnvironmentsMissing, fmt.Sprintf("spec.from or spec.to names Environments that do not exist: %s; until they do, what belongs to them counts as unassigned", Names(view.Missing)))
	case len(behind) > 0:
		return no(skottv1.ReasonPublishing, fmt.Sprintf("%d of %d clusters do not hold revision %s yet: %s", len(behind), desired, view.Revision, Names(behind)))
	}
	return yes(skottv1.ReasonPublished, fmt.Sprintf("%d clusters hold revision %s", desired, view.Revision))
}

func proved(desired, enforced int32, unproved, admitted []string) verdict {
	switch {
	case desired == 0:
		return no(skottv1.ReasonNoClusters, "no cluster stands on either side yet")
	case len(admitted) > 0:
		return no(skottv1.ReasonCanaryAdmitted, fmt.Sprintf("%d API servers let the live proof through: %s", len(admitted), Names(admitted)))
	case len(unproved) > 0:
		return no(skottv1.ReasonNotProved, fmt.Sprintf("%d of %d clusters refused the live proof; not: %s", enforced, desired, Names(unproved)))
	}
	return yes(skottv1.ReasonEnforced, fmt.Sprintf("%d of %d clusters refused the live proof", enforced, desired))
}
