// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

func TestHappenings(t *testing.T) {
	published := yes(skottv1.ReasonPublished, "4 clusters")
	for name, c := range map[string]struct {
		object    Object
		condition string
		was, is   verdict
		want      []Happening
	}{
		"Published":          {&skottv1.DataBoundary{}, skottv1.ConditionPublished, no(skottv1.ReasonPublishing, ""), published, []Happening{{Reason: skottv1.ReasonPublished, Note: "Published is True: 4 clusters"}}},
		"PublishedAtOnce":    {&skottv1.DataBoundary{}, skottv1.ConditionPublished, verdict{}, published, []Happening{{Reason: skottv1.ReasonPublished, Note: "Published is True: 4 clusters"}}},
		"PublishedElsewhere": {&skottv1.DataBoundary{}, skottv1.ConditionPublished, published, yes(skottv1.ReasonPublished, "5 clusters"), nil},
		"Publishing":         {&skottv1.DataBoundary{}, skottv1.ConditionPublished, published, no(skottv1.ReasonPublishing, "1 of 4"), nil},
		"Removed":            {&skottv1.DataBoundary{}, skottv1.ConditionPublished, published, no(skottv1.ReasonBeingRemoved, "until"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonBeingRemoved, Note: "Published is False: until"}}},
		"OtherTrouble":       {&skottv1.DataBoundary{}, skottv1.ConditionEnforced, no(skottv1.ReasonNotProved, ""), no(skottv1.ReasonCanaryAdmitted, "one"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonCanaryAdmitted, Note: "Enforced is False: one"}}},
		"Violated":           {&skottv1.DataBoundary{}, skottv1.ConditionNoViolations, yes(skottv1.ReasonNoViolations, ""), no(skottv1.ReasonViolations, "2"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonViolations, Note: "NoViolations is False: 2"}}},
		"Contested":          {&skottv1.DataLocation{}, skottv1.ConditionContested, no(skottv1.ReasonNotContested, ""), yes(skottv1.ReasonContested, "a"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonContested, Note: "Contested is True: a"}}},
		"ContestedNoMore":    {&skottv1.DataLocation{}, skottv1.ConditionContested, yes(skottv1.ReasonContested, "a"), no(skottv1.ReasonNotContested, ""), []Happening{{Reason: skottv1.ReasonNotContested, Note: "Contested is False"}}},
		"NeverContested":     {&skottv1.DataLocation{}, skottv1.ConditionContested, verdict{}, no(skottv1.ReasonNotContested, ""), nil},
		"Unreachable":        {&skottv1.ManagementCluster{}, skottv1.ConditionReachable, yes(skottv1.ReasonReachable, ""), no(skottv1.ReasonUnauthorized, "who"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonUnauthorized, Note: "Reachable is False: who"}}},
		"Connecting":         {&skottv1.ManagementCluster{}, skottv1.ConditionReachable, verdict{}, unclear(skottv1.ReasonWaitingForConnection, ""), nil},
		"InUse":              {&skottv1.Environment{}, skottv1.ConditionReady, yes(skottv1.ReasonReady, ""), no(skottv1.ReasonInUse, "mc"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonInUse, Note: "Ready is False: mc"}}},
		"Rejected":           {&skottv1.MovementKind{}, skottv1.ConditionReady, verdict{}, no(skottv1.ReasonMovementKindRejected, "field"), []Happening{{Unwelcome: true, Reason: skottv1.ReasonMovementKindRejected, Note: "Ready is False: field"}}},
		"NotTold":            {&skottv1.ManagementCluster{}, skottv1.ConditionGuarded, yes(skottv1.ReasonGuarded, ""), no(skottv1.ReasonNotGuarded, ""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			old := &skottv1.DataBoundary{} // conditions are all that is read of what was
			if c.was.Status != "" {
				set(old, c.condition, c.was)
			}
			set(c.object, c.condition, c.is)
			if diff := cmp.Diff(c.want, Happenings(old, c.object)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An Event whose note is too long is refused, and lost.
func TestNotesFitAnEvent(t *testing.T) {
	b := &skottv1.DataBoundary{}
	set(b, skottv1.ConditionPublished, no(skottv1.ReasonEnvironmentsMissing, strings.Repeat("😀", 5000)))
	got := Happenings(&skottv1.DataBoundary{}, b)
	if len(got) != 1 || len(got[0].Note) > 1024 || !utf8.ValidString(got[0].Note) {
		t.Errorf("happenings = %v, want one of at most 1,024 bytes", got)
	}
}

func TestRoll(t *testing.T) {
	member := func(phases ...GuardState) *Member {
		m := &Member{Name: "mc", Self: Cluster{ManagementCluster: "mc", Guard: phases[0]}}
		for i, g := range phases[1:] {
			m.Clusters = append(m.Clusters, Cluster{ManagementCluster: "mc", Namespace: "ns", Name: string(rune('a' + i)), Guard: g})
		}
		return m
	}
	current := func(c Cluster) bool { return c.Guard.ProvedRevision == "r1" }
	proved := GuardState{Phase: Enforced, Reason: skottv1.ReasonEnforced, ProvedRevision: "r1"}
	away := GuardState{Phase: Unreachable, Reason: skottv1.ReasonUnreachable, ProvedRevision: "r1", Message: "timeout"}
	off := GuardState{Phase: CanaryAdmitted, Reason: skottv1.ReasonCanaryAdmitted}
	newer := GuardState{Phase: Published, Reason: skottv1.ReasonPublished, ProvedRevision: "r0"}
	refused := GuardState{Phase: Published, Reason: skottv1.ReasonNotProved}
	type seen struct{ Name, Reason string }
	roll := &Roll{}
	for i, step := range []struct {
		member *Member
		known  bool
		want   []seen
	}{
		{member(newer, newer), false, nil},
		{member(proved, proved), false, []seen{{"", skottv1.ReasonEnforced}, {"a", skottv1.ReasonEnforced}}},
		{member(proved, proved), false, nil},
		{member(proved, newer), false, nil},
		{member(proved, proved), false, nil}, // a revision passed
		{member(proved, away), false, []seen{{"a", skottv1.ReasonUnreachable}}},
		{member(off, away), false, []seen{{"", skottv1.ReasonCanaryAdmitted}}},
		{member(off, newer), false, nil},
		{member(proved, proved), false, []seen{{"", skottv1.ReasonEnforced}, {"a", skottv1.ReasonEnforced}}},
		{member(proved, refused, proved), false, []seen{{"a", skottv1.ReasonNotProved}, {"b", skottv1.ReasonEnforced}}},
		{member(proved), false, nil}, // a and b are deleted
		{member(proved, away), true, []seen{{"a", skottv1.ReasonUnreachable}}},
	} {
		var got []seen
		for _, h := range roll.Happenings(step.member, current, step.known) {
			got = append(got, seen{h.Name, h.Reason})
			if h.Unwelcome != (h.Reason != skottv1.ReasonEnforced) {
				t.Errorf("step %d: %v", i, h)
			}
		}
		if diff := cmp.Diff(step.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
	if got := (&Roll{}).Happenings(member(proved, proved), current, true); len(got) != 0 {
		t.Errorf("after a start everything that was proved is told again: %v", got)
	}
}
