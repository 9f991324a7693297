// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

// Sighting is an address in a field of an object.
type Sighting struct {
	// Environment of the object, to which the address belongs.
	Environment string
	// Type and Text are what Distinct returned, in canonical form.
	Type address.Type
	Text string
	// Origin is the field; its times are not read.
	Origin skottv1.Origin
}

// Absence is what it means that an address is not seen in an origin any more.
type Absence int

// The absences.
const (
	// Unknown: nobody can say whether it is still there. It counts as seen.
	Unknown Absence = iota
	// Gone: the cluster, the kind, the object or the field is known not to be there.
	Gone
	// Foreign: another instance of the operator looks after the cluster. What it wrote is
	// left alone.
	Foreign
)

// Input is everything that the next state of the book follows from.
type Input struct {
	Now time.Time
	// Retention of locations that have none of their own.
	Retention time.Duration
	// Existing are all DataLocations, declared ones too. They are not changed.
	Existing []skottv1.DataLocation
	// Sightings are what can be seen now; several of one origin count as one.
	Sightings []Sighting
	// Production reports whether an Environment is of class Production, or does not exist.
	Production func(environment string) bool
	// Absent says of an origin in which an address is not seen why that may be.
	Absent func(skottv1.Origin) Absence
}

// Change is a DataLocation as it is and as it should be. Only the status differs.
type Change struct{ Before, After *skottv1.DataLocation }

// Changes are what is to be written, in no particular order. Together they make the book
// what it should be, and when it is, there are none.
type Changes struct {
	// Create holds locations with their status, which takes a second write.
	Create []*skottv1.DataLocation
	Update []Change
	Delete []*skottv1.DataLocation
	// Blocked are names of locations that cannot be written because somebody else's stands
	// there.
	Blocked []string
	// Next is when time alone may change something; zero for never.
	Next time.Time
}

// key is what one learned location stands for.
type key struct {
	environment string
	kind        address.Type
	text        string
}

// Name of the DataLocation for an address of an Environment. Both are in the hash, so that
// nothing else has to be told from the name.
func Name(environment string, t address.Type, text string) string {
	sum := sha256.Sum256([]byte(environment + "\x00" + string(t) + "\x00" + text))
	return "learned." + environment + "." + strings.ToLower(string(t)) + "." + hex.EncodeToString(sum[:10])
}

// keyOf is what a location stands for, if it is one that was learned from objects: one
// address, under its own name. The recorded clusters of the fleet are learned too, and not
// from objects; a location that a person wrote or filled with something else is theirs.
func keyOf(d *skottv1.DataLocation) key {
	if d.Labels[skottv1.LabelOrigin] != skottv1.OriginLearned || len(d.Spec.Addresses) != 1 {
		return key{}
	}
	a := d.Spec.Addresses[0]
	k := key{d.Spec.EnvironmentRef.Name, address.Type(a.Type), a.Value}
	if d.Name != Name(k.environment, k.kind, k.text) {
		return key{}
	}
	return k
}

// Learned reports whether a location was learned from objects, and is the ledger's.
func Learned(d *skottv1.DataLocation) bool { return keyOf(d) != key{} }

// Plan computes what has to be written for the book to say what is seen.
func Plan(in Input) Changes {
	p := planner{Input: in, seen: gather(in), claimed: map[string]int{}}
	p.Now = in.Now.UTC().Truncate(time.Second) // what the API keeps
	own := make([]key, len(in.Existing))
	for i := range in.Existing {
		own[i] = keyOf(&in.Existing[i])
	}
	p.claim(own)
	theirs := map[string]bool{}
	for _, production := range []bool{true, false} { // others depend on what production has
		for i, k := range own {
			d := &in.Existing[i]
			if k == (key{}) {
				theirs[d.Name] = true
			} else if in.Production(k.environment) == production {
				p.settle(d, k)
				delete(p.seen, k)
			}
		}
	}
	for k, origins := range p.seen {
		if name := Name(k.environment, k.kind, k.text); theirs[name] {
			p.out.Blocked = append(p.out.Blocked, name)
		} else if !p.pointless(k) {
			p.create(name, k, origins)
		}
	}
	return p.out
}

