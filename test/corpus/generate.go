// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
	// Texts are the spelling that a field takes, by path, with HOST and OWNER in it.
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

// maker makes the objects of one row.
type maker struct {
	*generator
	kind    *flow.Kind
	field   *flow.Field
	version string
	schema  *Schema
	base    *base
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
		m.gap("in the status, which is written through a subresource that the kind does not name")
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

func (m *maker) fullPath() string {
	if m.kind.Root != "" {
		return m.kind.Root + "." + m.field.Path
	}
	return m.field.Path
}

func (m *maker) gap(reason string) {
	m.world.Gaps = append(m.world.Gaps, Gap{m.kind, m.field, reason})
}

func (m *maker) planter() *planter {
	return &planter{table: m.table, kind: m.kind, schema: m.schema, hints: m.base.Texts}
}

// plan plants an address of an owner and declares it.
func (m *maker) plan(f *flow.Field, o owner) (*plan, error) {
	made, err := m.planter().plant(f, o)
	if err == nil && o != nobody {
		for _, a := range made.declared {
			m.owned[o][a] = true
		}
	}
	return made, err
}

// plain adds the cases of a row that names an address outside of the cluster.
func (m *maker) plain() {
	f := m.field
	pulls := f.Direction != flow.To
	pushes := f.Direction == flow.To || f.Direction == flow.Names && !f.Passive && f.Form != flow.Link && f.Form != flow.Payload
	if f.End == flow.Source && !pulls {
		m.gap("a source that nothing is read from")
		return
	}
	plans := map[owner]*plan{}
	for _, o := range []owner{production, staging, nobody} {
		made, err := m.plan(f, o)
		if err != nil {
			m.gap(err.Error())
			return
		}
		plans[o] = made
	}
	way := wayOf(f)
	if pulls {
		m.add("production's in staging", "staging", plans[production], way)
	} else {
		m.add("production's in staging, written to", "staging", plans[production], "")
	}
	m.add("staging's own", "staging", plans[staging], "")
	m.add("nobody's", "staging", plans[nobody], "")
	m.add("production to production", "production", plans[production], "")
	if pushes && f.End == "" {
		m.add("staging's in production", "production", plans[staging], "2")
	}
	if f.End == flow.Source {
		m.delivered(plans, way)
	}
	m.shapes(plans[production])
}

// wayOf is the way of a pull through a field, in codes: what is carried from one end to the
// other is 3, unless it is what another object says.
func wayOf(f *flow.Field) string {
	if f.End == flow.Source && f.Form != flow.Link && f.Form != flow.Payload {
		return "3"
	}
	return "1"
}

// delivered adds the cases of a source whose object says where it delivers to: the Ops
// Cluster may deliver to staging what is staging's, and to production everything.
func (m *maker) delivered(plans map[owner]*plan, way string) {
	to := m.destinations()
	if to == nil {
		return
	}
	m.add("production's delivered to staging", "ops", plans[production].and(to[staging]), way)
	m.add("production's delivered to production", "ops", plans[production].and(to[production]), "")
	m.add("staging's delivered to staging", "ops", plans[staging].and(to[staging]), "")
}

// destinations are plans for the first field that says where objects of the kind deliver to,
// of those that policies read if there is one.
func (m *maker) destinations() map[owner]*plan {
	var best map[owner]*plan
	for i := range m.kind.Fields {
		f := &m.kind.Fields[i]
		if f.End != flow.Destination || best != nil && !f.InPolicy() {
			continue
		}
		to := map[owner]*plan{}
		for _, o := range []owner{production, staging} {
			if made, err := m.plan(f, o); err == nil {
				to[o] = made
			}
		}
		if len(to) < 2 {
			continue
		}
		if f.InPolicy() {
			return to
		}
		best = to
	}
	return best
}

// destination adds the cases of a row that says where an object delivers to: the Ops
// Cluster, which may read production, delivers it.
func (m *maker) destination() {
	var source *flow.Field
	for i := range m.kind.Fields {
		f := &m.kind.Fields[i]
		if f.Direction == flow.To || f.Type == flow.Namespace || f.End == flow.Destination {
			continue
		}
		if source == nil || rank(f) > rank(source) {
			source = f
		}
	}
	if source == nil {
		m.gap("a destination of a kind without a source")
		return
	}
	carried, err := m.plan(source, production)
	if err != nil {
		m.gap("its source: " + err.Error())
		return
	}
	way := wayOf(source)
	for _, o := range []owner{production, staging} {
		made, err := m.plan(m.field, o)
		if err != nil {
			m.gap(err.Error())
			return
		}
		both := carried.and(made)
		if o == staging {
			want := code(way, source.Type)
			if carried.typ != "" {
				want = code(way, carried.typ)
			}
			m.addWant("production's to staging", "ops", both, want)
		} else {
			m.add("production's to production", "ops", both, "")
		}
	}
}

// rank prefers what is carried, and what the policies read.
func rank(f *flow.Field) int {
	n := 0
	if f.InPolicy() {
		n += 2
	}
	if f.End == flow.Source {
		n++
	}
	return n
}

// namespaces adds the cases of a row that names another namespace of the same cluster. In
// the production cluster, one namespace is of staging.
func (m *maker) namespaces() {
	const own, other = "default", "preview"
	at := slices.Concat(m.kind.Steps(), m.field.Steps())
	make := func(in, text string) *plan {
		return &plan{namespace: in, values: []value{{at, text}}, unseen: !m.field.InPolicy()}
	}
	if _, ok := m.planter().pick(at, own); !ok {
		m.gap(errNoText.Error())
		return
	}
	crossing := false
	if m.field.Direction != flow.To && m.kind.Namespaced {
		way := wayOf(m.field)
		m.add("production's in a namespace of staging", "production", make(other, own), way)
		crossing = true
	}
	if m.field.Direction != flow.From && m.field.End == "" && !m.field.Passive {
		m.add("staging's in production", "production", make(own, other), "2")
		crossing = true
	}
	if !crossing {
		m.gap("objects of the kind are in no namespace, and read only")
	}
	m.add("its own", "production", make(own, own), "")
	m.add("staging to staging", "staging", make(own, own), "")
	m.shapes(make(own, own))
}

// shapes adds objects whose row holds nothing, or something else than a text.
func (m *maker) shapes(p *plan) {
	last := p.values[len(p.values)-1]
	for _, shape := range []struct {
		name  string
		value any
	}{{"null", nil}, {"a number", int64(42)}, {"a map", map[string]any{"a": "b.example"}}, {"a list", []any{"a.example"}}, {"20 KB", strings.Repeat("x", 20<<10)}} {
		if last.steps[len(last.steps)-1].Name == "name" && last.steps[0].Name == "metadata" || m.field.Form == flow.Payload && shape.name != "null" {
			continue
		}
		c := *p
		c.values = append(slices.Clone(p.values[:len(p.values)-1]), value{last.steps, shape.value})
		m.add(shape.name, "staging", &c, "")
		m.world.Cases[len(m.world.Cases)-1].Misshapen = true
	}
	c := *p
	c.values = nil
	m.add("absent", "staging", &c, "")
	m.world.Cases[len(m.world.Cases)-1].Misshapen = true
}

func (m *maker) add(variant, cluster string, p *plan, way string) {
	want := policy.Code("")
	if way != "" {
		want = code(way, m.field.Type)
		if p.typ != "" {
			want = code(way, p.typ)
		}
	}
	m.addWant(variant, cluster, p, want)
}

func (m *maker) addWant(variant, cluster string, p *plan, want policy.Code) {
	c := &Generated{Kind: m.kind, Field: m.field, Crosses: want != "", Want: want, Linked: p.linked}
	c.Name = m.fullPath() + ", " + variant
	c.File = m.kind.Kind + "." + m.kind.Group
	c.Cluster = cluster
	if want != "" {
		c.Expect = []policy.Code{want}
	}
	if p.unseen {
		c.OnlyEvaluate = "the policies do not read " + m.field.Path
	}
	c.Object = m.object(p)
	if first := m.field.Steps()[0].Name; m.kind.Root == "" && first == "status" && m.kind.Moves("status") {
		c.Subresource = "status"
	}
	if strings.HasPrefix(m.fullPath(), "spec.ephemeralContainers[") && m.kind.Moves(ephemeral) {
		c.Subresource = ephemeral
	}
	if c.Subresource != "" {
		c.OldObject = m.object(&plan{namespace: p.namespace})
		rename(c.Object)
		rename(c.OldObject)
	}
	m.world.Cases = append(m.world.Cases, c)
}

// rename gives an object the name of one that is there already.
func rename(object map[string]any) {
	if meta, ok := object["metadata"].(map[string]any); ok {
		meta["name"] = "live"
	}
}

// ephemeral is the subresource that ephemeral containers arrive through.
const ephemeral = "ephemeralcontainers"

// object is the least object of the kind that holds what a plan says.
func (m *maker) object(p *plan) map[string]any {
	meta := map[string]any{"name": "generated"}
	if m.kind.Namespaced {
		meta["namespace"] = "default"
		if p.namespace != "" {
			meta["namespace"] = p.namespace
		}
	}
	var o any = map[string]any{"apiVersion": apiVersion(m.kind, m.version), "kind": m.kind.Kind, "metadata": meta}
	o = merge(o, runtime.DeepCopyJSONValue(map[string]any(m.base.Object)))
	if len(p.values) > 0 {
		o = merge(o, runtime.DeepCopyJSONValue(map[string]any(m.base.Fields[m.fullPath()])))
	}
	object := o.(map[string]any)
	drop(object)
	for _, v := range p.values {
		set(object, v.steps, runtime.DeepCopyJSONValue(v.value))
	}
	for _, path := range m.kind.PodSpecs {
		completePod(object, strings.Split(path, "."))
	}
	m.schema.complete(object, 0)
	return object
}

// completePod adds what every pod spec needs, if there is one at a path without lists.
func completePod(node map[string]any, path []string) {
	for _, name := range path {
		next, ok := node[name].(map[string]any)
		if !ok {
			return
		}
		node = next
	}
	if containers, _ := node["containers"].([]any); len(containers) == 0 {
		node["containers"] = []any{map[string]any{"name": "main"}}
	}
	volumes, _ := node["volumes"].([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if nfs, ok := volume["nfs"].(map[string]any); ok && !has(nfs, "path") {
			nfs["path"] = "/x"
		}
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := node[list].([]any)
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok && !has(container, "image") {
				container["image"] = "registry.invalid/x"
			}
		}
	}
}

func has(m map[string]any, key string) bool {
	_, there := m[key]
	return there
}

// drop removes what bases.yaml sets to null: what the base has and a field must not.
func drop(object map[string]any) {
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
	for _, v := range object {
		if m, ok := v.(map[string]any); ok {
			drop(m)
		}
	}
}

// numbers are the last digits of codes, as docs/denials.md lists them.
var numbers = map[address.Type]string{
	address.Host: "01", address.Bucket: "02", address.CIDR: "03", address.Volume: "04", address.Snapshot: "05",
	address.ClusterEndpoint: "06", address.Registry: "07", address.Git: "08", address.SecretPath: "09",
	address.Project: "10", address.Credential: "11", flow.Namespace: "12",
}

func code(way string, t address.Type) policy.Code { return policy.Code("SKOTT-D" + way + numbers[t]) }

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
