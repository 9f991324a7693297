// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apilabels "k8s.io/apimachinery/pkg/labels"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// Snapshot is everything that decides: what people wrote, and what the fleet observed. It
// must not be changed after it was given to New.
type Snapshot struct {
	Environments []skottv1.Environment
	Boundaries   []skottv1.DataBoundary
	Locations    []skottv1.DataLocation
	Clusters     []Member
	// Rules are the movement kinds in use; nil stands for those of the project alone.
	Rules *Rules
	// Last is a policy that was made before, if any: what it has parsed is not parsed again.
	Last *Policy
}

// Member is a cluster of the fleet, as an address of its Environment.
type Member struct {
	// Place the cluster belongs to.
	Place string
	// Namespace and Name of the Cluster; empty for Management Clusters themselves.
	Namespace, Name string
	// Endpoint of the API server as host:port, if known.
	Endpoint string
}

// Policy is a snapshot made ready for decisions. It is immutable.
type Policy struct {
	classes    map[string]skottv1.Class
	stages     map[string]skottv1.Stage
	customers  map[string][]string
	crossings  map[skottv1.Action]map[string]map[string]string
	entries    []address.Entry
	rejected   []error
	contested  map[string][]string
	selections map[string]Selection
	counts     map[Count]int // keys have no Count
	rules      *Rules
	// parts of the address book, in the order of Guards; computed once for all clusters.
	parts []part
	// parsed are the declared addresses.
	parsed map[skottv1.Address]address.Address
	// made are the Guards that were asked for, by what is in them; prior those of the policy before.
	made  sync.Map
	prior map[string][]*skottv1.Guard
}

// Selection is which Environments a boundary selects, by name, and which it names that do
// not exist: what belongs to those counts as unassigned.
type Selection struct{ From, To, Missing []string }

