// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

func environment(name string, stage skottv1.Stage, class skottv1.Class) skottv1.Environment {
	return skottv1.Environment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": name}},
		Spec:       skottv1.EnvironmentSpec{Stage: stage, Class: class},
	}
}

var environments = []skottv1.Environment{
	environment("production", skottv1.StageProduction, ""),
	environment("restore", "testing", skottv1.ClassProduction),
	environment("staging", skottv1.StageStaging, ""),
	environment("testing", "testing", ""),
}

func boundary(name string, action skottv1.Action, from, to *skottv1.EnvironmentSelector) skottv1.DataBoundary {
	return skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{From: from, To: to, Action: action}}}
}

func names(environments ...string) *skottv1.EnvironmentSelector {
	return &skottv1.EnvironmentSelector{Environments: environments}
}

func labelled(team string) *skottv1.EnvironmentSelector {
	return &skottv1.EnvironmentSelector{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}}
}

// pairs are the crossings of an action as "from>to=boundary", sorted.
func pairs(p *Policy, action skottv1.Action) []string {
	var out []string
	for from, to := range p.crossings[action] {
		for place, name := range to {
			out = append(out, from+">"+place+"="+name)
		}
	}
	slices.Sort(out)
	return out
}

func TestBoundaries(t *testing.T) {
	byDefault := []string{
		"@ops>@unassigned=b", "@ops>staging=b", "@ops>testing=b", "@unassigned>staging=b", "@unassigned>testing=b",
		"production>@unassigned=b", "production>staging=b", "production>testing=b", "restore>@unassigned=b", "restore>staging=b", "restore>testing=b",
	}
	for name, c := range map[string]struct {
		reason     string
		boundaries []skottv1.DataBoundary
		deny, warn []string
	}{
		"None":    {reason: "no boundary forbids nothing"},
		"Default": {"production to all others, with what has no Environment", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, nil, nil)}, byDefault, nil},
		"Classes": {
			"the same in words", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny,
				&skottv1.EnvironmentSelector{Classes: []skottv1.Class{skottv1.ClassProduction}}, &skottv1.EnvironmentSelector{Classes: []skottv1.Class{skottv1.ClassNonProduction}})}, byDefault, nil,
		},
		"Names":    {"named ones only", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, names("production"), names("staging", "gone"))}, []string{"production>@unassigned=b", "production>staging=b"}, nil},
		"Selector": {"by label", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, labelled("staging"), names("testing"))}, []string{"staging>testing=b"}, nil},
		"Itself":   {"a place may reach itself", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, names("staging"), names("staging"))}, nil, nil},
		"Missing":  {"what belongs to an Environment that does not exist is unassigned", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, names("gone"), names("staging"))}, []string{"@unassigned>staging=b"}, nil},
		"InvalidSelector": {"a selector that does not parse selects nothing", []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny,
			&skottv1.EnvironmentSelector{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "?"}}}}, nil)}, nil, nil},
		"Strictest": {
			"of two for one pair, the stricter action has it", []skottv1.DataBoundary{
				boundary("a", skottv1.ActionWarn, names("production"), names("staging", "testing")), boundary("b", skottv1.ActionDeny, names("production"), names("staging")),
			}, []string{"production>staging=b"}, []string{"production>testing=a"},
		},
		"FirstByName": {
			"of two alike, the first by name", []skottv1.DataBoundary{
				boundary("b", skottv1.ActionDeny, names("production"), names("staging")), boundary("a", skottv1.ActionDeny, names("production"), names("staging", "testing")),
			}, []string{"production>staging=a", "production>testing=a"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Snapshot{Environments: environments, Boundaries: c.boundaries})
			if diff := cmp.Diff(c.deny, pairs(p, skottv1.ActionDeny)); diff != "" {
				t.Errorf("%s: Deny (-want +got):\n%s", c.reason, diff)
			}
			if diff := cmp.Diff(c.warn, pairs(p, skottv1.ActionWarn)); diff != "" {
				t.Errorf("%s: Warn (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	p := New(Snapshot{Environments: environments, Boundaries: []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, nil, names("testing", "staging", "gone"))}})
	want := Selection{From: []string{"production", "restore"}, To: []string{"staging", "testing"}, Missing: []string{"gone"}}
	if diff := cmp.Diff(want, p.Selects("b")); diff != "" || !p.Knows("b") || p.Knows("c") {
		t.Errorf("Selects (-want +got):\n%s", diff)
	}
}

func location(name, environment string, shared bool, addresses ...string) skottv1.DataLocation {
	d := skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: environment}}}
	if shared {
		d.Spec.Shared = &shared
	}
	for _, a := range addresses {
		kind, value, _ := strings.Cut(a, " ")
		d.Spec.Addresses = append(d.Spec.Addresses, skottv1.Address{Type: skottv1.AddressType(kind), Value: value})
	}
	return d
}

