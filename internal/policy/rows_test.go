// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// texts that stand in a field, by its form.
var texts = map[flow.Form]string{
	flow.Text: "row.example", flow.Bucket: "row-bucket", flow.Object: "https://s3.row.example/bucket/path", flow.Join: "row-id", flow.Image: "registry.row.example/project/app:1",
	flow.Git: "https://git.row.example/org/repo", flow.Store: "https://vault.row.example", flow.Endpoint: "api.row.example", flow.Cluster: "row", flow.IP: "192.0.2.7",
	flow.Alias: "row", flow.Link: "row", flow.Encoded: base64.StdEncoding.EncodeToString([]byte("host: row.example\n")),
}

// payload is an object in an object.
var payload = map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "row"}, "spec": map[string]any{"externalName": "row.example"}}

// fill writes what a field reads into an object of its kind.
func fill(k *flow.Kind, f *flow.Field, object map[string]any) {
	for i := range f.With {
		steps, relative := f.WithSteps(i)
		if steps == nil || f.Form == flow.Link && i == 4 { // where there is something, the row says nothing
			continue
		}
		if relative {
			own := f.Steps()
			last := len(own) - 1
			for !own[last].List && (!own[last].Map || last == len(own)-1) {
				last--
			}
			steps = slices.Concat(own[:last+1], steps)
		}
		value := "beside"
		switch {
		case f.Form == flow.Link || f.Form == flow.Cluster:
			value = "default"
			if i == 1 { // the kind of what a reference names
				if to := flow.Builtin().Lookup(f.To.Group, f.To.Resource); to != nil {
					value = to.Kind
				}
			}
		case i == 0 && (f.Form == flow.Bucket || f.Form == flow.Object):
			value = "https://s3.row.example"
		case f.Form == flow.Endpoint:
			value = "6443"
		}
		corpus.Put(object, slices.Concat(k.Steps(), steps), value)
	}
	var value any = texts[f.Form]
	if f.Form == flow.Payload {
		value = payload
	}
	corpus.Put(object, slices.Concat(k.Steps(), f.Steps()), value)
}

// keys that a field of an object names.
func keys(k *flow.Kind, path string, form flow.Form, object map[string]any) []string {
	var out []string
	flow.Walk(k, object, true, func(r *flow.Reference) {
		switch {
		case r.Field.Path != path || r.Field.Form != form:
		case r.Key != "":
			out = append(out, r.Key)
		default:
			out = append(out, "row.example")
		}
	})
	return out
}

// guardOver is a Guard of place here, in which keys belong to owner and one may not cross.
func guardOver(owner, here, from, to string, keys ...string) *skottv1.Guard {
	g := &skottv1.Guard{}
	g.Spec = skottv1.GuardSpec{
		Cluster: skottv1.GuardedCluster{Name: "c", Environment: here}, Action: skottv1.ActionDeny, Addresses: map[string]string{}, Hosts: map[string]string{},
		Aliases: map[string]string{}, Crossings: map[string]map[string]string{from: {to: "customer-data"}},
	}
	own(g, owner, keys...)
	return g
}

func own(g *skottv1.Guard, owner string, keys ...string) {
	for _, key := range keys {
		g.Spec.Addresses[key] = owner
		g.Spec.Depths = append(g.Spec.Depths, int64(strings.Count(key, "/")+1))
		g.Spec.Hosts[strings.Split(key, "/")[0]] = ""
		if address.IPKey(key) == key {
			g.Spec.PrefixLengths = []int64{32}
			g.Spec.Addresses[key+"/32"] = owner
		}
	}
}

