// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// Request is what is asked of an API server, as far as a decision needs it.
type Request struct {
	// Operation: CREATE, UPDATE or DELETE.
	Operation string
	// Group and Resource that the request names, and its subresource if any.
	Group, Resource, Subresource string
	// Namespace of the object, and its labels; empty for cluster-scoped objects.
	Namespace       string
	NamespaceLabels map[string]string
	// User name of the requester.
	User string
	// DryRun: nothing of the request will be stored.
	DryRun bool
	// Object as decoded JSON, and OldObject for UPDATE and DELETE.
	Object, OldObject map[string]any
	// Raw is the JSON of the object as it was sent; what no field of the table reads is
	// searched in it. Nil is not searched.
	Raw []byte
	// Lookup finds another object of the same cluster, or none. Without it, references to
	// other objects lead nowhere.
	Lookup func(group, resource, namespace, name string) map[string]any
}

// Decision is the answer to a Request.
type Decision struct {
	// Allowed: nothing forbids the request.
	Allowed bool
	// Violations of boundaries, in the order of the table, those in free text last.
	Violations []Violation
	// Codes of the reasons, in the order of Violations.
	Codes []Code
	// Message for the requester; empty if allowed.
	Message string
}

// place is where an object is.
type place struct {
	environment string
	subject     string // how a message speaks of it
}

// Evaluator decides by the Guard of one action. It is immutable and safe for concurrent use.
type Evaluator struct {
	spec   *skottv1.GuardSpec
	book   *address.Book
	table  *flow.Table
	finder *finder
	// policies: only what the compiled policies read is read.
	policies bool
	// fingerprints makes those of credentials; nil: none is looked for.
	fingerprints *address.Key
}

// NewEvaluator reads a Guard, all parts of it if it is split; at least one. They must not be
// changed afterwards. Kinds of users that the Guard carries and that are invalid are left out.
func NewEvaluator(parts ...*skottv1.Guard) *Evaluator {
	e := &Evaluator{table: flow.Builtin(), finder: &finder{}}
	e.spec, e.book = merged(parts)
	if kinds := e.spec.MovementKinds; len(kinds) > 0 {
		e.table, _ = e.table.Merge(kinds)
	}
	return e
}

// OfPolicies sees no more fields than the compiled policies read.
func (e *Evaluator) OfPolicies() *Evaluator {
	out := *e
	out.policies = true
	return &out
}

// WithKey sees the credentials in Secrets too.
func (e *Evaluator) WithKey(key *address.Key) *Evaluator {
	out := *e
	out.fingerprints = key
	return &out
}

// Table of the movement kinds that the Evaluator knows.
func (e *Evaluator) Table() *flow.Table { return e.table }

// Evaluate decides a request. It sees what the compiled policies see, and beyond their
// bounds on size.
func (e *Evaluator) Evaluate(r *Request) Decision {
	if d, refused := e.protect(r); refused {
		return d
	}
	if r.Operation == "DELETE" || ending(r) {
		return Decision{Allowed: true}
	}
	here := e.here(r)
	violations := e.crossings(r, here)
	if len(violations) == 0 {
		return Decision{Allowed: true}
	}
	d := Decision{Violations: violations, Message: crossingMessage(violations, here)}
	for _, v := range violations {
		d.Codes = append(d.Codes, v.Code)
	}
	return d
}

// kind is the movement kind of a request, or nil. The canary of an API group is one, whatever
// else a ControllerRevision is.
func (e *Evaluator) kind(r *Request) *flow.Kind {
	if r.Group == canaryGroup && r.Resource == canaryKind.Resource {
		if meta, _ := r.Object["metadata"].(map[string]any); strings.HasPrefix(stringIn(meta, "name"), canaryName("")) {
			return canaryKind
		}
	}
	if k := flow.Channel(r.Group, r.Resource, r.Subresource); k != nil {
		return k
	}
	if r.Group == "apiextensions.k8s.io" && r.Resource == "customresourcedefinitions" && requestName(r) == GuardCRD {
		return nil // see unread
	}
	return e.table.Lookup(r.Group, r.Resource)
}

// ending reports whether the request only takes an object that is being deleted a step
// further, such as the removal of a finalizer. To refuse that would keep the crossing.
func ending(r *Request) bool {
	meta, _ := r.Object["metadata"].(map[string]any)
	if meta["deletionTimestamp"] == nil || r.OldObject == nil {
		return false
	}
	for _, field := range contents {
		if !equal(r.Object[field], r.OldObject[field]) {
			return false
		}
	}
	return true
}

// here is the place of the request: the cluster, or its namespace when that is of an
// Environment of its own and not above the cluster.
func (e *Evaluator) here(r *Request) place {
	if claim := r.NamespaceLabels[skottv1.LabelEnvironment]; e.mayClaim(claim) {
		return place{environment: claim, subject: `namespace "` + r.Namespace + `"`}
	}
	return place{environment: e.spec.Cluster.Environment, subject: `cluster "` + e.spec.Cluster.Name + `"`}
}

// mayClaim reports whether a namespace of this cluster may be of Environment claim.
func (e *Evaluator) mayClaim(claim string) bool {
	return claim != "" && (claim == e.spec.Cluster.Environment || e.spec.Environments[claim] == skottv1.ClassNonProduction)
}

// crossings are the references of an object that a boundary forbids.
func (e *Evaluator) crossings(r *Request, here place) []Violation {
	there := here.environment
	if kind := e.kind(r); kind != nil && kind.Moves(r.Subresource) {
		read := e.reading(kind, r, here)
		there = read.there
		read.object(kind, r.Object, r.Namespace, 0)
		if len(read.exact)+len(read.free) > 0 {
			return append(read.exact, read.free...) // as the policies, which read text only if it may matter
		}
	}
	return e.anywhere(r, here, there)
}

// key is the canonical address of a reference that is no free text.
func (e *Evaluator) key(ref *flow.Reference) string {
	if ref.Field.Form == flow.Alias {
		return e.book.Aliases[ref.Text]
	}
	return ref.Key
}

// contents are the fields that hold what an object says.
var contents = []string{"spec", "data", "stringData", "binaryData", "subsets", "endpoints", "template", "operation"}

// equal compares decoded JSON.
func equal(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, there := y[k]; !there || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

// ownLabel reports whether one of Skott's labels is meant.
func ownLabel(key string) bool { return strings.HasPrefix(key, "skott.dev/") }
