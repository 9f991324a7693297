// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 500, time.UTC)

func counted(boundary, environment, kind string, objects int) FindingCount {
	return FindingCount{Boundary: boundary, Environment: environment, Kind: kind, Action: skottv1.ActionDeny, Objects: objects, Since: noon}
}

func scannedCluster(name string, scan *Scan) Scanned {
	return Scanned{Datacenter: "sto2", Cluster: Cluster{ManagementCluster: "mc", Namespace: "c", Name: name, Scan: scan, Guard: GuardState{Phase: Enforced}}}
}

func wholly(counts ...FindingCount) *Scan { return &Scan{Completed: noon, Counts: counts} }

func TestBreakdown(t *testing.T) {
	old := func(cluster, kind string, n int) skottv1.ViolationCount {
		return skottv1.ViolationCount{Environment: "staging", Cluster: cluster, Kind: kind, Count: number(n), Since: second(noon.Add(-time.Hour))}
	}
	draft := counted("b", "staging", "Pod", 9)
	draft.Draft = true
	audit := counted("b", "staging", "Pod", 2)
	audit.Action = skottv1.ActionAudit
	for name, c := range map[string]struct {
		reason string
		survey Survey
		before []skottv1.ViolationCount
		want   []string
		total  int
	}{
		"Empty": {reason: "nothing is known", survey: Survey{}},
		"Biggest": {
			reason: "the most come first, and other boundaries and drafts do not count",
			survey: Survey{Clusters: []Scanned{
				scannedCluster("a", wholly(counted("b", "staging", "Pod", 1), counted("other", "staging", "Pod", 7), draft)),
				scannedCluster("b", wholly(counted("b", "testing", "Service", 3)))}},
			want: []string{"testing mc/c/b Service 3 12:00", "staging mc/c/a Pod 1 12:00"}, total: 4,
		},
		"Merged": {
			reason: "of two actions of one boundary there is one row",
			survey: Survey{Clusters: []Scanned{scannedCluster("a", wholly(counted("b", "staging", "Pod", 1), audit))}},
			want:   []string{"staging mc/c/a Pod 3 12:00"}, total: 3,
		},
		"Since": {
			reason: "what was seen before a restart keeps its time",
			survey: Survey{Clusters: []Scanned{scannedCluster("a", wholly(counted("b", "staging", "Pod", 1)))}},
			before: []skottv1.ViolationCount{old("mc/c/a", "Pod", 5), old("mc/c/a", "Service", 5)},
			want:   []string{"staging mc/c/a Pod 1 11:00"}, total: 1,
		},
		"Remembered": {
			reason: "until it is scanned anew, a cluster keeps its rows; one that is gone does not",
			survey: Survey{Clusters: []Scanned{scannedCluster("a", nil)}, Unlisted: []string{"late"}},
			before: []skottv1.ViolationCount{old("mc/c/a", "Pod", 5), old("mc/c/gone", "Pod", 5), old("late/c/a", "Pod", 2)},
			want:   []string{"staging mc/c/a Pod 5 11:00", "staging late/c/a Pod 2 11:00"}, total: 7,
		},
	} {
		t.Run(name, func(t *testing.T) {
			rows, total := c.survey.Breakdown("b", c.before)
			var got []string
			for _, row := range rows {
				got = append(got, fmt.Sprintf("%s %s %s %d %s", row.Environment, row.Cluster, row.Kind, *row.Count, row.Since.UTC().Format("15:04")))
				if row.Since.Nanosecond() != 0 {
					t.Errorf("%v would be read back otherwise", row.Since)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || total != c.total {
				t.Errorf("%s: %d, want %d (-want +got):\n%s", c.reason, total, c.total, diff)
			}
		})
	}
}

func TestBreakdownIsBounded(t *testing.T) {
	var s Survey
	for i := range maxRows + 10 {
		s.Clusters = append(s.Clusters, scannedCluster(fmt.Sprint("c", i), wholly(counted("b", "staging", "Pod", i+1))))
	}
	rows, total := s.Breakdown("b", nil)
	if n := maxRows + 10; len(rows) != maxRows || *rows[0].Count != int32(n) || total != n*(n+1)/2 {
		t.Errorf("%d rows from %d, %d in all", len(rows), *rows[0].Count, total)
	}
}

func TestDraft(t *testing.T) {
	deny, warn := counted("b", "staging", "Pod", 3), counted("b", "staging", "Service", 2)
	deny.Draft, warn.Draft, warn.Action = true, true, skottv1.ActionWarn
	scan := wholly(deny, warn, counted("b", "staging", "Pod", 9))
	scan.Findings = []Finding{
		{Kind: "Pod", Violations: []Violation{{Boundary: "b", Draft: true, Action: skottv1.ActionDeny}, {Boundary: "other", Action: skottv1.ActionDeny}}},
		{Kind: "Pod", Violations: []Violation{{Boundary: "b", Draft: true, Action: skottv1.ActionDeny}, {Boundary: "other", Action: skottv1.ActionAudit}}},
	}
	survey := Survey{Clusters: []Scanned{scannedCluster("a", scan), scannedCluster("b", nil)}}
	found, refused, known := survey.Draft("b")
	if found != 5 || refused != 2 || !known {
		t.Errorf("%d and %d, want 5, and 2 as one is refused already", found, refused)
	}
	survey.Clusters[0].Outdated = true
	if _, _, known := survey.Draft("b"); known {
		t.Error("nothing is known of a draft that nothing was scanned by")
	}
	survey.Clusters[0].Guard.Phase = Unreachable
	if _, _, known := survey.Draft("b"); !known {
		t.Error("one that is away does not hide the rest")
	}
}

func TestSeparation(t *testing.T) {
	scan := wholly(counted("b", "staging", "Pod", 1), counted("b2", "staging", "Pod", 1))
	scan.Findings = []Finding{{APIVersion: "v1", Kind: "Pod", Since: noon, Violations: []Violation{
		{Boundary: "b", From: "production", To: "staging"}, {Boundary: "b2", From: "production", To: "staging"},
		{Boundary: "b", Draft: true, From: "integration", To: "staging"}}}}
	gaps := wholly()
	gaps.Gaps = []string{"Secret: forbidden"}
	refused := wholly()
	refused.Gaps, refused.Refusal = gaps.Gaps, "no role"
	away := scannedCluster("away", wholly())
	away.Guard.Phase = Unreachable
	outdated := scannedCluster("outdated", wholly())
	outdated.Outdated = true
	stale := scannedCluster("stale", &Scan{Completed: noon.Add(-time.Hour)})
	for name, c := range map[string]struct {
		reason     string
		clusters   []Scanned
		contested  []string
		remembered []skottv1.ViolationCount
		of         string
		status     metav1.ConditionStatus
		because    string
		says       []string
		violations int32
	}{
		"Clean":    {"all was scanned", []Scanned{scannedCluster("a", wholly())}, nil, nil, "staging", "True", "Separated", []string{"1 clusters"}, 0},
		"Into":     {"an object of two boundaries is one", []Scanned{scannedCluster("a", scan)}, nil, nil, "staging", "False", "Violations", []string{"1 objects cross", "1 Pod in mc/c/a", "2026-01-02T12:00:00Z"}, 1},
		"OutOf":    {"it counts where the data is from", []Scanned{scannedCluster("a", scan)}, nil, nil, "production", "False", "Violations", []string{"1 Pod"}, 1},
		"Draft":    {"what only a draft finds does not", []Scanned{scannedCluster("a", scan)}, nil, nil, "integration", "True", "Separated", nil, 0},
		"Unknown":  {"one was not scanned", []Scanned{scannedCluster("a", wholly()), scannedCluster("b", nil)}, nil, nil, "staging", "Unknown", "NotScanned", []string{"mc/c/b (not scanned yet)"}, 0},
		"Gaps":     {"a kind was not read", []Scanned{scannedCluster("a", gaps)}, nil, nil, "staging", "Unknown", "NotScanned", []string{"mc/c/a (not read: Secret: forbidden)"}, 0},
		"Refused":  {"and it is known why", []Scanned{scannedCluster("a", refused)}, nil, nil, "staging", "Unknown", "NotScanned", []string{"mc/c/a (no role; not read: Secret: forbidden)"}, 0},
		"UnderWay": {"no round is complete", []Scanned{scannedCluster("a", &Scan{})}, nil, nil, "staging", "Unknown", "NotScanned", []string{"under way"}, 0},
		"Outdated": {"it was scanned by other rules", []Scanned{outdated}, nil, nil, "staging", "Unknown", "NotScanned", []string{"by the present rules"}, 0},
		"Stale":    {"it was scanned long ago", []Scanned{stale}, nil, nil, "staging", "Unknown", "NotScanned", []string{"mc/c/stale (last scanned 2026-01-02T11:00:00Z)"}, 0},
		"Away":     {"it does not answer", []Scanned{away}, nil, nil, "staging", "Unknown", "NotScanned", []string{"last scanned 2026-01-02T12:00:00Z"}, 0},
		"Both":     {"contested addresses are counted apart", []Scanned{scannedCluster("a", scan), scannedCluster("b", nil)}, []string{"x"}, nil, "staging", "False", "ContestedAddresses", []string{"1 addresses", "1 objects", "not scanned yet"}, 1},
		"Remembered": {"a restart forgets nothing", []Scanned{scannedCluster("a", nil)}, nil,
			[]skottv1.ViolationCount{{Environment: "staging", Cluster: "mc/c/a", Kind: "Pod", Count: number(4)}}, "staging", "False", "Violations", []string{"4 Pod"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			e := &skottv1.Environment{ObjectMeta: metav1.ObjectMeta{Name: c.of}}
			Environment(e, EnvironmentView{
				ManagementClusters: []skottv1.ManagementCluster{{Status: skottv1.ManagementClusterStatus{Conditions: []metav1.Condition{{Type: "Ready", Status: "True"}}}}},
				Members:            map[string]Member{"": {ClustersListed: true, Clusters: []Cluster{{}}}},
				Scans:              Survey{Clusters: c.clusters, Now: noon, Patience: 30 * time.Minute}, Contested: c.contested, Remembered: c.remembered,
			})
			got := meta.FindStatusCondition(e.Status.Conditions, skottv1.ConditionSeparated)
			if got.Status != c.status || got.Reason != c.because || *e.Status.Violations != c.violations || int(*e.Status.Contested) != len(c.contested) {
				t.Errorf("%s: %+v, %d violations", c.reason, got, *e.Status.Violations)
			}
			for _, text := range c.says {
				if !strings.Contains(got.Message, text) {
					t.Errorf("%s: no %q in %q", c.reason, text, got.Message)
				}
			}
			if ready := meta.IsStatusConditionTrue(e.Status.Conditions, skottv1.ConditionReady); ready != (c.status != "False") {
				t.Errorf("%s: Ready is %v", c.reason, ready)
			}
		})
	}
}

func TestNoViolations(t *testing.T) {
	b := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "b"}}
	view := BoundaryView{Desired: func(Cluster) string { return "" }, Scans: Survey{Clusters: []Scanned{scannedCluster("a", wholly(counted("b", "staging", "Pod", 3)))}}}
	DataBoundary(b, view)
	got := meta.FindStatusCondition(b.Status.Conditions, skottv1.ConditionNoViolations)
	if *b.Status.Violations != 3 || b.Status.Draft != nil || got.Reason != skottv1.ReasonViolations || got.Message != "3 objects cross, the first since 2026-01-02T12:00:00Z: 3 Pod in mc/c/a" {
		t.Errorf("%d: %+v", *b.Status.Violations, got)
	}
	view.Scans = Survey{Clusters: []Scanned{scannedCluster("a", wholly())}}
	DataBoundary(b, view)
	if got = meta.FindStatusCondition(b.Status.Conditions, skottv1.ConditionNoViolations); got.Status != metav1.ConditionTrue || *b.Status.Violations != 0 || len(b.Status.Breakdown) != 0 {
		t.Errorf("it was corrected, and %+v", got)
	}
}
