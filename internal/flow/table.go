// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"slices"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

// Direction is the way data moves between an object and an address that it holds.
type Direction = skottv1.Direction

// The directions.
const (
	// From: the object reads data from the address.
	From Direction = "From"
	// To: the object writes data to the address.
	To Direction = "To"
	// Names: the object mentions the address; it counts as both, unless the kind is passive.
	Names Direction = "Names"
)

// End marks a field of an object that names both ends of a movement itself.
type End = skottv1.End

// The ends. A field that is no end has "".
const (
	Source      End = "Source"
	Destination End = "Destination"
)

// Form says how the text at a path becomes an address.
type Form = skottv1.Form

// The forms, with the meaning of Field.With for each.
const (
	// Text is free text, a URL or a host name: every token of it is an address.
	Text Form = "Text"
	// Bucket is the name of a bucket. With: endpoint, prefix, provider. Const is the store
	// that it is in without an endpoint.
	Bucket Form = "Bucket"
	// Object is a URL such as s3://bucket/path. With: endpoint, suffix, and what stands
	// for the suffix when it is absent.
	Object Form = "Object"
	// Join puts Const, With[0], the text and With[1] together, with "/". All that are
	// named must be there.
	Join Form = "Join"
	// Image is a container image.
	Image Form = "Image"
	// Git is a repository. With: path in it.
	Git Form = "Git"
	// Store is the server of a secret store. With: path in it.
	Store Form = "Store"
	// Endpoint is the host of an API server. With: port.
	Endpoint Form = "Endpoint"
	// Cluster is the name of a Cluster API Cluster. With: namespace.
	Cluster Form = "Cluster"
	// IP is one IP address, or a host name.
	IP Form = "IP"
	// Alias is a spelling that the book knows by heart. Const is put in front of it.
	Alias Form = "Alias"
	// Encoded is base64 of free text.
	Encoded Form = "Encoded"
	// Link is the name of another object, whose own references count. With: namespace, and
	// kind: where an object says which kind it means, another one is not looked for. With
	// name, that is the name, and the text stands below the repository or the secret store
	// that the other object names; prefix is put in front of it. Where there is something at
	// unless, that decides and the row says nothing. It is written Reference in a
	// MovementKind.
	Link Form = "Reference"
	// Payload is a whole object, or text that holds some.
	Payload Form = "Payload"

	// inNamespace is Join with the constant "namespace".
	inNamespace Form = "Namespace"
)

// Namespace is the type of a reference to another namespace of the same cluster. It is no
// type of address that anybody declares: the Guard of a cluster holds its namespaces.
const Namespace address.Type = "Namespace"

// Family groups kinds under one admission policy: one of those below, for kinds that every
// cluster has, or the API group of the kinds.
type Family string

// The families that every cluster has.
const (
	Storage  Family = "storage"
	Network  Family = "network"
	Workload Family = "workload"
	Config   Family = "config"
	Delivery Family = "delivery"
	Clusters Family = "cluster"
)

// families of groups whose policies are everywhere; kinds of the core group are named.
var families = map[string]Family{
	"apps": Workload, "batch": Workload, "networking.k8s.io": Network, "discovery.k8s.io": Network,
	"storage.k8s.io": Storage, clusterGroup: Clusters,
	"/pods": Workload, "/podtemplates": Workload, "/replicationcontrollers": Workload,
	"/services": Network, "/endpoints": Network,
	"/configmaps": Config, "/secrets": Delivery, "/serviceaccounts": Delivery,
	"/persistentvolumes": Storage, "/persistentvolumeclaims": Storage,
}

const clusterGroup = "cluster.x-k8s.io"

// familyOf is the family of a kind.
func familyOf(group, resource string) Family {
	if group == "" {
		if f, ok := families["/"+resource]; ok {
			return f
		}
		return Network
	}
	if f, ok := families[group]; ok {
		return f
	}
	return Family(group)
}

// Everywhere reports whether the kinds of a family are served by every cluster.
func (f Family) Everywhere() bool {
	return slices.Contains([]Family{Storage, Network, Workload, Config, Delivery, Clusters}, f)
}

