// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// Guards are the Guard objects of the cluster, and what they decide.
type Guards struct {
	mu      sync.Mutex
	objects map[string]*skottv1.Guard
	key     *address.Key
	synced  bool

	current atomic.Pointer[verdicts]
}

// verdicts decides by all Guards of one moment. It is immutable.
type verdicts struct {
	revision string
	// by action, strictest first.
	actions []actionVerdict
}

type actionVerdict struct {
	action    skottv1.Action
	evaluator *policy.Evaluator
}

// NewGuards returns a set without Guards, which decides nothing.
func NewGuards() *Guards { return &Guards{objects: map[string]*skottv1.Guard{}} }

// Loaded reports whether there is anything to decide by.
func (g *Guards) Loaded() bool { return g.current.Load() != nil }

// Revision that decides now, "" if there is none.
func (g *Guards) Revision() string {
	if v := g.current.Load(); v != nil {
		return v.revision
	}
	return ""
}

// Set takes a new or changed Guard, which must not be changed afterwards.
func (g *Guards) Set(guard *skottv1.Guard) {
	g.change(func() { g.objects[guard.Name] = guard })
}

// SetKey takes the key of fingerprints. None changes nothing.
func (g *Guards) SetKey(key *address.Key) {
	if key != nil {
		g.change(func() { g.key = key })
	}
}

// Delete takes a Guard away.
func (g *Guards) Delete(name string) {
	g.change(func() { delete(g.objects, name) })
}

// Synced says that every Guard there is was set: from now on they decide.
func (g *Guards) Synced() {
	g.change(func() { g.synced = true })
}

func (g *Guards) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	g.rebuild()
}

// rebuild makes the Guards that are there decide. Without one of action Deny the last ones
// go on deciding: a Guard that somebody deleted is no reason to admit what it refused, nor
// to refuse what it did not, and is put back by Skott within seconds.
func (g *Guards) rebuild() {
	deny := slices.ContainsFunc(slices.Collect(maps.Values(g.objects)), func(o *skottv1.Guard) bool { return o.Spec.Action == skottv1.ActionDeny })
	if !g.synced || !deny {
		return
	}
	g.current.Store(verdictsOf(g.key, slices.SortedFunc(maps.Values(g.objects), func(a, b *skottv1.Guard) int { return cmp.Compare(a.Name, b.Name) })))
}

// verdictsOf builds what decides from Guards sorted by name.
func verdictsOf(key *address.Key, guards []*skottv1.Guard) *verdicts {
	v := &verdicts{revision: policy.Revision(guards)}
	for _, action := range []skottv1.Action{skottv1.ActionDeny, skottv1.ActionWarn, skottv1.ActionAudit} {
		var parts []*skottv1.Guard
		for _, guard := range guards {
			if guard.Spec.Action == action {
				parts = append(parts, guard)
			}
		}
		if len(parts) > 0 {
			e := policy.NewEvaluator(parts...).WithKey(key)
			e.Prepare()
			v.actions = append(v.actions, actionVerdict{action, e})
		}
	}
	return v
}

// clean reports that no Guard can refuse a request, from the bytes of its object alone.
func (v *verdicts) clean(r *policy.Request) bool {
	return !slices.ContainsFunc(v.actions, func(a actionVerdict) bool { return !a.evaluator.Clean(r) })
}

// table of movement kinds, the same for every action.
func (v *verdicts) table() *flow.Table { return v.actions[0].evaluator.Table() }

// outcome is what the Guards say to a request.
type outcome struct {
	denial   *policy.Decision
	warnings []string
	audits   []string
}

// decide asks the Guards of every action. A denial ends it.
func (v *verdicts) decide(r *policy.Request) outcome {
	var out outcome
	for _, a := range v.actions {
		d := a.evaluator.Evaluate(r)
		switch {
		case d.Allowed:
		case a.action == skottv1.ActionDeny:
			out.denial = &d
			return out
		case a.action == skottv1.ActionWarn:
			out.warnings = append(out.warnings, d.Message)
		default:
			out.audits = append(out.audits, d.Message)
		}
	}
	return out
}
