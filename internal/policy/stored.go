// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"slices"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// With decides by another Guard over the same addresses: one of another action, or of a cluster
// that differs in its names alone. What is costly to make is shared with it.
func (e *Evaluator) With(g *skottv1.Guard) *Evaluator {
	out := *e
	out.spec = &g.Spec
	return &out
}

// Action of the Guard.
func (e *Evaluator) Action() skottv1.Action { return e.spec.Action }

// Pushes reports whether a violation is one of data that leaves where the object is.
func (v Violation) Pushes() bool { return len(v.Code) > 7 && v.Code[7] == '2' }

// WithBoundaries is the policy with other boundaries, and the same addresses.
func (p *Policy) WithBoundaries(boundaries []skottv1.DataBoundary, environments []skottv1.Environment) *Policy {
	out := &Policy{
		classes: p.classes, stages: p.stages, customers: p.customers, crossings: map[skottv1.Action]map[string]map[string]string{},
		entries: p.entries, rejected: p.rejected, contested: p.contested, selections: map[string]Selection{},
		counts: maps.Clone(p.counts), rules: p.rules, parts: p.parts,
	}
	out.resolve(boundaries, environments)
	return out
}

// Misplaced is what forbids an object that is there to be where it is, whoever wrote it and whatever else
// it says; nil if nothing does. guards are those of one cluster, Deny first. The boundary is the one that stands
// between the Environments, "" if none does: the cluster refuses such an object all the same.
func Misplaced(r *Request, guards ...*Evaluator) *Decision {
	if len(guards) == 0 || guards[0].spec.Action != skottv1.ActionDeny {
		return nil
	}
	e, anew := guards[0], *r
	anew.Operation, anew.User = "CREATE", ""
	for i := range clusterRules {
		q := &clusterRules[i]
		own := labels(r.Object)[skottv1.LabelEnvironment]
		var path string
		switch {
		case q.code == CodeMisplaced, q.code == CodeNamespaceClaim && own != "" && !e.mayClaim(own):
			path = "metadata.labels"
		case q.code == CodeCustomerCluster:
			own, path = "", "metadata.namespace"
		default:
			continue
		}
		if !q.applies(e, &anew) || !q.refuses(e, &anew) {
			continue
		}
		if q.code == CodeMisplaced && e.spec.Environments[own] != skottv1.ClassProduction {
			own = "" // only its stage is of production
		}
		v := Violation{Code: q.code, Path: path, Owner: own, Boundary: between(guards, own, e.here(r).environment)}
		return &Decision{Violations: []Violation{v}, Codes: []Code{q.code}, Message: e.say(q, r)}
	}
	return nil
}

// between is the boundary that forbids what gets from an Environment to a place, of production if none is
// named; the strictest, and the first by name.
func between(guards []*Evaluator, from, to string) string {
	for _, e := range guards {
		for _, name := range slices.Sorted(maps.Keys(e.spec.Crossings)) {
			if boundary := e.spec.Crossings[name][to]; boundary != "" && (name == from || from == "" && e.spec.Environments[name] == skottv1.ClassProduction) {
				return boundary
			}
		}
	}
	return ""
}