// behind is an object that a reference may name, with what the reader finds in it: the first
// row that names an address by itself, or one behind another reference. What says where the
// object itself delivers to counts where that is what by, the reference, asks for, and what
// has nothing below it does not where by asks for that.
func behind(to skottv1.MovementTarget, by *flow.Field, depth int) (map[[2]string]map[string]any, []string, flow.Direction) {
	k := flow.Builtin().Lookup(to.Group, to.Resource)
	if k == nil || depth > 3 {
		return nil, nil, ""
	}
	id := [2]string{k.Group, k.Resource}
	for i := range k.Fields {
		f := &k.Fields[i]
		below := slices.Contains([]flow.Form{flow.Store, flow.Git}, f.Form) || !named(by)
		if f.Form != flow.Link && f.Form != flow.Payload && f.Form != flow.Alias && below && (by.End == flow.Destination || f.End == "") {
			object := map[string]any{}
			fill(k, f, object)
			return map[[2]string]map[string]any{id: object}, keys(k, f.Path, f.Form, object), f.Direction
		}
	}
	for i := range k.Fields {
		if f := &k.Fields[i]; f.Form == flow.Link {
			if others, found, direction := behind(f.To, by, depth+1); found != nil {
				object := map[string]any{}
				fill(k, f, object)
				others[id] = object
				return others, found, direction
			}
		}
	}
	return nil, nil, ""
}

// named reports whether a reference names the object beside the text, which stands below its
// address.
func named(f *flow.Field) bool {
	steps, _ := f.WithSteps(2)
	return f.Form == flow.Link && steps != nil
}

// below are the keys with what the row of an object says below them.
func below(k *flow.Kind, f *flow.Field, object map[string]any, keys []string) []string {
	var out []string
	flow.Walk(k, object, true, func(r *flow.Reference) {
		if r.Field.Path == f.Path && r.Field.To == f.To && r.Below != "" {
			for _, key := range keys {
				out = append(out, key+"/"+r.Below)
			}
		}
	})
	return slices.Compact(out)
}

// Every row of the table is read: an object that crosses by nothing but what the row names is
// refused for it, admitted when the address is nobody's, and answered otherwise when the row is
// not there.
func TestEveryRowIsRead(t *testing.T) {
	for _, k := range flow.Builtin().Kinds() {
		whole := k.Fields
		for i := range whole {
			f := whole[i]
			if f.End == flow.Destination {
				continue // by TestEveryDestinationIsRead
			}
			object := map[string]any{"metadata": map[string]any{"name": "object", "namespace": "default"}}
			fill(k, &f, object)
			r := &policy.Request{Operation: "CREATE", Group: k.Group, Resource: k.Resource, Namespace: "default", User: "admin", Object: object}
			found, direction := keys(k, f.Path, f.Form, object), f.Direction
			if f.Form == flow.Link {
				others, inner, inside := behind(f.To, &f, 0)
				if inner == nil {
					continue // by TestEveryReferenceLeadsSomewhere
				}
				found = inner
				if named(&f) {
					found = below(k, &f, object, inner)
				}
				if direction == flow.Names {
					direction = inside
				}
				r.Lookup = func(group, resource, _, _ string) map[string]any { return others[[2]string{group, resource}] }
			}
			owner, here, from, to := "production", "staging", "production", "staging"
			if direction == flow.To {
				owner, here = here, owner
			}
			g := guardOver(owner, here, from, to, found...)
			for _, key := range found {
				if f.Form == flow.Alias {
					g.Spec.Aliases[f.Const+texts[flow.Alias]] = key
				}
			}
			e := policy.NewEvaluator(g)
			with, policies := e.Evaluate(r), e.OfPolicies().Evaluate(r)
			if with.Allowed {
				t.Errorf("%s/%s: row %s (%s) of %v is not read", k.Group, k.Resource, f.Path, f.Form, found)
			}
			k.Fields = slices.Delete(slices.Clone(whole), i, i+1)
			if e.Evaluate(r).Message == with.Message && e.OfPolicies().Evaluate(r).Message == policies.Message {
				t.Errorf("%s/%s: row %s (%s) of %v is not needed: %s", k.Group, k.Resource, f.Path, f.Form, found, with.Message)
			}
			k.Fields = whole
			nobody := guardOver(owner, here, from, to)
			if d := policy.NewEvaluator(nobody).Evaluate(r); !d.Allowed {
				t.Errorf("%s/%s: row %s (%s) is refused though nobody owns anything: %s", k.Group, k.Resource, f.Path, f.Form, d.Message)
			}
		}
	}
}

