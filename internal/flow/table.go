// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
)

// Direction is the way data moves between an object and an address that it holds.
type Direction string

// The directions.
const (
	// From: the object reads data from the address.
	From Direction = "From"
	// To: the object writes data to the address.
	To Direction = "To"
	// Names: the object mentions the address; it counts as both.
	Names Direction = "Names"
)

// End marks a field of an object that names both ends of a movement itself.
type End string

// The ends. A field that is no end has "".
const (
	Source      End = "Source"
	Destination End = "Destination"
)

// Form says how the text at a path becomes an address.
type Form int

// The forms, with the meaning of Field.With for each.
const (
	// Text is free text, a URL or a host name: every token of it is an address.
	Text Form = iota
	// Bucket is the name of a bucket. With: endpoint, prefix, provider.
	Bucket
	// Object is a URL such as s3://bucket/path. With: endpoint, suffix, and what stands
	// for the suffix when it is absent.
	Object
	// Join puts Const, With[0], the text and With[1] together, with "/". All that are
	// named must be there.
	Join
	// Image is a container image.
	Image
	// Git is a repository. With: path in it.
	Git
	// Store is the server of a secret store. With: path in it.
	Store
	// Endpoint is the host of an API server. With: port.
	Endpoint
	// Cluster is the name of a Cluster API Cluster. With: namespace.
	Cluster
	// IP is one IP address, or a host name.
	IP
	// Alias is a spelling that the book knows by heart. Const is put in front of it.
	Alias
)

// Namespace is the type of a reference to another namespace of the same cluster. It is no
// type of address that anybody declares: the Guard of a cluster holds its namespaces.
const Namespace address.Type = "Namespace"

// Family groups kinds under one admission policy.
type Family string

// The families.
const (
	Storage  Family = "storage"
	Network  Family = "network"
	Workload Family = "workload"
	Config   Family = "config"
	Delivery Family = "delivery"
	Clusters Family = "cluster"
)

// Field is one row: a place in an object that names an address.
//
// Path is dotted. A step "list[name]" walks a list and tells its elements by their field
// "name", "list[*]" walks one whose elements have no name, "map{*}" walks the values of a
// map. Keys with dots stand in braces: "annotations{example.com/x}".
type Field struct {
	Path      string
	Form      Form
	Type      address.Type
	Direction Direction
	With      []string
	Const     string
	End       End
	// CreateOnly: only a new object is judged by this field, because the address is also
	// that of the object itself.
	CreateOnly bool

	steps []Step
	with  [][]Step
}

// Kind is a movement kind: a resource whose objects move data, with the fields that say
// where from and where to.
type Kind struct {
	Group, Version, Resource, Kind string
	Family                         Family
	// Subresources through which the same object is written.
	Subresources []string
	// Root is where the paths of Fields start, dotted, without lists; "" is the object.
	// Kinds of one family that differ in Root alone share one Rows.
	Root string
	// Rows names the set of Fields: kinds with the same name have the same fields.
	Rows   string
	Fields []Field

	root []Step
}

// Moves reports whether a write through a subresource ("" for none) can move data.
func (k *Kind) Moves(subresource string) bool {
	return subresource == "" || slices.Contains(k.Subresources, subresource)
}

// Delivers reports whether objects of the kind say where they deliver to.
func (k *Kind) Delivers() bool {
	for i := range k.Fields {
		if k.Fields[i].End == Destination {
			return true
		}
	}
	return false
}

// Steps are the parsed Root.
func (k *Kind) Steps() []Step { return k.root }

// Step is one step of a parsed path.
type Step struct {
	// Name of the field.
	Name string
	// List: the field is a list, and the path goes through its elements, told by their
	// field Key ("*": by nothing).
	List bool
	Key  string
	// Map: the path goes through the values of the map.
	Map bool
}

// Steps is the parsed path of the field.
func (f *Field) Steps() []Step { return f.steps }

// WithSteps is the parsed path of With[i], nil where there is none, and whether it starts
// at the innermost list element of the field's own path rather than at the object.
func (f *Field) WithSteps(i int) (steps []Step, relative bool) {
	if i >= len(f.with) || len(f.with[i]) == 0 {
		return nil, false
	}
	n := innermost(f.steps)
	w := f.with[i]
	if n == 0 || len(w) < n || !slices.Equal(w[:n], f.steps[:n]) {
		return w, false
	}
	return w[n:], true
}

// innermost is the number of steps up to and including the last list.
func innermost(steps []Step) int {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].List {
			return i + 1
		}
	}
	return 0
}

// kinds is the table, parsed once.
var kinds = build(storageKinds, networkKinds, workloadKinds(), configKinds, deliveryKinds, clusterKinds)

// Kinds is the table of movement kinds, in a fixed order. It must not be changed.
func Kinds() []*Kind { return kinds }

// Lookup finds the kind of a resource, or nil if it moves nothing.
func Lookup(group, resource string) *Kind {
	for _, k := range kinds {
		if k.Resource == resource && k.Group == group {
			return k
		}
	}
	return nil
}

func build(families ...[]Kind) []*Kind {
	var out []*Kind
	for _, family := range families {
		for i := range family {
			k := &family[i]
			if k.Rows == "" {
				k.Rows = k.Resource
			}
			if k.Root != "" {
				k.root = mustParse(k.Root)
			}
			for j := range k.Fields {
				f := &k.Fields[j]
				f.steps = mustParse(f.Path)
				for _, w := range f.With {
					f.with = append(f.with, mustParse(w))
				}
			}
			out = append(out, k)
		}
	}
	return out
}

func mustParse(path string) []Step {
	steps, err := parsePath(path)
	if err != nil {
		panic(err) // the table is part of the program, and a test parses it
	}
	return steps
}

// parsePath parses a path of the table; the error names the position.
func parsePath(path string) ([]Step, error) {
	var steps []Step
	for i := 0; i < len(path); {
		end := strings.IndexAny(path[i:], ".[{")
		if end < 0 {
			end = len(path) - i
		}
		s := Step{Name: path[i : i+end]}
		i += end
		if s.Name == "" {
			return nil, fmt.Errorf("path %q: empty step at %d", path, i)
		}
		if i < len(path) && path[i] != '.' {
			closing := map[byte]string{'[': "]", '{': "}"}[path[i]]
			stop := strings.Index(path[i:], closing)
			if stop < 0 {
				return nil, fmt.Errorf("path %q: no %q after %d", path, closing, i)
			}
			inner := path[i+1 : i+stop]
			switch {
			case path[i] == '[':
				s.List, s.Key = true, inner
			case inner == "*":
				s.Map = true
			default:
				steps = append(steps, s)
				s = Step{Name: inner}
			}
			i += stop + 1
		}
		steps = append(steps, s)
		if i < len(path) {
			if path[i] != '.' {
				return nil, fmt.Errorf("path %q: expected \".\" at %d", path, i)
			}
			i++
		}
	}
	return steps, nil
}