// gather sorts the sightings by what they are of.
func gather(in Input) map[key]map[skottv1.Origin]bool {
	seen := map[key]map[skottv1.Origin]bool{}
	for _, s := range in.Sightings {
		k := key{s.Environment, s.Type, s.Text}
		if seen[k] == nil {
			seen[k] = make(map[skottv1.Origin]bool, 1)
		}
		o := s.Origin
		o.FirstSeen, o.LastSeen = nil, nil
		seen[k][o] = true
	}
	return seen
}

type planner struct {
	Input
	seen map[key]map[skottv1.Origin]bool
	// claimed counts who says that a host, an IP or a credential is of an Environment of class
	// Production.
	claimed map[string]int
	out     Changes
}

// answered are the types of what an object answers on. Anybody who may create such an object
// can write any name into it, so that of a non-production cluster is no proof that the name
// is its own: production would be refused what it calls. It is learned only to show that
// production has it too. The same holds of credentials, which anybody can copy into a Secret.
func answered(t address.Type) bool {
	return t == address.Host || t == address.CIDR || t == address.Credential
}

// claim finds what production answers on.
func (p *planner) claim(own []key) {
	contestable := func(k key) bool { return answered(k.kind) && !p.Production(k.environment) }
	if !slices.ContainsFunc(own, contestable) && !slices.ContainsFunc(slices.Collect(maps.Keys(p.seen)), contestable) {
		return
	}
	for k := range p.seen {
		if answered(k.kind) && p.Production(k.environment) {
			p.claimed[k.text]++
		}
	}
	for i := range p.Existing {
		d := &p.Existing[i]
		if !p.Production(d.Spec.EnvironmentRef.Name) {
			continue
		}
		for _, raw := range d.Spec.Addresses {
			if t := address.Type(raw.Type); answered(t) {
				if a, err := address.Parse(t, raw.Value); err == nil {
					p.claimed[a.String()]++
				}
			}
		}
	}
}

// pointless says that an address is not kept although it is seen.
func (p *planner) pointless(k key) bool {
	return answered(k.kind) && !p.Production(k.environment) && p.claimed[k.text] == 0
}

func (p *planner) create(name string, k key, origins map[skottv1.Origin]bool) {
	d := &skottv1.DataLocation{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			skottv1.LabelOrigin: skottv1.OriginLearned, skottv1.LabelEnvironment: k.environment}},
		Spec: skottv1.DataLocationSpec{
			EnvironmentRef: skottv1.EnvironmentReference{Name: k.environment},
			Addresses:      []skottv1.Address{{Type: skottv1.AddressType(k.kind), Value: k.text}},
		},
	}
	m := p.merge(d, origins)
	m.write(&d.Status)
	p.out.Create = append(p.out.Create, d)
}

// settle decides on a location that is there.
func (p *planner) settle(d *skottv1.DataLocation, k key) {
	if !d.DeletionTimestamp.IsZero() {
		return
	}
	m := p.merge(d, p.seen[k])
	if len(m.origins) == 0 && !m.kept || p.pointless(k) {
		p.out.Delete = append(p.out.Delete, d)
		if answered(k.kind) && p.Production(k.environment) {
			p.claimed[k.text]--
		}
		return
	}
	after := d.Status
	m.write(&after)
	if same(&d.Status, &after) {
		return
	}
	changed := d.DeepCopy()
	changed.Status = after
	p.out.Update = append(p.out.Update, Change{Before: d, After: changed})
}

// due remembers when time changes something, at the earliest.
func (p *planner) due(at time.Time) {
	if p.out.Next.IsZero() || at.Before(p.out.Next) {
		p.out.Next = at
	}
}

func same(a, b *skottv1.DataLocationStatus) bool {
	return a.OriginCount == b.OriginCount && a.Seen == b.Seen && a.FirstSeen.Equal(b.FirstSeen) && a.LastSeen.Equal(b.LastSeen) &&
		slices.EqualFunc(a.Origins, b.Origins, func(x, y skottv1.Origin) bool {
			return place(x) == place(y) && x.FirstSeen.Equal(y.FirstSeen) && x.LastSeen.Equal(y.LastSeen)
		})
}

// place is an origin without its times.
func place(o skottv1.Origin) skottv1.Origin {
	o.FirstSeen, o.LastSeen = nil, nil
	return o
}
