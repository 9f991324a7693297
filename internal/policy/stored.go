// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"

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
