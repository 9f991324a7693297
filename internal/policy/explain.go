// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// Reference is an address that an object names, with what is known of it. It is for whoever
// may read the Guard: other than a Violation it may show what the object does not hold.
type Reference struct {
	// Path of the field.
	Path string
	// Says is what the field does with the address: "reads from bucket".
	Says string
	// Address in canonical form.
	Address string
	// Match is the most specific known address that holds it, "" if there is none.
	Match string
	// Owner of Match: a place, "" if it is shared.
	Owner string
	// Prose: it was found in a text that holds other words too.
	Prose bool
	// Violation, if a boundary forbids the reference here. It has no path.
	Violation *Violation
}

// References are all addresses that the object of a request names, and those that it leads
// to, in the order of the table, whether a boundary forbids them or not.
func (e *Evaluator) References(r *Request) []Reference {
	kind := e.kind(r)
	if kind == nil {
		return nil
	}
	read := e.reading(kind, r, e.here(r))
	var out []Reference
	read.notice = func(ref *flow.Reference, key string, v *Violation) {
		found := Reference{Path: read.outer + ref.Path(), Says: phrase(ref.Field), Address: key, Violation: v}
		if read.via != nil {
			found.Path, found.Says = read.via.path, `leads, through "`+read.via.name+`", to `+nouns[ref.Field.Type]
		}
		found.Prose = ref.Field.Form == flow.Encoded || ref.Field.Form == flow.Text && strings.ContainsAny(strings.TrimSpace(ref.Text), " \t\n")
		m, ok := e.book.Owner(key, e.spec.Cluster.Datacenter)
		if !ok && ref.Field.Type == address.Bucket {
			m, ok = e.book.Parent(key)
		}
		if ok {
			found.Match, found.Owner = m.Address, m.Place
		}
		out = append(out, found)
	}
	read.object(kind, r.Object, r.Namespace, 0)
	return out
}

// destination tells of the end that an object delivers to, which is no crossing by itself.
func (r *reading) destination(ref *flow.Reference) {
	if r.notice == nil {
		return
	}
	if ref.Field.Form != flow.Text {
		if key := r.e.key(ref); key != "" {
			r.notice(ref, key, nil)
		}
		return
	}
	for _, token := range address.Tokens(address.Short(ref.Text)) {
		r.notice(ref, address.TokenKey(token), nil)
	}
}

// Place is the Environment, or the place that is none, that the object of a request is in.
func (e *Evaluator) Place(r *Request) string { return e.here(r).environment }

// WithNamespaces is a Guard of a cluster in which there are these namespaces too, each with
// the Environment that it claims. Those that the Guard knows stay what they are.
func WithNamespaces(g *skottv1.Guard, namespaces map[string]string) *skottv1.Guard {
	all := map[string]string{}
	maps.Copy(all, namespaces)
	maps.Copy(all, g.Spec.Namespaces)
	out := *g
	out.Spec.Namespaces = map[string]string{}
	places := nameNamespaces(&out.Spec, all)
	out.Spec.Addresses = merge(out.Spec.Addresses, places)
	return &out
}