func TestLocations(t *testing.T) {
	p := New(Snapshot{
		Environments: environments,
		Locations: []skottv1.DataLocation{
			location("s", "staging", false, "Host db.example", "Host api.example", "Host own.example"),
			location("p", "production", false, "Host DB.example.", "ClusterEndpoint https://api.example", "Host prod"),
			location("x", "gone", false, "Host lost.example"),
			location("t", "testing", true, "Host own.example"),
		},
		Clusters: []Member{{Place: "production", Namespace: "ns", Name: "c", Endpoint: "c.example:6443"}, {Place: skottv1.PlaceOps, Endpoint: "ops.example:443"}, {Place: "staging", Endpoint: "::"}},
	})
	want := map[string]string{
		"db.example": "production", "api.example": "production", "own.example": "", "lost.example": skottv1.PlaceUnassigned,
		"cluster/ns/c": "production", "c.example:6443": "production", "ops.example": skottv1.PlaceOps,
	}
	if diff := cmp.Diff(want, p.parts[0].Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	contested := map[string][]string{"db.example": {"production", "staging"}, "api.example": {"production", "staging"}}
	if diff := cmp.Diff(contested, p.Contested()); diff != "" {
		t.Errorf("Contested (-want +got):\n%s", diff)
	}
	rejected := p.Rejected()
	if len(rejected) != 1 || !errors.Is(rejected[0], address.ErrInvalid) || !strings.HasPrefix(rejected[0].Error(), `DataLocation "p": spec.addresses[2].value: `) {
		t.Errorf("Rejected = %v", rejected)
	}
	if n := p.Addresses("staging"); n != 3 {
		t.Errorf("Addresses(staging) = %d, want 3: contested ones count for both", n)
	}
}

func cluster(environment string) skottv1.GuardedCluster {
	return skottv1.GuardedCluster{Name: "ns/c", ManagementCluster: "mc", Role: "Workload", Environment: environment, Datacenter: "sto2"}
}

func TestGuardedCluster(t *testing.T) {
	p := New(Snapshot{Environments: environments})
	for name, c := range map[string]struct {
		given       skottv1.GuardedCluster
		environment string
		stage       string
		class       skottv1.Class
	}{
		"Production": {cluster("production"), "production", "production", skottv1.ClassProduction},
		"Raised":     {cluster("restore"), "restore", "testing", skottv1.ClassProduction},
		"Gone":       {cluster("gone"), skottv1.PlaceUnassigned, "", skottv1.ClassNonProduction},
		"None":       {cluster(""), skottv1.PlaceUnassigned, "", skottv1.ClassNonProduction},
		"Ops":        {skottv1.GuardedCluster{Name: "ops", Role: "Ops"}, skottv1.PlaceOps, "", skottv1.ClassProduction},
		"OpsOf":      {skottv1.GuardedCluster{Name: "ops", Role: "Ops", Environment: "staging"}, "staging", "staging", skottv1.ClassNonProduction},
	} {
		t.Run(name, func(t *testing.T) {
			got := p.GuardedCluster(c.given)
			if got.Environment != c.environment || got.Stage != c.stage || got.Class != c.class {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A namespace may be of its cluster's Environment or below, never above.
func TestNamespaces(t *testing.T) {
	p := New(Snapshot{Environments: environments, Boundaries: []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, nil, nil)}})
	claims := map[string]string{"down": "staging", "same": "production", "up": "restore", "gone": "gone"}
	g := p.Guards(cluster("production"), claims, families)[0]
	if diff := cmp.Diff(map[string]string{"down": "staging", "same": "production"}, g.Spec.Namespaces); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{"namespace/down": "staging", "namespace/up": "production", "namespace/other": "production"} {
		if m, ok := bookOf(g).Owner(key, ""); !ok || m.Place != want {
			t.Errorf("Owner(%s) = %v, want %s", key, m, want)
		}
	}
	e := NewEvaluator(g)
	for claim, want := range map[string]bool{"staging": true, "production": true, "restore": false, "gone": false, "": false} {
		if e.mayClaim(claim) != want {
			t.Errorf("mayClaim(%q) = %t", claim, !want)
		}
	}
}

func bookOf(g *skottv1.Guard) *address.Book { return NewEvaluator(g).book }

func TestRevision(t *testing.T) {
	of := func(s Snapshot, c skottv1.GuardedCluster, namespaces map[string]string) string {
		return Revision(New(s).Guards(c, namespaces, families))
	}
	boundaries := []skottv1.DataBoundary{boundary("a", skottv1.ActionDeny, nil, nil), boundary("b", skottv1.ActionWarn, names("staging"), names("testing"))}
	locations := []skottv1.DataLocation{location("p", "production", false, "Host db.example", "Bucket s3.example/b/c"), location("s", "staging", false, "Host s.example")}
	base := Snapshot{Environments: environments, Boundaries: boundaries, Locations: locations}
	revision := of(base, cluster("staging"), nil)
	same := Snapshot{Environments: slices.Clone(environments), Boundaries: slices.Clone(boundaries), Locations: slices.Clone(locations)}
	slices.Reverse(same.Environments)
	slices.Reverse(same.Boundaries)
	slices.Reverse(same.Locations)
	for range 10 {
		if got := of(same, cluster("staging"), map[string]string{}); got != revision {
			t.Fatalf("revision %s, then %s of the same content in another order", revision, got)
		}
	}
	seen := map[string]string{revision: "base"}
	again := base
	again.Last = New(Snapshot{Boundaries: boundaries, Environments: environments, Locations: []skottv1.DataLocation{locations[0], location("x", "production", false, "Host other.example")}})
	again.Last.Guards(cluster("staging"), nil, families)
	if diff := cmp.Diff(New(base).Guards(cluster("staging"), nil, families), New(again).Guards(cluster("staging"), nil, families)); diff != "" {
		t.Errorf("what was parsed before changes the Guards (-anew +again):\n%s", diff)
	}
	for name, s := range map[string]Snapshot{
		"OtherAddress": {Environments: environments, Boundaries: boundaries, Locations: []skottv1.DataLocation{locations[0], location("s", "staging", false, "Host t.example")}},
		"OtherOwner":   {Environments: environments, Boundaries: boundaries, Locations: []skottv1.DataLocation{locations[0], location("s", "production", false, "Host s.example")}},
		"NoBoundary":   {Environments: environments, Locations: locations},
		"NoLocation":   {Environments: environments, Boundaries: boundaries},
		"Environments": {Environments: environments[:3], Boundaries: boundaries, Locations: locations},
	} {
		got := of(s, cluster("staging"), nil)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the revision of %s", name, other)
		}
		seen[got] = name
	}
	for name, got := range map[string]string{"Cluster": of(base, cluster("testing"), nil), "Namespaces": of(base, cluster("staging"), map[string]string{"x": "testing"})} {
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the revision of %s", name, other)
		}
		seen[got] = name
	}
}

func TestActions(t *testing.T) {
	p := New(Snapshot{Environments: environments, Boundaries: []skottv1.DataBoundary{
		boundary("a", skottv1.ActionAudit, names("staging"), names("testing")), boundary("w", skottv1.ActionWarn, names("production"), names("testing")),
	}})
	var got []string
	for _, g := range p.Guards(cluster("testing"), nil, families) {
		got = append(got, g.Name+" "+string(g.Spec.Action)+" "+g.Labels[skottv1.LabelAction])
	}
	if diff := cmp.Diff([]string{"skott Deny Deny", "skott-warn Warn Warn", "skott-audit Audit Audit"}, got); diff != "" {
		t.Errorf("Guards (-want +got):\n%s", diff)
	}
	if got := New(Snapshot{}).Guards(cluster("x"), nil, families); len(got) != 1 || got[0].Spec.Action != skottv1.ActionDeny {
		t.Errorf("without a boundary there is no Deny Guard to prove the machine by: %v", got)
	}
}

// Whether anything is denied is part of the revision, as the policies depend on it.
func TestDenies(t *testing.T) {
	deny, warn, audit := boundary("deny", skottv1.ActionDeny, nil, nil), boundary("warn", skottv1.ActionWarn, nil, nil), boundary("audit", skottv1.ActionAudit, nil, nil)
	for name, c := range map[string]struct {
		boundaries []skottv1.DataBoundary
		want       bool
	}{
		"None":               {nil, false},
		"Audit":              {[]skottv1.DataBoundary{audit}, false},
		"Warn and Audit":     {[]skottv1.DataBoundary{warn, audit}, false},
		"Deny":               {[]skottv1.DataBoundary{deny}, true},
		"All":                {[]skottv1.DataBoundary{audit, deny, warn}, true},
		"One pair of places": {[]skottv1.DataBoundary{audit, boundary("deny", skottv1.ActionDeny, names("staging"), names("testing"))}, true},
		"Of nobody":          {[]skottv1.DataBoundary{audit, boundary("deny", skottv1.ActionDeny, labelled("none"), names("testing"))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			revision := func(boundaries []skottv1.DataBoundary) string {
				return Revision(New(Snapshot{Environments: environments, Boundaries: boundaries}).Guards(skottv1.GuardedCluster{Environment: "staging"}, nil, families))
			}
			if got := New(Snapshot{Environments: environments, Boundaries: c.boundaries}).Denies(); got != c.want {
				t.Errorf("it denies: %t", got)
			}
			told := slices.Clone(c.boundaries)
			for i := range told {
				told[i].Spec.Action = skottv1.ActionAudit
			}
			if c.want && revision(c.boundaries) == revision(told) {
				t.Error("the revision is the same where nothing denies")
			}
		})
	}
}

// Every family is proved, each part of the Guard is, and Evaluate refuses all of it.
func TestCanaries(t *testing.T) {
	guards := New(Snapshot{Environments: environments}).Guards(cluster("production"), map[string]string{"x": "staging"}, families)
	found := map[string]bool{}
	for _, c := range Canaries(guards) {
		found[c.Family] = true
		if c.Want == "" || c.Object.GetName() == "" {
			t.Errorf("canary of %s wants %q", c.Family, c.Want)
		}
		if c.Patch {
			continue
		}
		kind := c.Object.GroupVersionKind()
		known := append(slices.Clone(flow.Builtin().Kinds()), canaryKind)
		i := slices.IndexFunc(known, func(k *flow.Kind) bool { return k.Group == kind.Group && k.Kind == kind.Kind })
		r := &Request{
			Operation: "CREATE", Group: kind.Group, Resource: known[i].Resource, Namespace: Namespace,
			User: CanaryUser, DryRun: true, Object: c.Object.Object,
		}
		d := NewEvaluator(guards[0]).Evaluate(r)
		if d.Allowed || !strings.Contains(d.Message, c.Want) || !strings.Contains(c.Want, guards[0].Spec.Revision) {
			t.Errorf("canary of %s: %q, want a denial with %q", c.Family, d.Message, c.Want)
		}
		if r.DryRun = false; NewEvaluator(guards[0]).Evaluate(r).Codes[0] != CodeCanary {
			t.Errorf("the canary of %s may be stored", c.Family)
		}
	}
	for _, family := range families {
		if !found[string(family)] {
			t.Errorf("family %s has no canary", family)
		}
	}
	if got, want := Canaries(slices.Concat(guards, guards)), Canaries(guards); len(got) <= len(want) {
		t.Errorf("%d canaries for two parts, %d for one", len(got), len(want))
	}
}

func TestCodes(t *testing.T) {
	codes := Codes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("Codes are not sorted, or one is there twice: %v", codes)
	}
	for _, k := range flow.Builtin().Kinds() {
		for i := range k.Fields {
			f := &k.Fields[i]
			if numbers[f.Type] == "" || nouns[f.Type] == "" || verbs[f.Direction] == "" {
				t.Errorf("%s %s: type %s, direction %s have no number or words", k.Resource, f.Path, f.Type, f.Direction)
			}
			for _, way := range []string{"1", "2", "3"} {
				if !slices.Contains(codes, addressCode(way, numbers[f.Type])) {
					t.Errorf("%s %s: a code is not listed", k.Resource, f.Path)
				}
			}
		}
	}
	for _, q := range rules {
		if !slices.Contains(codes, q.code) {
			t.Errorf("code %s of a rule is not listed", q.code)
		}
	}
}

// TestGuardsAreShared: what a thousand clusters hold in common is in memory once, and no
// cluster gets what is of another one.
func TestGuardsAreShared(t *testing.T) {
	p := New(Snapshot{Environments: []skottv1.Environment{
		{ObjectMeta: metav1.ObjectMeta{Name: "production"}, Spec: skottv1.EnvironmentSpec{Stage: skottv1.StageProduction}},
		{ObjectMeta: metav1.ObjectMeta{Name: "staging"}, Spec: skottv1.EnvironmentSpec{Stage: skottv1.StageStaging}},
	}})
	cluster := skottv1.GuardedCluster{Name: "a", ManagementCluster: "mc", Role: "Workload", Environment: "staging", Datacenter: "sto2"}
	guard := func(change func(*skottv1.GuardedCluster), namespaces map[string]string, families ...flow.Family) *skottv1.Guard {
		c := cluster
		change(&c)
		return p.Guards(c, namespaces, families)[0]
	}
	same := func(*skottv1.GuardedCluster) {}
	first, second := guard(same, nil), guard(func(c *skottv1.GuardedCluster) { c.Name, c.ManagementCluster = "b", "other" }, nil)
	if first.Spec.Cluster.Name != "a" || second.Spec.Cluster.Name != "b" || second.Spec.Cluster.ManagementCluster != "other" {
		t.Errorf("the Guards name the clusters %v and %v", first.Spec.Cluster, second.Spec.Cluster)
	}
	if reflect.ValueOf(first.Spec.Addresses).Pointer() != reflect.ValueOf(second.Spec.Addresses).Pointer() {
		t.Error("two clusters that differ in their names do not share their addresses")
	}
	revisions := map[string]string{first.Spec.Revision: "the first"} // there is one Guard each
	for what, other := range map[string]*skottv1.Guard{
		"another Environment": guard(func(c *skottv1.GuardedCluster) { c.Environment = "production" }, nil),
		"another datacenter":  guard(func(c *skottv1.GuardedCluster) { c.Datacenter = "osl2" }, nil),
		"another role":        guard(func(c *skottv1.GuardedCluster) { c.Role = "Management" }, nil),
		"a namespace":         guard(same, map[string]string{"test": "staging"}),
		"a family":            guard(same, nil, flow.Storage),
	} {
		if before, taken := revisions[other.Spec.Revision]; taken {
			t.Errorf("%s has the revision of %s", what, before)
		}
		revisions[other.Spec.Revision] = what
	}
}
