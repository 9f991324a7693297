// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
)

// scan says how the objects of a cluster are judged that are there.
func (p *publication) scan(c status.Cluster) (fleet.Scanning, bool) {
	a, known := p.ask(c)
	if !known {
		return fleet.Scanning{}, false
	}
	a.scanned.Do(func() { a.scanning = p.scanning(c, a) })
	return a.scanning, true
}

// scanning is how a cluster is scanned under this publication. Its Rules change with everything that
// may change a verdict but the addresses, which have a revision of their own.
func (p *publication) scanning(c status.Cluster, a *asked) fleet.Scanning {
	secrets := p.webhooks.secrets[c.ManagementCluster] && p.webhooks.key != nil
	out := fleet.Scanning{Addresses: p.revision, Open: p.draft != nil || len(p.policy.Actions()) > 1, Kinds: p.scanKinds}
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode([]any{p.rules, a.cluster, a.namespaces, a.groups, secrets}) // encoding sorts keys, and cannot fail
	out.Rules = hex.EncodeToString(sum.Sum(nil)[:6])
	if secrets {
		out.Kinds = append(slices.Clone(out.Kinds), fleet.ScanKind{Resource: "secrets", Kind: "Secret", Versions: []string{"v1"}})
	}
	// While many addresses are learned, most publications are replaced before anything is judged by them.
	made := sync.OnceValue(func() *judge { return p.judge(a, secrets) })
	out.Judge = func(o fleet.ScanObject) (string, []status.Violation) { return made().judge(o) }
	return out
}

// scanKinds are the kinds of a table, but for Secrets.
func scanKinds(table *flow.Table) (out []fleet.ScanKind) {
	seen := map[[2]string]bool{}
	for _, k := range table.Kinds() {
		resource := [2]string{k.Group, k.Resource}
		if k.Channel != "" || k.Group == skottv1.GroupVersion.Group || resource == [2]string{"", "secrets"} || seen[resource] {
			continue
		}
		seen[resource] = true
		out = append(out, fleet.ScanKind{Group: k.Group, Resource: k.Resource, Kind: k.Kind, Versions: k.Versions})
	}
	return out
}

func (p *publication) judge(a *asked, secrets bool) *judge {
	j := &judge{enforced: p.evaluators(a.desired.Guards, secrets), drafts: p.drafts}
	if p.draft != nil {
		for _, g := range p.draft.Guards(a.cluster, a.namespaces, p.policy.Rules().Families(a.groups)) {
			j.draft = append(j.draft, j.enforced[0].With(g))
		}
		j.draft = slices.CompactFunc(j.draft, sameAction) // of a Guard in parts, each has all that forbids
	}
	return j
}

func sameAction(a, b *policy.Evaluator) bool { return a.Action() == b.Action() }

// evaluators are one for each action, strictest first. What they find addresses with is made once
// for all clusters whose Guards differ in nothing but their names.
func (p *publication) evaluators(guards []*skottv1.Guard, secrets bool) []*policy.Evaluator {
	var deny []*skottv1.Guard
	for _, g := range guards {
		if g.Spec.Action == skottv1.ActionDeny {
			deny = append(deny, g)
		}
	}
	revision := policy.Revision(guards)
	made, known := p.bases.Load(revision)
	if !known {
		made, _ = p.bases.LoadOrStore(revision, policy.NewEvaluator(deny...))
	}
	base, ok := made.(*policy.Evaluator)
	if !ok {
		base = policy.NewEvaluator(deny...)
	}
	if secrets {
		base = base.WithKey(address.NewKey(p.webhooks.key))
	}
	out := make([]*policy.Evaluator, len(guards))
	for i, g := range guards {
		out[i] = base.With(g)
	}
	return slices.CompactFunc(out, sameAction)
}

// drafted are boundaries with their drafts in place of their rules, and which have one.
func drafted(boundaries []skottv1.DataBoundary) (out []skottv1.DataBoundary, drafts map[string]bool) {
	out, drafts = slices.Clone(boundaries), map[string]bool{}
	for i := range out {
		if draft := out[i].Spec.Draft; draft != nil && out[i].DeletionTimestamp.IsZero() {
			out[i].Spec.BoundaryRule, drafts[out[i].Name] = *draft, true
		}
	}
	return out, drafts
}

// judge judges what is there by the Guards of every action, and by the draft. Whoever wrote it,
// it counts as created by the operator: who may write a label was decided when it was written.
type judge struct {
	enforced []*policy.Evaluator // Deny first
	draft    []*policy.Evaluator // the same with the drafts; nil if there is none
	drafts   map[string]bool     // the boundaries that have one
}

// judge says in which Environment an object is, and every way in which it crosses, those that only a
// draft forbids among them.
func (j *judge) judge(o fleet.ScanObject) (string, []status.Violation) {
	r := &policy.Request{
		Operation: "CREATE", Group: o.Kind.Group, Resource: o.Kind.Resource, Namespace: o.Namespace,
		NamespaceLabels: o.NamespaceLabels, User: policy.Operator, Raw: o.Raw,
	}
	secret := r.Group == "" && r.Resource == "secrets" // may hold credentials, which are no addresses
	if !secret && j.enforced[0].Clean(r) {             // all have the same addresses
		return "", nil
	}
	var err error
	if r.Object, err = policy.Object(o.Raw); err != nil || r.Object == nil {
		return "", nil // an API server sends objects
	}
	place := j.enforced[0].Place(r)
	var out []status.Violation
	denied := false
	if d := policy.Misplaced(r, j.enforced...); d != nil {
		out, denied = violations(*d, skottv1.ActionDeny, place, false), true
	}
	for _, e := range j.enforced {
		d := crossings(e, r)
		denied = denied || e.Action() == skottv1.ActionDeny && !d.Allowed
		out = append(out, violations(d, e.Action(), place, false)...)
	}
	if denied {
		return place, out // a draft would change nothing
	}
	for _, e := range j.draft {
		for _, v := range violations(crossings(e, r), e.Action(), place, true) {
			if j.drafts[v.Boundary] {
				out = append(out, v)
			}
		}
	}
	return place, out
}

// crossings decides as for a new object. One that may not be created where it is, whatever it
// says, is there all the same: what it says is judged as in a change. That it is misplaced is told beside.
func crossings(e *policy.Evaluator, r *policy.Request) policy.Decision {
	d := e.Evaluate(r)
	if !d.Allowed && len(d.Violations) == 0 {
		change := *r
		change.Operation = "UPDATE"
		d = e.Evaluate(&change)
	}
	return d
}

func violations(d policy.Decision, action skottv1.Action, place string, draft bool) []status.Violation {
	out := make([]status.Violation, len(d.Violations))
	for i, v := range d.Violations {
		from, to := v.Owner, place
		if v.Pushes() {
			from, to = place, v.Owner
		}
		out[i] = status.Violation{
			Boundary: v.Boundary, Action: action, Draft: draft, Code: string(v.Code), Path: v.Path, From: from, To: to, Message: d.Message,
		}
	}
	return out
}
