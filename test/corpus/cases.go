// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// maker makes the objects of one row.
type maker struct {
	*generator
	kind    *flow.Kind
	field   *flow.Field
	version string
	schema  *Schema
	base    *base
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
	} else if !m.readElsewhere() {
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

// readElsewhere reports whether another row reads what this one reads, in another direction.
func (m *maker) readElsewhere() bool {
	own := m.field.Steps()
	return slices.ContainsFunc(m.kind.Fields, func(f flow.Field) bool {
		steps := f.Steps()
		return f.Direction != flow.To && len(steps) <= len(own) && slices.EqualFunc(steps, own[:len(steps)], func(a, b flow.Step) bool { return a.Name == b.Name || a.Map && b.Map })
	})
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
			m.addWant("production's to staging", "ops", both, carried.code(way, source))
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
	in := func(in, text string) *plan {
		return &plan{namespace: in, values: []value{{at, text}}, unseen: !m.field.InPolicy()}
	}
	if _, ok := m.planter().pick(at, own); !ok {
		m.gap(errNoText.Error())
		return
	}
	crossing := false
	if m.field.Direction != flow.To && m.kind.Namespaced {
		way := wayOf(m.field)
		m.add("production's in a namespace of staging", "production", in(other, own), way)
		crossing = true
	}
	if (m.field.Direction == flow.To || m.field.Direction == flow.Names && !m.field.Passive) && m.field.End == "" {
		m.add("staging's in production", "production", in(own, other), "2")
		crossing = true
	}
	if !crossing {
		m.gap("objects of the kind are in no namespace of their own, and only read from others")
	}
	m.add("its own", "production", in(own, own), "")
	m.add("staging to staging", "staging", in(own, own), "")
	m.shapes(in(own, own))
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
		want = p.code(way, m.field)
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
	if p.unseen || !m.kind.InPolicy() {
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

// numbers are the last digits of codes, as docs/denials.md lists them.
var numbers = map[address.Type]string{
	address.Host: "01", address.Bucket: "02", address.CIDR: "03", address.Volume: "04", address.Snapshot: "05",
	address.ClusterEndpoint: "06", address.Registry: "07", address.Git: "08", address.SecretPath: "09",
	address.Project: "10", address.Credential: "11", flow.Namespace: "12",
}

// code of a crossing through a row that a plan plants in.
func (out *plan) code(way string, f *flow.Field) policy.Code {
	if out.inner != nil {
		f = out.inner
		if way == "1" {
			way = wayOf(f)
		}
	}
	return code(way, f.Type)
}

func code(way string, t address.Type) policy.Code { return policy.Code("SKOTT-D" + way + numbers[t]) }
