// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

//go:embed kinds/*.yaml
var files embed.FS

// first is the file that is read before the others: its rows are the ones looked at first.
const first = "kinds/main.yaml"

// Builtin is the table of the project, read once.
func Builtin() *Table { return builtin() }

var builtin = sync.OnceValue(func() *Table {
	specs, err := embedded()
	if err != nil {
		panic(err) // the table is part of the program, and a test reads it
	}
	t, errs := (&Table{}).Merge(specs)
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
	return t
})

// embedded are the documents of the project, in order.
func embedded() ([]skottv1.MovementKindSpec, error) {
	names, err := fs.Glob(files, "kinds/*.yaml")
	if err != nil {
		return nil, err
	}
	names = append([]string{first}, slices.DeleteFunc(names, func(n string) bool { return n == first })...)
	var out []skottv1.MovementKindSpec
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var specs []skottv1.MovementKindSpec
		if err := yaml.UnmarshalStrict(data, &specs); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, specs...)
	}
	return out, nil
}

// Merge is the table with more kinds. A document for a kind that the table has adds to it.
// One that is invalid is left out, and its error, which names the field and the position in
// it, stands in its place among the errors.
func (t *Table) Merge(specs []skottv1.MovementKindSpec) (*Table, []error) {
	out := &Table{
		kinds: slices.Clone(t.kinds), index: map[[2]string]*Kind{}, byKind: map[[2]string]*Kind{},
		specs: map[[2]string]*skottv1.MovementKindSpec{},
	}
	for key, spec := range t.specs {
		out.specs[key] = spec
	}
	errs := make([]error, len(specs))
	for i := range specs {
		key := [2]string{specs[i].Group, specs[i].Resource}
		spec := &specs[i]
		if known := out.specs[key]; known != nil {
			spec = joined(known, spec)
		}
		k, err := newKind(spec)
		if err != nil {
			errs[i] = fmt.Errorf("kind %s of group %q: %w", specs[i].Kind, specs[i].Group, err)
			continue
		}
		if at := slices.IndexFunc(out.kinds, func(o *Kind) bool { return o.Group == k.Group && o.Resource == k.Resource }); at >= 0 {
			out.kinds[at] = k
		} else {
			out.kinds = append(out.kinds, k)
		}
		out.specs[key] = spec
	}
	out.share()
	return out, errs
}

// share gives kinds of one family that have the same fields the same Rows, so that they are
// compiled once, and finds every kind by its names.
func (t *Table) share() {
	rows := map[string]string{}
	for i, k := range t.kinds {
		if k.Root == "" {
			fields := string(k.Family)
			for j := range k.Fields {
				f := k.Fields[j]
				f.steps, f.with = nil, nil // they follow from the paths
				fields += fmt.Sprintf("%+v", f)
			}
			if rows[fields] == "" {
				rows[fields] = k.Resource
			}
			if k.Rows != rows[fields] { // the table that k came from may be in use
				renamed := *k
				renamed.Rows = rows[fields]
				k, t.kinds[i] = &renamed, &renamed
			}
		}
		t.index[[2]string{k.Group, k.Resource}] = k
		t.byKind[[2]string{k.Group, k.Kind}] = k
	}
}

// joined is a document with what another one adds to it.
func joined(known, more *skottv1.MovementKindSpec) *skottv1.MovementKindSpec {
	out := known.DeepCopy()
	out.Versions = union(out.Versions, more.Versions)
	out.Subresources = union(out.Subresources, more.Subresources)
	out.PodSpecs = union(out.PodSpecs, more.PodSpecs)
	for i := range more.Fields {
		f := &more.Fields[i]
		if !slices.ContainsFunc(out.Fields, func(o skottv1.MovementField) bool { return sameField(&o, f) }) {
			out.Fields = append(out.Fields, *f)
		}
	}
	if out.Hidden == "" {
		out.Hidden = more.Hidden
	}
	return out
}