// Where an object delivers to is read: it carries data from one place to another, and stands
// in a third.
func TestEveryDestinationIsRead(t *testing.T) {
	for _, k := range flow.Builtin().Kinds() {
		source := slices.IndexFunc(k.Fields, func(f flow.Field) bool { return f.End == flow.Source })
		if source >= 0 && slices.Contains([]flow.Form{flow.Payload, flow.Encoded}, k.Fields[source].Form) {
			continue // the corpus has cases of what is delivered whole
		}
		for i := range k.Fields {
			f := k.Fields[i]
			if f.End != flow.Destination {
				continue
			}
			if source < 0 {
				t.Errorf("%s/%s: a destination without a source", k.Group, k.Resource)
				continue
			}
			object, others := map[string]any{}, map[string]map[string]any{}
			var chain map[[2]string]map[string]any // of the destination
			g := guardOver("production", "third", "production", "staging")
			end := func(f *flow.Field, owner, name string) {
				part := map[string]any{}
				fill(k, f, part)
				text := strings.ReplaceAll(texts[f.Form], "row", name)
				fill(k, f, object) // with what belongs to the text
				corpus.Put(object, slices.Concat(k.Steps(), f.Steps()), text)
				if f.Form == flow.Link {
					to, found, _ := behind(f.To, f, 0)
					others[name] = to[[2]string{f.To.Group, f.To.Resource}]
					if owner == "staging" {
						chain = to
					}
					if owner == "production" { // both objects are made alike: tell them apart
						renamed(others[name])
					}
					for _, key := range found {
						if owner == "production" {
							key = strings.ReplaceAll(key, "row", "source")
						}
						own(g, owner, key)
					}
					return
				}
				if f.Form == flow.Alias {
					g.Spec.Aliases[f.Const+text] = "cluster/ns/" + name
					own(g, owner, "cluster/ns/"+name)
					return
				}
				for _, key := range keys(k, f.Path, f.Form, part) {
					own(g, owner, strings.ReplaceAll(key, "row", name))
				}
			}
			end(&k.Fields[source], "production", "source")
			end(&f, "staging", "destination")
			r := &policy.Request{Operation: "CREATE", Group: k.Group, Resource: k.Resource, User: "admin", Object: object,
				Lookup: func(group, resource, _, name string) map[string]any {
					if object := others[name]; object != nil {
						return object
					}
					return chain[[2]string{group, resource}]
				}}
			if d := policy.NewEvaluator(g).Evaluate(r); d.Allowed {
				t.Errorf("%s/%s: destination %s (%s) is not read", k.Group, k.Resource, f.Path, f.Form)
			}
			delete(g.Spec.Crossings, "production")
			if d := policy.NewEvaluator(g).Evaluate(r); !d.Allowed {
				t.Errorf("%s/%s: destination %s (%s) is refused without a boundary: %s", k.Group, k.Resource, f.Path, f.Form, d.Message)
			}
		}
	}
}

// renamed writes "source" for "row" in all texts of an object.
func renamed(node any) any {
	switch v := node.(type) {
	case string:
		if plain, err := base64.StdEncoding.DecodeString(v); err == nil && strings.Contains(string(plain), "row") {
			return base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(plain), "row", "source")))
		}
		return strings.ReplaceAll(v, "row", "source")
	case map[string]any:
		for key := range v {
			v[key] = renamed(v[key])
		}
	case []any:
		for i := range v {
			v[i] = renamed(v[i])
		}
	}
	return node
}

// A reference that leads to a kind of no table, or to one that names nothing, is of no use.
func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	for _, k := range flow.Builtin().Kinds() {
		for _, f := range k.Fields {
			if f.Form != flow.Link {
				continue
			}
			if to := flow.Builtin().Lookup(f.To.Group, f.To.Resource); to == nil || len(to.Fields) == 0 {
				t.Errorf("%s/%s: %s leads to %s/%s, where nothing is read", k.Group, k.Resource, f.Path, f.To.Group, f.To.Resource)
			}
		}
	}
}
