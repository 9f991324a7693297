// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// Generated is a case made from one row of the table of movement kinds.
type Generated struct {
	Case
	// Kind and Field are the row.
	Kind  *flow.Kind
	Field *flow.Field
	// Crosses: the object crosses through the row, and Want is the code of that. Otherwise
	// nothing may refuse it.
	Crosses bool
	Want    policy.Code
	// Misshapen objects need not satisfy a schema; what matters is that no reader fails.
	Misshapen bool
	// Linked are the objects that this one leads to.
	Linked []Linked
}

// Gap is a row that no crossing object could be made for, and why.
type Gap struct {
	Kind   *flow.Kind
	Field  *flow.Field
	Reason string
}

// World is a table of movement kinds with an object for each of its rows, and a platform
// that owns what they name.
type World struct {
	Platform *Platform
	Cases    []*Generated
	Gaps     []Gap
}

// base is what objects of a kind must hold that no schema says.
type base struct {
	Group  string         `json:"group"`
	Kind   string         `json:"kind"`
	Object map[string]any `json:"object,omitempty"`
	// Fields are what an object must hold to have a field, by the path of that.
	Fields map[string]map[string]any `json:"fields,omitempty"`
	// Texts are the spelling that a field takes, by path, with HOST, IP and OWNER in it.
	Texts map[string]string `json:"texts,omitempty"`
	// Never says which fields the CRD that tests can have does not hold, by path, and why.
	Never map[string]string `json:"never,omitempty"`
}

// SchemaSource finds the schemas of a resource, by version; none if they are not known.
type SchemaSource func(group, resource string) map[string]*Schema

type generator struct {
	table   *flow.Table
	schemas SchemaSource
	bases   map[string]*base
	world   *World
	owned   map[owner]map[skottv1.Address]bool
}

// Generate makes objects for every row of a table: some that cross, and some that are
// permitted though they look alike. The same table and schemas make the same objects.
func Generate(t *flow.Table, schemas SchemaSource) (*World, error) {
	platform, err := ReadPlatform()
	if err != nil {
		return nil, err
	}
	bases, err := readBases()
	if err != nil {
		return nil, err
	}
	g := &generator{table: t, schemas: schemas, bases: bases, world: &World{Platform: platform}, owned: map[owner]map[skottv1.Address]bool{}}
	for _, o := range []owner{production, staging} {
		g.owned[o] = map[skottv1.Address]bool{}
		for _, a := range o.owned() {
			if _, err := address.Parse(address.Type(a.Type), a.Value); err == nil { // not every provider is known
				g.owned[o][a] = true
			}
		}
	}
	for _, k := range t.Kinds() {
		for i := range k.Fields {
			g.row(k, &k.Fields[i])
		}
	}
	for _, o := range []owner{production, staging} {
		environment := map[owner]string{production: "production", staging: "staging"}[o]
		l := skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: "generated-" + environment}, Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: environment}}}
		l.Spec.Addresses = slices.SortedFunc(maps.Keys(g.owned[o]), func(a, b skottv1.Address) int { return strings.Compare(a.Value+string(a.Type), b.Value+string(b.Type)) })
		platform.Snapshot.Locations = append(platform.Snapshot.Locations, l)
	}
	return g.world, nil
}

func readBases() (map[string]*base, error) {
	content, err := files.ReadFile("bases.yaml")
	if err != nil {
		return nil, err
	}
	var list []*base
	if err := yaml.UnmarshalStrict(content, &list); err != nil {
		return nil, fmt.Errorf("bases.yaml: %w", err)
	}
	out := map[string]*base{}
	for _, b := range list {
		if err := normalise(&b.Object); err != nil {
			return nil, err
		}
		for path, object := range b.Fields {
			if err := normalise(&object); err != nil {
				return nil, err
			}
			b.Fields[path] = object
		}
		out[b.Group+"/"+b.Kind] = b
	}
	return out, nil
}

// version chooses the version that an object of a row is sent in: the first of the table
// that is served and has the field.
func (g *generator) version(k *flow.Kind, f *flow.Field) (string, *Schema) {
	if g.schemas == nil {
		return k.Version(), nil
	}
	schemas := g.schemas(k.Group, k.Resource)
	if len(schemas) == 0 {
		return k.Version(), nil
	}
	versions := slices.DeleteFunc(slices.Clone(k.Versions), func(v string) bool { return schemas[v] == nil })
	for _, v := range slices.Backward(slices.Sorted(maps.Keys(schemas))) {
		if !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	for _, v := range versions {
		if _, err := schemas[v].Resolve(slices.Concat(k.Steps(), f.Steps())); err == nil {
			return v, schemas[v]
		}
	}
	return versions[0], schemas[versions[0]]
}

// row adds the cases of one row.
func (g *generator) row(k *flow.Kind, f *flow.Field) {
	m := &maker{generator: g, kind: k, field: f, base: g.bases[k.Group+"/"+k.Kind]}
	m.version, m.schema = g.version(k, f)
	if m.base == nil {
		m.base = &base{}
	}
	path := m.fullPath()
	if reason := m.base.Never[path]; reason != "" && m.schema != nil {
		m.gap(reason)
		return
	}
	if strings.HasPrefix(path, "status.") && !k.Moves("status") {
		m.gap("in the status, only learned from: the kind names no subresource that writes it")
		return
	}
	if m.schema != nil {
		if _, err := m.schema.Resolve(slices.Concat(k.Steps(), f.Steps())); err != nil {
			m.gap("not in the schema: " + err.Error())
			return
		}
	}
	if strings.Contains(path, "ephemeralContainers[") && (k.Group != "" || k.Resource != "pods") {
		m.gap("ephemeral containers are of Pods only")
		return
	}
	switch {
	case f.End == flow.Destination:
		m.destination()
	case f.Type == flow.Namespace:
		m.namespaces()
	default:
		m.plain()
	}
}

// Request is what the case asks of an API server.
func (g *Generated) Request() *policy.Request {
	meta, _ := g.Object["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	r := &policy.Request{
		Operation: "CREATE", Group: g.Kind.Group, Resource: g.Kind.Resource, Subresource: g.Subresource,
		Namespace: namespace, User: "admin", Object: g.Object, Lookup: g.lookup,
	}
	if namespace == "preview" {
		r.NamespaceLabels = map[string]string{skottv1.LabelEnvironment: "staging"}
	}
	if g.OldObject != nil {
		r.Operation, r.OldObject = "UPDATE", g.OldObject
	}
	return r
}

func (g *Generated) lookup(group, resource, _, name string) map[string]any {
	for _, l := range g.Linked {
		if l.Group == group && l.Resource == resource && l.Name == name {
			return l.Object
		}
	}
	return nil
}