// Field is one row: a place in an object that names an address. Its path is described in
// the API type MovementField.
type Field struct {
	Path      string
	Form      Form
	Type      address.Type
	Direction Direction
	// With are the paths of what belongs to the text, in the order of the form.
	With  []string
	Const string
	// To is the resource that a Link names.
	To  skottv1.MovementTarget
	End End
	// CreateOnly: only a new object is judged by this field, because the address is also
	// that of the object itself.
	CreateOnly bool
	// Learn: the address belongs to the Environment that the object is in.
	Learn bool
	// Passive: the kind only keeps what it names, so that Names counts as From.
	Passive bool
	// Pod: the field stands in a pod spec, where an endpoint and a bucket may stand apart.
	Pod bool

	steps []Step
	with  [][]Step
}

// maxWalks is how many lists and maps on its way a policy can follow.
const maxWalks = 2

// InPolicy reports whether the compiled policies read the field. The others are read by
// Evaluate alone.
func (f *Field) InPolicy() bool {
	switch f.Form {
	case Encoded, Link, Payload:
		return false
	}
	return walks(f.steps) <= maxWalks
}

// Kind is a movement kind: a resource whose objects move data, with the fields that say
// where from and where to. It must not be changed.
type Kind struct {
	Group, Resource, Kind string
	// Versions known, the preferred one first.
	Versions []string
	// Namespaced reports whether objects of the kind live in namespaces.
	Namespaced bool
	Family     Family
	// Subresources through which the same object is written.
	Subresources []string
	// Root is where the paths of Fields start, dotted, without lists; "" is the object.
	// Kinds of one family that differ in Root alone share one Rows.
	Root string
	// Rows names the set of Fields: kinds with the same name have the same fields.
	Rows   string
	Fields []Field
	// PodSpecs are the paths of the pod specs in it.
	PodSpecs []string
	// Channel is the subresource through which alone requests of the kind come, if they store
	// no object.
	Channel string
	// Hidden says what objects of the kind do not show.
	Hidden string

	root []Step
}

// Version is the preferred version, or "v1" if none is known.
func (k *Kind) Version() string {
	if len(k.Versions) == 0 {
		return "v1"
	}
	return k.Versions[0]
}

// Moves reports whether a write through a subresource ("" for none) can move data.
func (k *Kind) Moves(subresource string) bool {
	if k.Channel != "" {
		return subresource == k.Channel
	}
	return subresource == "" || slices.Contains(k.Subresources, subresource)
}

// Delivers reports whether objects of the kind say where they deliver to.
func (k *Kind) Delivers() bool {
	return slices.ContainsFunc(k.Fields, func(f Field) bool { return f.End == Destination })
}

// InPolicy reports whether the compiled policies read any field of the kind. API servers show
// policies and their bindings to no policy; configurations of webhooks they do.
func (k *Kind) InPolicy() bool {
	hidden := k.Group == "admissionregistration.k8s.io" && strings.Contains(k.Resource, "admissionpolic")
	return !hidden && slices.ContainsFunc(k.Fields, func(f Field) bool { return f.InPolicy() })
}

// Steps are the parsed Root.
func (k *Kind) Steps() []Step { return k.root }

// Table is a set of movement kinds. It is immutable and safe for concurrent use.
type Table struct {
	kinds  []*Kind
	index  map[[2]string]*Kind // by group and resource
	byKind map[[2]string]*Kind // by group and kind
	specs  map[[2]string]*skottv1.MovementKindSpec
}

// Kinds is the table in a fixed order: those of the project, then those of users. It must
// not be changed.
func (t *Table) Kinds() []*Kind { return t.kinds }

// Lookup finds the kind of a resource, or nil if it moves nothing.
func (t *Table) Lookup(group, resource string) *Kind { return t.index[[2]string{group, resource}] }

// OfKind finds a kind by its name, or nil if it moves nothing.
func (t *Table) OfKind(group, kind string) *Kind { return t.byKind[[2]string{group, kind}] }