func sameField(a, b *skottv1.MovementField) bool {
	return a.Path == b.Path && a.Form == b.Form && a.Type == b.Type && a.Const == b.Const && (a.To == nil) == (b.To == nil) && (a.To == nil || *a.To == *b.To)
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// newKind reads a document.
func newKind(spec *skottv1.MovementKindSpec) (*Kind, error) {
	k := &Kind{
		Group: spec.Group, Resource: spec.Resource, Kind: spec.Kind, Versions: spec.Versions,
		Namespaced: spec.Scope != "Cluster", Family: familyOf(spec.Group, spec.Resource),
		Subresources: spec.Subresources, Rows: spec.Resource, PodSpecs: spec.PodSpecs, Hidden: spec.Hidden,
	}
	for i := range spec.Fields {
		f, err := newField(&spec.Fields[i])
		if err != nil {
			return nil, fmt.Errorf("fields[%d]: %w", i, err)
		}
		f.Passive = passive(k)
		k.Fields = append(k.Fields, *f)
	}
	for i, path := range spec.PodSpecs {
		steps, err := parsePath(path)
		if err != nil {
			return nil, fmt.Errorf("podSpecs[%d]: %w", i, err)
		}
		if hasOwnName(steps) {
			return nil, fmt.Errorf("podSpecs[%d]: a name in brackets inside braces is for with alone", i)
		}
		if len(spec.PodSpecs) == 1 && len(spec.Fields) == 0 && walks(steps) == 0 {
			k.Root, k.Rows, k.root, path = path, "podSpec", steps, ""
		}
		fields, err := podFields(path)
		if err != nil {
			return nil, fmt.Errorf("podSpecs[%d]: %w", i, err)
		}
		k.Fields = append(k.Fields, fields...)
	}
	return k, nil
}

// passive kinds keep what they name, and move nothing by themselves.
func passive(k *Kind) bool {
	return k.Group == "" && (k.Resource == "configmaps" || k.Resource == "secrets")
}

// companions of a form, in the order of Field.With.
var companions = map[Form][]string{
	Bucket: {"endpoint", "prefix", "provider"}, Object: {"endpoint", "suffix", "otherwise"}, Join: {"before", "after"},
	Git: {"path"}, Store: {"path"}, Endpoint: {"port"}, Cluster: {"namespace"}, Link: {"namespace", "kind", "name", "prefix", "unless"},
}

// types that follow from a form.
var types = map[Form]address.Type{
	Text: address.Host, Encoded: address.Host, Bucket: address.Bucket, Object: address.Bucket, Image: address.Registry,
	Git: address.Git, Store: address.SecretPath, Endpoint: address.ClusterEndpoint, Cluster: address.ClusterEndpoint,
	Alias: address.ClusterEndpoint, IP: address.CIDR, Link: address.Host, Payload: address.Host, inNamespace: Namespace,
}

// newField reads a row.
func newField(spec *skottv1.MovementField) (*Field, error) {
	f := &Field{
		Path: spec.Path, Form: spec.Form, Type: address.Type(spec.Type), Direction: spec.Direction, Const: spec.Const,
		End: spec.End, CreateOnly: spec.CreateOnly, Learn: spec.Learn,
	}
	if f.Form == "" {
		f.Form = Text
	}
	if f.Direction == "" {
		f.Direction = Names
	}
	if f.Type == "" {
		f.Type = types[f.Form]
	}
	switch {
	case f.Type == "" && f.Form == Join:
		return nil, errors.New("type: is required when form is Join")
	case f.Type == "":
		return nil, fmt.Errorf("form: %q is none", f.Form)
	case f.Form == Link && spec.To == nil:
		return nil, errors.New("to: is required when form is Reference")
	case f.Form == inNamespace:
		f.Form, f.Const = Join, "namespace"
	}
	if spec.To != nil {
		f.To = *spec.To
	}
	if err := f.companions(spec.With); err != nil {
		return nil, err
	}
	return f, f.parse()
}

// companions puts the paths of what belongs to the text in order.
func (f *Field) companions(with map[string]string) error {
	names := companions[f.Form]
	for name := range with {
		if !slices.Contains(names, name) {
			return fmt.Errorf("with.%s: is not for form %s, which takes %q", name, f.Form, names)
		}
	}
	for i, name := range names {
		if with[name] != "" {
			f.With = append(f.With, make([]string, i+1-len(f.With))...)
			f.With[i] = with[name]
		}
	}
	return nil
}

// maxNames is how many lists and maps a path may go through.
const maxNames = 8

// parse reads the paths.
func (f *Field) parse() error {
	var err error
	if f.steps, err = parsePath(f.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if walks(f.steps) > maxNames {
		return fmt.Errorf("path: goes through more than %d lists and maps", maxNames)
	}
	if hasOwnName(f.steps) {
		return errors.New("path: a name in brackets inside braces is for with alone")
	}
	for i, w := range f.With {
		steps, err := parsePath(w)
		if err != nil {
			return fmt.Errorf("with.%s: %w", companions[f.Form][i], err)
		}
		f.with = append(f.with, steps)
	}
	for i := range f.With {
		steps, relative := f.WithSteps(i)
		if relative && hasOwnName(steps) {
			return fmt.Errorf("with.%s: a name in brackets is for a map outside of the element", companions[f.Form][i])
		}
		if walks(steps) > 0 {
			return fmt.Errorf("with.%s: goes through a list or a map that %s does not go through", companions[f.Form][i], f.Path)
		}
	}
	return nil
}
