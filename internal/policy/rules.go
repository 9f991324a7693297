// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
)

// Rules are the movement kinds in use, those of the project and those of users, with the
// policies compiled from them. They are immutable and safe for concurrent use.
type Rules struct {
	table *flow.Table
	kinds []skottv1.MovementKindSpec
	// groups are the families of kinds that not every cluster serves, sorted.
	groups []flow.Family

	mu       sync.Mutex
	compiled map[flow.Family]compiledPolicy
}

// compiledPolicy is the policy of a family as it stands while a boundary denies, and while none
// does. Both share everything that was compiled.
type compiledPolicy struct {
	denying, telling *admissionv1.ValidatingAdmissionPolicy
}

// NewRules adds the kinds of users to those of the project. One that is invalid is left out,
// and its error stands in its place.
func NewRules(kinds ...skottv1.MovementKindSpec) (*Rules, []error) {
	r := &Rules{table: flow.Builtin(), compiled: map[flow.Family]compiledPolicy{}}
	var errs []error
	if len(kinds) > 0 {
		r.table, errs = r.table.Merge(kinds)
		for i, err := range errs {
			if err == nil {
				r.kinds = append(r.kinds, kinds[i])
			}
		}
	}
	for _, k := range r.table.Kinds() {
		if k.InPolicy() && !k.Family.Everywhere() && !slices.Contains(r.groups, k.Family) {
			r.groups = append(r.groups, k.Family)
		}
	}
	slices.Sort(r.groups)
	return r, errs
}

// builtinRules are those of the project alone.
var builtinRules = sync.OnceValue(func() *Rules {
	r, _ := NewRules() // of no kinds, none is invalid
	return r
})

// BuiltinRules are the rules of the project alone.
func BuiltinRules() *Rules { return builtinRules() }

// Table of the movement kinds in use.
func (r *Rules) Table() *flow.Table { return r.table }

// Kinds are the valid ones of users.
func (r *Rules) Kinds() []skottv1.MovementKindSpec { return r.kinds }

// Families are the policies for a cluster that serves some API groups: those that every
// cluster has, one for each group with movement kinds, and the one of the guard itself.
func (r *Rules) Families(served []string) []flow.Family {
	out := slices.Clone(everywhere)
	for _, f := range r.groups {
		if slices.Contains(served, string(f)) {
			out = append(out, f)
		}
	}
	return append(out, guardFamily)
}

// AllFamilies are the policies for a cluster that serves every group of the table.
func (r *Rules) AllFamilies() []flow.Family {
	return append(slices.Concat(everywhere, r.groups), guardFamily)
}

// everywhere are the families that every cluster has, in the order in which they are
// published and proved.
var everywhere = []flow.Family{flow.Storage, flow.Network, flow.Workload, flow.Config, flow.Delivery, flow.Clusters}

// Policies compiles the movement kinds of some families, and the rules that protect the
// guard, into admission policies: one per family, the same in every cluster. They read who
// may reach whom from the Guard. denies says whether any boundary does (Policy.Denies): if not,
// nobody asked for anything to be refused, and a policy that cannot work, because the Guard is
// not there or an expression fails, lets pass what it cannot judge. Every field that the API
// server would default is written out, so that a stored policy can be compared with the desired
// one. They must not be changed.
func (r *Rules) Policies(families []flow.Family, denies bool) []*admissionv1.ValidatingAdmissionPolicy {
	out := make([]*admissionv1.ValidatingAdmissionPolicy, len(families))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, family := range families {
		c, done := r.compiled[family]
		if !done {
			c.denying = r.compile(family)
			c.telling = telling(family, c.denying)
			r.compiled[family] = c
		}
		if out[i] = c.telling; denies {
			out[i] = c.denying
		}
	}
	return out
}

// failure is what becomes of a request that cannot be judged.
func failure(denies bool) admissionv1.FailurePolicyType {
	if denies {
		return admissionv1.Fail
	}
	return admissionv1.Ignore
}

// telling is the policy of a family while no boundary denies. The rules about labels and about
// the guard itself refuse whatever the boundaries say, so that theirs stay as they are.
func telling(family flow.Family, p *admissionv1.ValidatingAdmissionPolicy) *admissionv1.ValidatingAdmissionPolicy {
	if family == guardFamily || family == flow.Clusters {
		return p
	}
	out, policy := *p, failure(false)
	out.Spec.FailurePolicy = &policy
	return &out
}

func (r *Rules) compile(family flow.Family) *admissionv1.ValidatingAdmissionPolicy {
	p := newPolicy(family)
	if family == guardFamily {
		p.Spec.ParamKind = nil
		p.Spec.MatchConstraints.ResourceRules = guardResources()
		addRules(p, guardRules)
		return p
	}
	addMovement(p, family, r.table.Kinds())
	return p
}
