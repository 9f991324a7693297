// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"encoding/base64"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// reading begins to read the object of a request.
func (e *Evaluator) reading(kind *flow.Kind, r *Request, here place) reading {
	there := ""
	if kind.Delivers() {
		there = e.there(kind, r)
	}
	return reading{e: e, request: r, here: here.environment, there: cmp.Or(there, here.environment), delivered: there != ""}
}

// there is the place that an object delivers to, or "" if it does not say.
func (e *Evaluator) there(kind *flow.Kind, r *Request) string {
	return e.thereOf(kind, r.Object, r, func(f *flow.Field) bool {
		return f.End == flow.Destination && (!e.policies || f.InPolicy())
	}, 0)
}

// thereOf is the place of the first field that is a destination and whose address is known.
func (e *Evaluator) thereOf(kind *flow.Kind, object map[string]any, r *Request, destination func(*flow.Field) bool, depth int) string {
	there := ""
	flow.Walk(kind, object, r.Operation == "CREATE", func(ref *flow.Reference) {
		switch {
		case there != "" || !destination(ref.Field):
		case ref.Field.Form == flow.Link:
			there = e.behind(ref, object, r, depth)
		default:
			there = e.placeOf(ref)
		}
	})
	return there
}

// behind is the place that an object which is named stands for: the cluster of a kubeconfig,
// or of a configuration that leads to one.
func (e *Evaluator) behind(ref *flow.Reference, object map[string]any, r *Request, depth int) string {
	kind := e.table.Lookup(ref.Field.To.Group, ref.Field.To.Resource)
	if r.Lookup == nil || kind == nil || depth >= maxDepth {
		return ""
	}
	namespace := ref.Namespace
	if namespace == "" {
		namespace = namespaceOf(object)
	}
	if !kind.Namespaced {
		namespace = ""
	}
	found := r.Lookup(kind.Group, kind.Resource, namespace, ref.Target)
	if found == nil {
		return ""
	}
	return e.thereOf(kind, found, r, func(*flow.Field) bool { return true }, depth+1)
}

// placeOf is the place that owns what a reference names, or "" if nobody does.
func (e *Evaluator) placeOf(ref *flow.Reference) string {
	keys := []string{e.key(ref)}
	text := address.Short(ref.Text) // as the policies
	switch ref.Field.Form {
	case flow.Encoded:
		plain, err := base64.StdEncoding.DecodeString(ref.Text)
		if err != nil {
			return ""
		}
		text = address.Lower(string(plain))
		fallthrough
	case flow.Text:
		keys = nil
		for _, token := range address.Tokens(text) {
			keys = append(keys, address.TokenKey(token))
		}
	}
	for _, key := range keys {
		if m, _ := e.book.Owner(key, e.spec.Cluster.Datacenter); m.Place != "" {
			return m.Place
		}
	}
	return ""
}
