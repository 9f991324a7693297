// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"encoding/base64"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// payload plants an object that names a host in a field that holds whole objects.
func (p *planter) payload(out *plan, f *flow.Field, o owner) (*plan, error) {
	at := slices.Concat(p.kind.Steps(), f.Steps())
	inner := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "inner"}, "data": map[string]any{"host": o.host()}}
	if f.Direction == flow.To { // what an object does with an address is for itself to say
		inner = map[string]any{"output": map[string]any{"host": o.host()}}
	}
	var v any = inner
	leaf := p.leaf(at)
	switch {
	case leaf != nil && leaf.typ() == "array":
		v = []any{inner}
	case leaf != nil && leaf.texts():
		v = map[string]any{"host": o.host()}
	case leaf == nil || leaf.open() || leaf.typ() == "object":
	default:
		text, err := yaml.Marshal(inner)
		if err != nil {
			return nil, err
		}
		texts := []string{string(text), base64.StdEncoding.EncodeToString(text)}
		return out.end(p, at, texts)
	}
	out.values = append(out.values, value{at, v})
	return out, nil
}

// maxLinks is how many objects lead to each other at most.
const maxLinks = 3

// link plants the name of another object, which names the address.
func (p *planter) link(out *plan, f *flow.Field, o owner) (*plan, error) {
	at := slices.Concat(p.kind.Steps(), f.Steps())
	target := p.table.Lookup(f.To.Group, f.To.Resource)
	if target == nil {
		return nil, fmt.Errorf("leads to %s of group %q, which are in no table", f.To.Resource, f.To.Group)
	}
	if steps, _ := f.WithSteps(2); steps != nil {
		return p.under(out, f, o, target)
	}
	name := "linked"
	if f.End == flow.Destination {
		name = "there"
	}
	text, ok := p.pick(at, name, name+"-x", "ns/"+name)
	if !ok {
		return nil, errNoText
	}
	p.with(out, f, 1, target.Kind)
	out.values = append(out.values, value{at, text})
	object, inner := p.target(target, f.Direction, o, maxLinks)
	if inner == nil {
		return nil, fmt.Errorf("leads to %s, which say nothing themselves", target.Kind)
	}
	out.linked = append(inner.linked, Linked{target.Group, target.Resource, text, object})
	out.declared, out.inner = inner.declared, inner.inner
	return out, nil
}

// under plants what stands below the address that another object names. That address is
// everybody's: what is below it is the owner's.
func (p *planter) under(out *plan, f *flow.Field, o owner, target *flow.Kind) (*plan, error) {
	at := slices.Concat(p.kind.Steps(), f.Steps())
	own := string(o) + "/x"
	text, ok := p.pick(at, own, "./"+own)
	name := p.with(out, f, 2, "linked")
	if !ok || name == "" {
		return nil, errNoText
	}
	p.with(out, f, 1, target.Kind)
	prefix := p.with(out, f, 3, "mount")
	out.values = append(out.values, value{at, text})
	shared := &planter{table: p.table, below: true}
	object, inner := shared.target(target, f.Direction, everybody, maxLinks)
	if inner == nil {
		return nil, fmt.Errorf("leads to %s, which have nothing below them", target.Kind)
	}
	out.linked = append(inner.linked, Linked{target.Group, target.Resource, name, object})
	out.inner = inner.inner
	for _, l := range out.linked {
		flow.Walk(p.table.Lookup(l.Group, l.Resource), l.Object, true, func(r *flow.Reference) {
			if r.Field == out.inner {
				out.declared = []skottv1.Address{{Type: skottv1.AddressType(r.Field.Type), Value: "https://" + address.Path(r.Key+"/"+prefix+"/"+own)}}
			}
		})
	}
	return out, nil
}

// target is an object of a kind that names an address of the owner, in the direction of the
// link that leads to it.
func (p *planter) target(k *flow.Kind, direction flow.Direction, o owner, links int) (map[string]any, *plan) {
	inner := &planter{table: p.table, kind: k, below: p.below}
	for i := range k.Fields {
		f := &k.Fields[i]
		if f.End == flow.Destination || f.Type == flow.Namespace || f.CreateOnly || f.Form == flow.Link && links == 0 {
			continue
		}
		if p.below && !slices.Contains([]flow.Form{flow.Link, flow.Store, flow.Git}, f.Form) {
			continue
		}
		if direction == flow.Names && f.Direction == flow.To {
			continue
		}
		var made *plan
		var err error
		if f.Form == flow.Link {
			next := p.table.Lookup(f.To.Group, f.To.Resource)
			if next == nil || next == k {
				continue
			}
			object, further := inner.target(next, direction, o, links-1)
			if further == nil {
				continue
			}
			name := fmt.Sprintf("linked-%d", links)
			made = &plan{values: []value{{slices.Concat(k.Steps(), f.Steps()), name}}, declared: further.declared, inner: further.inner,
				linked: append(further.linked, Linked{next.Group, next.Resource, name, object})}
		} else if made, err = inner.plant(f, o); err != nil {
			continue
		}
		object := map[string]any{"apiVersion": apiVersion(k, k.Version()), "kind": k.Kind, "metadata": map[string]any{"name": "linked", "namespace": "default"}}
		for _, v := range made.values {
			Put(object, v.steps, v.value)
		}
		if made.inner == nil {
			made.inner = f
		}
		return object, made
	}
	return nil, nil
}

// Put puts a value at the end of a path, through one element of each list and one key of
// each map on the way.
func Put(node map[string]any, steps []flow.Step, v any) {
	s, rest := steps[0], steps[1:]
	inner := func(old any) any {
		if len(rest) == 0 {
			return v
		}
		m, ok := old.(map[string]any)
		if !ok {
			m = map[string]any{}
		}
		Put(m, rest, v)
		return m
	}
	switch {
	case s.List:
		list, _ := node[s.Name].([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = inner(list[0])
		if m, ok := list[0].(map[string]any); ok && s.Key != "*" && m[s.Key] == nil {
			m[s.Key] = "x"
		}
		node[s.Name] = list
	case s.Map:
		m, _ := node[s.Name].(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		key := "a"
		for k := range m {
			key = k
		}
		m[key] = inner(m[key])
		node[s.Name] = m
	default:
		node[s.Name] = inner(node[s.Name])
	}
}

func apiVersion(k *flow.Kind, version string) string {
	if k.Group == "" {
		return version
	}
	return k.Group + "/" + version
}
