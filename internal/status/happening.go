// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// maxNote is how many characters of a note are kept: an Event takes 1,024 bytes, and a
// character four at most.
const maxNote = 250

// Happening is something that happened, for an Event on the object that it happened to.
type Happening struct {
	// Unwelcome: somebody should look at it.
	Unwelcome bool
	// Reason in CamelCase, Note in a sentence.
	Reason, Note string
	// Namespace and Name of the Cluster that it is about; empty if it is about the object
	// itself.
	Namespace, Name string
}

// told are the conditions whose changes are worth an Event, by kind. What clusters prove is
// told for each of them, by a Roll.
func told(o Object) []string {
	switch o.(type) {
	case *skottv1.ManagementCluster:
		return []string{skottv1.ConditionReachable, skottv1.ConditionWebhookActs, skottv1.ConditionLearning}
	case *skottv1.DataBoundary:
		return []string{skottv1.ConditionPublished, skottv1.ConditionEnforced, skottv1.ConditionNoViolations}
	case *skottv1.Environment:
		return []string{skottv1.ConditionReady, skottv1.ConditionSecurityParity}
	case *skottv1.DataLocation:
		return []string{skottv1.ConditionContested}
	case *skottv1.MovementKind:
		return []string{skottv1.ConditionReady}
	}
	return nil
}

// passing reasons say that something is under way, or as it should be from the beginning:
// they come with every revision and every start, and nothing has happened.
var passing = []string{
	skottv1.ReasonPublishing, skottv1.ReasonNotProved, skottv1.ReasonWaitingForConnection, skottv1.ReasonUnknown,
	skottv1.ReasonNoViolations, skottv1.ReasonLearningDisabled, skottv1.ReasonWebhookOff, skottv1.ReasonShared,
}

// Happenings are what has happened to an object, as its conditions tell: those that changed,
// in the order in which they are told. An object that is new has nothing behind it, so that
// all of its conditions have changed.
func Happenings(before, after Object) []Happening {
	var out []Happening
	for _, kind := range told(after) {
		was := meta.FindStatusCondition(before.GetConditions(), kind)
		is := meta.FindStatusCondition(after.GetConditions(), kind)
		if is == nil || slices.Contains(passing, is.Reason) || was != nil && was.Status == is.Status && was.Reason == is.Reason {
			continue
		}
		bad := is.Status != metav1.ConditionTrue
		if kind == skottv1.ConditionContested {
			bad = !bad
			if !bad && (was == nil || was.Status != metav1.ConditionTrue) {
				continue // it never was
			}
		}
		note := kind + " is " + string(is.Status)
		if is.Message != "" {
			note += ": " + is.Message
		}
		out = append(out, Happening{Unwelcome: bad, Reason: is.Reason, Note: short(note)})
	}
	return out
}

func short(note string) string {
	if characters := []rune(note); len(characters) > maxNote {
		return string(characters[:maxNote-1]) + "…"
	}
	return note
}

// Roll remembers which clusters of one ManagementCluster were proved, to tell when that
// changes. The zero value remembers none.
type Roll struct {
	proved map[string]bool
}

// Happenings are the clusters that were proved, or are not any more, since the last call.
// known says that they were all proved before anything was remembered, as after a start of
// the operator. A revision that is under way changes nothing.
func (r *Roll) Happenings(m *Member, current func(Cluster) bool, known bool) []Happening {
	var out []Happening
	next := map[string]bool{}
	for _, c := range append([]Cluster{m.Self}, m.Clusters...) {
		if c.GuardedAs != "" {
			continue // told under that name
		}
		key := c.Key()
		was, seen := r.proved[key]
		h := Happening{Namespace: c.Namespace, Name: c.Name}
		switch {
		case isGuarded(c, current):
			next[key] = true
			h.Reason = skottv1.ReasonEnforced
			h.Note = fmt.Sprintf("cluster %q refused its live proof of revision %q", key, c.Guard.ProvedRevision)
			if !was && (seen || !known) {
				out = append(out, h)
			}
		case disturbed(c.Guard):
			next[key] = false
			h.Unwelcome, h.Reason = true, c.Guard.Reason
			h.Note = short(fmt.Sprintf("the guard of cluster %q is not proved (%s); what it holds goes on refusing: %s", key, c.Guard.Phase, c.Guard.Message))
			if c.Guard.Phase == CanaryAdmitted {
				h.Note = fmt.Sprintf("the guard of cluster %q is off: its API server let the live proof through", key)
			}
			if was || !seen {
				out = append(out, h)
			}
		case seen:
			next[key] = was
		}
	}
	r.proved = next
	return out
}

// disturbed reports whether a guard is not proved for another reason than that it is on its
// way.
func disturbed(g GuardState) bool {
	switch g.Phase {
	case Unreachable, NotGuardable, CanaryAdmitted:
		return true
	case Published, Publishing:
		return g.Reason != skottv1.ReasonPublished && g.Reason != skottv1.ReasonPublishing
	}
	return false
}
