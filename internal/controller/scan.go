// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/fleet"
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

func (p *publication) scanning(c status.Cluster, a *asked) fleet.Scanning {
	secrets := p.webhooks.secrets[c.ManagementCluster] && p.webhooks.key != nil
	out := fleet.Scanning{Addresses: p.revision, Open: p.draft != nil || len(p.policy.Actions()) > 1}
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode([]any{p.rules, a.cluster, a.namespaces, secrets}) // encoding sorts keys, and cannot fail
	out.Rules = hex.EncodeToString(sum.Sum(nil)[:6])
	for _, k := range p.policy.Rules().Table().Kinds() {
		if k.Channel != "" || k.Group == skottv1.GroupVersion.Group || k.Group == "" && k.Resource == "secrets" && !secrets {
			continue
		}
		kind := fleet.ScanKind{Group: k.Group, Resource: k.Resource, Kind: k.Kind, Versions: k.Versions}
		if !slices.ContainsFunc(out.Kinds, func(o fleet.ScanKind) bool { return o.Group == kind.Group && o.Resource == kind.Resource }) {
			out.Kinds = append(out.Kinds, kind)
		}
	}
	j := &judge{enforced: p.evaluators(a.desired.Guards, secrets)}
	if p.draft != nil {
		families := p.policy.Rules().Families(c.Groups)
		for _, g := range p.draft.Guards(a.cluster, a.namespaces, families) {
			if g.Spec.Action == skottv1.ActionDeny {
				j.draft = j.enforced[0].With(g)
				break
			}
		}
	}
	out.Judge = j.judge
	return out
}

// evaluators are one for each action, strictest first. What they find addresses with is made once
// for all clusters whose Guards differ in nothing but their names.
func (p *publication) evaluators(guards []*skottv1.Guard, secrets bool) []*policy.Evaluator {
	var deny []*skottv1.Guard
	for _, g := range guards {
		if g.Spec.Action == skottv1.ActionDeny {
			deny = append(deny, g)
		}
	}
	made, known := p.bases.Load(guards[0].Spec.Revision)
	if !known {
		made, _ = p.bases.LoadOrStore(guards[0].Spec.Revision, policy.NewEvaluator(deny...))
	}
	base, ok := made.(*policy.Evaluator)
	if !ok {
		base = policy.NewEvaluator(deny...)
	}
	if secrets {
		base = base.WithKey(address.NewKey(p.webhooks.key))
	}
	var out []*policy.Evaluator
	var last skottv1.Action
	for _, g := range guards {
		if g.Spec.Action != last {
			last = g.Spec.Action
			out = append(out, base.With(g))
		}
	}
	return out
}

// drafted are boundaries with their drafts in place of their rules, nil if there is no draft.
func drafted(boundaries []skottv1.DataBoundary) []skottv1.DataBoundary {
	out, found := slices.Clone(boundaries), false
	for i := range out {
		if draft := out[i].Spec.Draft; draft != nil && out[i].DeletionTimestamp.IsZero() {
			out[i].Spec.BoundaryRule, found = *draft, true
		}
	}
	if !found {
		return nil
	}
	return out
}

// judge judges what is there by the Guards of every action, and by the draft. Whoever wrote it,
// it counts as created by the operator: who may write a label was decided when it was written.
type judge struct {
	enforced []*policy.Evaluator // Deny first
	draft    *policy.Evaluator   // nil if there is none
}

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
	for _, e := range j.enforced {
		d := e.Evaluate(r)
		denied = denied || e.Action() == skottv1.ActionDeny && !d.Allowed
		out = append(out, violations(d, e.Action(), place, false)...)
	}
	if j.draft != nil && !denied {
		out = append(out, violations(j.draft.Evaluate(r), skottv1.ActionDeny, place, true)...)
	}
	return place, out
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
