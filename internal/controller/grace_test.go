// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// However wrong a clock is, a deleted boundary acts for its grace, and no longer.
func TestGraces(t *testing.T) {
	const grace = 5 * time.Minute
	now := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		seen    bool          // before it was deleted
		skew    time.Duration // of the API server's clock
		deleted time.Duration // before it is looked at
		want    time.Duration
	}{
		"Now":                     {seen: true, want: grace},
		"Heard of late":           {seen: true, deleted: time.Hour, want: grace},
		"Ours is ahead":           {seen: true, skew: -time.Hour, want: grace},
		"Ours is behind":          {seen: true, skew: time.Hour, want: grace},
		"Before we started":       {deleted: 2 * time.Minute, want: 3 * time.Minute},
		"Long before we started":  {deleted: time.Hour, want: 0},
		"Started, ours is behind": {deleted: 2 * time.Minute, skew: time.Hour, want: grace},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hub{options: Options{BoundaryGrace: grace}, now: func() time.Time { return now }}
			b := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "b", UID: "1"}}
			if c.seen {
				if left := h.actsFor(b); left != forever {
					t.Fatalf("it was not deleted, and acts for %s", left)
				}
			}
			b.DeletionTimestamp = &metav1.Time{Time: now.Add(c.skew - c.deleted)}
			if left := h.actsFor(b); left != c.want {
				t.Errorf("acts for %s, want %s", left, c.want)
			}
			h.now = func() time.Time { return now.Add(time.Minute) }
			if left := h.actsFor(b); left != c.want-time.Minute {
				t.Errorf("a minute later it acts for %s, want %s", left, c.want-time.Minute)
			}
			h.graces.forget(nil)
			if len(h.graces.ends) != 0 {
				t.Error("it is gone, and remembered")
			}
		})
	}
}

// The time that has passed for a process is not that of its clock.
func TestGraceKeepsMonotonicTime(t *testing.T) {
	g, now := &graces{}, time.Now()
	b := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{UID: "1", DeletionTimestamp: &metav1.Time{Time: now.Round(0)}}}
	ends, _ := g.end(b, time.Minute, now)
	if !strings.Contains(ends.String(), " m=") {
		t.Error("the end is a time of the wall clock alone")
	}
}