// New resolves a snapshot.
func New(s Snapshot) *Policy {
	p := &Policy{
		classes: map[string]skottv1.Class{}, stages: map[string]skottv1.Stage{}, customers: map[string][]string{},
		crossings: map[skottv1.Action]map[string]map[string]string{}, contested: map[string][]string{}, selections: map[string]Selection{},
		counts: map[Count]int{}, rules: s.Rules, parsed: map[skottv1.Address]address.Address{},
	}
	if p.rules == nil {
		p.rules = BuiltinRules()
	}
	for i := range s.Environments {
		e := &s.Environments[i]
		p.classes[e.Name], p.stages[e.Name], p.customers[e.Name] = e.EffectiveClass(), e.Spec.Stage, e.Spec.CustomerNamespaces
	}
	p.resolve(s.Boundaries, s.Environments)
	for i := range s.Locations {
		p.declare(&s.Locations[i], s.Last)
	}
	slices.SortFunc(p.rejected, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	p.contend()
	for _, m := range s.Clusters {
		p.addMember(m)
	}
	for i, book := range split(p.entries) {
		p.parts = append(p.parts, s.Last.part(i, book))
	}
	p.prior = s.Last.all()
	return p
}

// all are the Guards that were made of the policy, which may be nil.
func (p *Policy) all() map[string][]*skottv1.Guard {
	out := map[string][]*skottv1.Guard{}
	if p == nil {
		return out
	}
	p.made.Range(func(key, made any) bool {
		name, _ := key.(string)
		if s, ok := made.(*sharedGuards); ok {
			if guards := s.guards.Load(); guards != nil {
				out[name] = *guards
			}
		}
		return true
	})
	return out
}

// part is a book, or the same one of the policy, which may be nil, with what was made of it.
func (p *Policy) part(i int, book *address.Book) part {
	if p != nil && i < len(p.parts) && p.parts[i].Equal(book) {
		return p.parts[i]
	}
	return newPart(book)
}

// digest is a hash of a part of the address book.
func digest(book *address.Book) string {
	h := sha256.New()
	encoder := json.NewEncoder(h)
	for _, m := range []map[string]string{book.Addresses, book.Parents, book.Hosts, book.Aliases} {
		_ = encoder.Encode(m) // sorts the keys; nothing of this cannot be encoded
	}
	return hex.EncodeToString(h.Sum(nil))
}

// resolve turns the boundaries into one relation of places per action. A pair that several
// boundaries forbid goes to the strictest action, there to the first by name.
func (p *Policy) resolve(boundaries []skottv1.DataBoundary, environments []skottv1.Environment) {
	sorted := slices.Clone(boundaries)
	slices.SortFunc(sorted, func(a, b skottv1.DataBoundary) int {
		return cmp.Or(strictness(a.Spec.Action)-strictness(b.Spec.Action), strings.Compare(a.Name, b.Name))
	})
	taken := map[[2]string]bool{}
	for i := range sorted {
		b := &sorted[i]
		from := selected(b.Spec.From, skottv1.ClassProduction, environments)
		to := selected(b.Spec.To, skottv1.ClassNonProduction, environments)
		noFrom, noTo := missing(b.Spec.From, environments), missing(b.Spec.To, environments)
		p.selections[b.Name] = Selection{From: from, To: to, Missing: slices.Concat(noFrom, noTo)}
		if b.Spec.From == nil || slices.Contains(b.Spec.From.Classes, skottv1.ClassProduction) {
			from = append(slices.Clone(from), skottv1.PlaceOps, skottv1.PlaceUnassigned)
		} else if len(noFrom) > 0 {
			from = append(slices.Clone(from), skottv1.PlaceUnassigned)
		}
		if b.Spec.To == nil || slices.Contains(b.Spec.To.Classes, skottv1.ClassNonProduction) || len(noTo) > 0 {
			to = append(slices.Clone(to), skottv1.PlaceUnassigned)
		}
		for _, f := range from {
			for _, t := range to {
				if f != t && !taken[[2]string{f, t}] {
					taken[[2]string{f, t}] = true
					p.forbid(b.Spec.Action, f, t, b.Name)
				}
			}
		}
	}
}

func strictness(a skottv1.Action) int {
	return slices.Index([]skottv1.Action{skottv1.ActionDeny, skottv1.ActionWarn, skottv1.ActionAudit}, a)
}

func (p *Policy) forbid(action skottv1.Action, from, to, boundary string) {
	relation := p.crossings[action]
	if relation == nil {
		relation = map[string]map[string]string{}
		p.crossings[action] = relation
	}
	if relation[from] == nil {
		relation[from] = map[string]string{}
	}
	relation[from][to] = boundary
}

// selected are the Environments that a selector chooses, sorted; class is the default.
func selected(s *skottv1.EnvironmentSelector, class skottv1.Class, environments []skottv1.Environment) []string {
	if s == nil {
		s = &skottv1.EnvironmentSelector{Classes: []skottv1.Class{class}}
	}
	match := apilabels.Nothing()
	if s.Selector != nil {
		if parsed, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil {
			match = parsed
		}
	}
	var out []string
	for i := range environments {
		e := &environments[i]
		if slices.Contains(s.Classes, e.EffectiveClass()) || slices.Contains(s.Environments, e.Name) || match.Matches(apilabels.Set(e.Labels)) {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

// missing are the Environments that a selector names and that do not exist.
func missing(s *skottv1.EnvironmentSelector, environments []skottv1.Environment) []string {
	if s == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Environments), func(name string) bool {
		return slices.ContainsFunc(environments, func(e skottv1.Environment) bool { return e.Name == name })
	})
}

// place is the Environment if it exists, else the place for what has none.
func (p *Policy) place(environment string) string {
	if _, ok := p.classes[environment]; ok {
		return environment
	}
	return skottv1.PlaceUnassigned
}

// production reports whether what a place owns may not leave: class Production, Ops, and
// what nobody has assigned.
func (p *Policy) production(place string) bool {
	class, known := p.classes[place]
	return !known || class == skottv1.ClassProduction
}

func (p *Policy) declare(d *skottv1.DataLocation, last *Policy) {
	place := p.place(d.Spec.EnvironmentRef.Name)
	origin := cmp.Or(d.Labels[skottv1.LabelOrigin], "declared")
	for i, raw := range d.Spec.Addresses {
		a, err := last.parse(raw)
		if err != nil {
			p.rejected = append(p.rejected, fmt.Errorf("DataLocation %q: spec.addresses[%d].value: %w", d.Name, i, err))
			continue
		}
		p.parsed[raw] = a
		p.counts[Count{Type: a.Type(), Origin: origin}]++
		p.entries = append(p.entries, address.Entry{
			Address: a, Place: place, Production: p.production(place), Shared: d.Spec.Shared != nil && *d.Spec.Shared,
		})
	}
}

// parse reads an address, unless the policy, which may be nil, has.
func (p *Policy) parse(raw skottv1.Address) (address.Address, error) {
	if p != nil {
		if a, ok := p.parsed[raw]; ok {
			return a, nil
		}
	}
	return address.Parse(address.Type(raw.Type), raw.Value)
}

// contend finds the addresses that two places claim. That one is shared settles it, if who
// says so may: production, or anybody where production claims nothing.
func (p *Policy) contend() {
	owner, places := make(map[string]string, len(p.entries)), map[string]map[string]bool{}
	shared := map[string]bool{}
	production := make(map[string]bool, len(p.entries))
	for _, e := range p.entries {
		if e.Shared {
			shared[e.Address.Key()] = shared[e.Address.Key()] || e.Production
		} else if e.Production {
			production[e.Address.Key()] = true
		}
	}
	for _, e := range p.entries {
		key := e.Address.Key()
		if byProduction, ok := shared[key]; e.Shared || byProduction || ok && !production[key] {
			continue
		}
		first, claimed := owner[key]
		switch {
		case !claimed:
			owner[key] = e.Place
		case first != e.Place:
			if places[key] == nil {
				places[key] = map[string]bool{first: true}
			}
			places[key][e.Place] = true
		}
	}
	if len(places) == 0 {
		return
	}
	for _, e := range p.entries {
		if of := places[e.Address.Key()]; of != nil {
			p.contested[e.Address.String()] = slices.Sorted(maps.Keys(of))
		}
	}
}

func (p *Policy) addMember(m Member) {
	add := func(value string) {
		if a, err := address.Parse(address.ClusterEndpoint, value); err == nil {
			p.entries = append(p.entries, address.Entry{Address: a, Place: m.Place, Production: p.production(m.Place)})
		}
	}
	if m.Name != "" {
		add(m.Namespace + "/" + m.Name)
	}
	if m.Endpoint != "" {
		add(m.Endpoint)
	}
}

// Rules that the policy works by.
func (p *Policy) Rules() *Rules { return p.rules }

// Contested are the addresses, in canonical form, that more than one place claims, with
// those places.
func (p *Policy) Contested() map[string][]string { return p.contested }

// Rejected are declared addresses that do not parse, one error each.
func (p *Policy) Rejected() []error { return p.rejected }

// Selects says which Environments a boundary selects.
func (p *Policy) Selects(boundary string) Selection { return p.selections[boundary] }

// Knows reports whether a boundary is part of the policy.
func (p *Policy) Knows(boundary string) bool {
	_, ok := p.selections[boundary]
	return ok
}

// Count is how many addresses of a type are known from an origin: "declared" or "learned".
type Count struct {
	Type   address.Type
	Origin string
	Count  int
}

// Counts are the addresses by type and origin, sorted.
func (p *Policy) Counts() []Count {
	out := make([]Count, 0, len(p.counts))
	for key, n := range p.counts {
		out = append(out, Count{Type: key.Type, Origin: key.Origin, Count: n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Origin, b.Origin))
	})
	return out
}

// Size is the number of addresses.
func (p *Policy) Size() int { return len(p.entries) }

// Addresses counts the addresses of a place that are not shared.
func (p *Policy) Addresses(place string) int {
	n := 0
	for _, e := range p.entries {
		if e.Place == place && !e.Shared {
			n++
		}
	}
	return n
}

// GuardedCluster describes a cluster of an Environment as its Guard does.
func (p *Policy) GuardedCluster(c skottv1.GuardedCluster) skottv1.GuardedCluster {
	if c.Environment == "" && c.Role == string(skottv1.RoleOps) {
		c.Environment, c.Class = skottv1.PlaceOps, skottv1.ClassProduction
		return c
	}
	c.Environment = p.place(c.Environment)
	c.Stage, c.Class = string(p.stages[c.Environment]), p.classes[c.Environment]
	if c.Class == "" {
		c.Class = skottv1.ClassNonProduction
	}
	return c
}

// Actions in use, strictest first; Deny always is.
func (p *Policy) Actions() []skottv1.Action {
	out := []skottv1.Action{skottv1.ActionDeny}
	for _, a := range []skottv1.Action{skottv1.ActionWarn, skottv1.ActionAudit} {
		if len(p.crossings[a]) > 0 {
			out = append(out, a)
		}
	}
	return out
}

// Denies reports whether any boundary refuses anything. If none does, the policies and the webhook
// must not refuse either because they cannot work. It follows from what the Guards say, so that
// their revision changes whenever it does.
func (p *Policy) Denies() bool { return len(p.crossings[skottv1.ActionDeny]) > 0 }

// Guards compiles the Guards of a cluster: for every action in use as many as the address
// book has parts. namespaces are those of the cluster that are of an Environment of their
// own, families the policies that it holds. They must not be changed: clusters that differ
// in nothing but their names share everything else, the revision included.
func (p *Policy) Guards(cluster skottv1.GuardedCluster, namespaces map[string]string, families []flow.Family) []*skottv1.Guard {
	c := p.GuardedCluster(cluster)
	shared := p.alike(c, namespaces, families)
	out := make([]*skottv1.Guard, len(shared))
	for i, g := range shared {
		own := *g
		own.Spec.Cluster = c
		out[i] = &own
	}
	return out
}

// alike are the Guards of all clusters that differ from one in nothing but their names. They
// are made once: a Guard may be of a megabyte, and a fleet of a thousand clusters.
func (p *Policy) alike(c skottv1.GuardedCluster, namespaces map[string]string, families []flow.Family) []*skottv1.Guard {
	c.Name, c.ManagementCluster = "", ""
	key := fmt.Sprintf("%q %q %q", c, namespaces, families) // a map is printed in the order of its keys
	made, _ := p.made.LoadOrStore(key, &sharedGuards{})
	s, ok := made.(*sharedGuards)
	if !ok {
		return p.guards(c, namespaces, families, nil)
	}
	s.once.Do(func() {
		guards := p.guards(c, namespaces, families, p.prior[key])
		s.guards.Store(&guards)
	})
	return *s.guards.Load()
}

// sharedGuards are made by whoever asks first.
type sharedGuards struct {
	once   sync.Once
	guards atomic.Pointer[[]*skottv1.Guard] // nil until they are
}

// guards are made; of those that were made before, what says the same is taken.
func (p *Policy) guards(c skottv1.GuardedCluster, namespaces map[string]string, families []flow.Family, before []*skottv1.Guard) []*skottv1.Guard {
	var out []*skottv1.Guard
	for _, action := range p.Actions() {
		for i, part := range p.parts {
			g := &skottv1.Guard{
				TypeMeta: metav1.TypeMeta{APIVersion: skottv1.GroupVersion.String(), Kind: "Guard"},
				ObjectMeta: metav1.ObjectMeta{Name: guardName(action, i), Labels: map[string]string{
					skottv1.LabelManagedBy: skottv1.FieldOwner, skottv1.LabelAction: string(action)}},
				Spec: p.guardSpec(c, action, part.Book),
			}
			places := nameNamespaces(&g.Spec, namespaces)
			g.Spec.MovementKinds = p.rules.kinds
			for _, f := range families {
				g.Spec.Families = append(g.Spec.Families, string(f))
			}
			g.Spec.Revision = revisionOf(g, part)
			if same := slices.IndexFunc(before, func(b *skottv1.Guard) bool { return b.Name == g.Name && b.Spec.Revision == g.Spec.Revision }); same >= 0 {
				out = append(out, before[same])
				continue
			}
			g.Spec.Addresses = merge(g.Spec.Addresses, places)
			if action == skottv1.ActionDeny {
				addCanary(&g.Spec, canaryHost(g))
			}
			out = append(out, g)
		}
	}
	return out
}

// guardName is "skott", "skott-1", … for Deny, "skott-warn", … for the others.
func guardName(action skottv1.Action, part int) string {
	name := "skott"
	if action != skottv1.ActionDeny {
		name += "-" + strings.ToLower(string(action))
	}
	if part > 0 {
		name += fmt.Sprintf("-%d", part)
	}
	return name
}

func (p *Policy) guardSpec(c skottv1.GuardedCluster, action skottv1.Action, book *address.Book) skottv1.GuardSpec {
	crossings := p.crossings[action]
	if crossings == nil {
		crossings = map[string]map[string]string{}
	}
	customers := p.customers[c.Environment]
	if customers == nil {
		customers = []string{}
	}
	return skottv1.GuardSpec{
		Cluster: c, Action: action, Environments: p.classes, Namespaces: map[string]string{}, Crossings: crossings,
		Addresses: book.Addresses, Parents: book.Parents, Hosts: book.Hosts, Aliases: book.Aliases,
		Depths: book.Depths, SuffixLabels: nonNil(book.SuffixLabels), PrefixLengths: nonNil(book.PrefixLengths),
		CustomerNamespaces: customers,
	}
}

func nonNil(v []int64) []int64 {
	if v == nil {
		return []int64{}
	}
	return v
}

// nameNamespaces makes every namespace of the cluster an address of its place, below
// "namespace/", and returns these. The cluster itself owns those that are not listed.
func nameNamespaces(s *skottv1.GuardSpec, namespaces map[string]string) map[string]string {
	places := map[string]string{"namespace": s.Cluster.Environment}
	for name, environment := range namespaces {
		if environment == s.Cluster.Environment || s.Environments[environment] == skottv1.ClassNonProduction {
			s.Namespaces[name] = environment
			places["namespace/"+name] = environment
		}
	}
	s.Depths = depths(s.Depths, 1, 2)
	return places
}

// merge is one map with what another one adds.
func merge(base, more map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(more)+2) // and a canary
	maps.Copy(out, base)
	maps.Copy(out, more)
	return out
}

// depths adds to a descending list.
func depths(have []int64, more ...int64) []int64 {
	out := slices.Clone(have)
	for _, n := range more {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b int64) int { return cmp.Compare(b, a) })
	return out
}

// revisionOf is a hash of everything that a Guard says, but for the names of its cluster, which
// never change. What many addresses take is hashed once for all clusters; those that are added
// for one follow from the rest.
func revisionOf(g *skottv1.Guard, part part) string {
	rest := *g
	rest.Spec.Addresses, rest.Spec.Parents, rest.Spec.Hosts, rest.Spec.Aliases = nil, nil, nil, nil
	// Encoding sorts the keys of maps; a Guard holds nothing that cannot be encoded.
	content, _ := json.Marshal([]any{part.digest(), rest})
	return shortHash(content)
}

// Revision identifies what all Guards of a cluster say: it is that of the Guard, if there is one.
func Revision(guards []*skottv1.Guard) string {
	if len(guards) == 1 {
		return guards[0].Spec.Revision
	}
	var all []byte
	for _, g := range guards {
		all = fmt.Appendln(all, g.Name, g.Spec.Revision)
	}
	return shortHash(all)
}

func shortHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])[:12]
}
