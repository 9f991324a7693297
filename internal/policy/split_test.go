// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

// large is a platform that does not fit one Guard: a shared endpoint, API servers, networks
// within networks, suffixes with exceptions, and buckets of several places.
func large(n int) Snapshot {
	s := Snapshot{Environments: environments, Boundaries: []skottv1.DataBoundary{boundary("b", skottv1.ActionDeny, nil, nil)}}
	var prod, staging []string
	for i := range n {
		switch i % 6 {
		case 0:
			prod = append(prod, fmt.Sprintf("Bucket s3.example/bucket-%d/production/data", i))
			staging = append(staging, fmt.Sprintf("Bucket s3.example/bucket-%d/staging/data", i))
		case 1:
			prod = append(prod, fmt.Sprintf("Host db-%d.prod.example", i))
		case 2:
			prod = append(prod, fmt.Sprintf("Host *.c%d.customers.example", i))
			staging = append(staging, fmt.Sprintf("Host demo.c%d.customers.example", i))
		case 3:
			prod = append(prod, fmt.Sprintf("Volume csi.example/%08d-0000-4000-8000-000000000000", i))
		case 4:
			prod = append(prod, fmt.Sprintf("Git https://git.example/org/repo-%d/overlays/production", i))
		case 5:
			prod = append(prod, fmt.Sprintf("Registry registry-%d.example/prod", i))
		}
	}
	for i := range 200 {
		prod = append(prod, fmt.Sprintf("CIDR sto2/10.%d.0.0/16", i))
		staging = append(staging, fmt.Sprintf("CIDR sto2/10.%d.7.0/24", i))
		s.Clusters = append(s.Clusters, Member{Place: []string{"production", "staging"}[i%2], Namespace: "ns", Name: fmt.Sprintf("c%d", i), Endpoint: fmt.Sprintf("api-%d.example:6443", i)})
	}
	s.Locations = []skottv1.DataLocation{
		location("p", "production", false, prod...), location("s", "staging", false, staging...), location("shared", "production", true, "Host s3.example", "Host git.example"),
	}
	return s
}

func TestSplit(t *testing.T) {
	p := New(large(60_000))
	whole := address.NewBook(p.entries)
	guards := p.Guards(cluster("staging"), nil, families)
	if len(guards) < 3 {
		t.Fatalf("%d Guards, want several", len(guards))
	}
	addresses := 0
	for _, g := range guards {
		content, err := json.Marshal(g)
		if err != nil || len(content) > 1_400_000 {
			t.Errorf("Guard %s takes %d bytes, %v", g.Name, len(content), err)
		}
		addresses += len(g.Spec.Addresses)
		t.Logf("%s: %d KB, %d addresses", g.Name, len(content)>>10, len(g.Spec.Addresses))
	}
	if addresses > len(whole.Addresses)+len(guards)*700 {
		t.Errorf("%d addresses in all parts, %d in the whole: they are repeated", addresses, len(whole.Addresses))
	}
	// Whatever has an owner in the whole has the same in exactly the parts that decide.
	keys := slices.Collect(maps.Keys(whole.Addresses))
	for _, key := range keys {
		keys = append(keys, key+"/x", strings.Replace(key, "*.", "a.", 1))
	}
	keys = append(keys, slices.Collect(maps.Keys(whole.Parents))...)
	keys = append(keys, "10.7.7.7", "10.7.8.7", "10.200.0.1", "s3.example/other", "cluster/ns/c7")
	for _, key := range keys {
		want := decisive(whole, key)
		got := ""
		for _, book := range p.parts {
			if place := decisive(book.Book, key); place != "" {
				if got != "" && got != place {
					t.Fatalf("%q belongs to %s and to %s", key, got, place)
				}
				got = place
			}
		}
		if got != want {
			t.Fatalf("%q belongs to %q, and to %q in the whole", key, got, want)
		}
	}
	for spelling, want := range whole.Aliases {
		if !slices.ContainsFunc(p.parts, func(b part) bool { return b.Aliases[spelling] == want }) {
			t.Fatalf("alias %q is lost", spelling)
		}
	}
}

// What of the Guards says the same as before is the same, and all else is as if nothing had been before.
func TestGuardsAfterOthers(t *testing.T) {
	base := large(60_000)
	last := New(base)
	before := last.Guards(cluster("staging"), map[string]string{"shop": "testing"}, families)
	next := base
	next.Locations = append(slices.Clone(base.Locations), location("new", "production", false, "Host new.prod.example"))
	anew := New(next).Guards(cluster("staging"), map[string]string{"shop": "testing"}, families)
	next.Last = last
	after := New(next).Guards(cluster("staging"), map[string]string{"shop": "testing"}, families)
	if diff := cmp.Diff(anew, after); diff != "" {
		t.Errorf("what was made before changes the Guards (-anew +after):\n%s", diff)
	}
	same := 0
	for i := range after {
		if reflect.ValueOf(before[i].Spec.Addresses).Pointer() == reflect.ValueOf(after[i].Spec.Addresses).Pointer() {
			same++
		}
	}
	if same != len(before)-1 {
		t.Errorf("%d of %d Guards are in memory once, want all but one", same, len(before))
	}
}

// TestSplitStays: one address more changes one part, and one part more takes from all others and
// gives to none.
func TestSplitStays(t *testing.T) {
	revisions := func(s Snapshot) (out []string) {
		for _, g := range New(s).Guards(cluster("staging"), nil, families) {
			out = append(out, g.Spec.Revision)
		}
		return out
	}
	base, more := large(60_000), large(60_000)
	before := revisions(base)
	for name, address := range map[string]string{"AHost": "Host new.prod.example", "ABucket": "Bucket s3.example/aaa/production", "AVolume": "Volume csi.example/00000000-1111"} {
		more.Locations = append(slices.Clone(base.Locations), location("new", "production", false, address))
		changed := 0
		for i, revision := range revisions(more) {
			if before[i] != revision {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%s changes %d of %d Guards, want 1", name, changed, len(before))
		}
	}
	for n := range 40 {
		moved := 0
		for root := range 10_000 {
			h := uint64(root) * 0x9e3779b97f4a7c15
			from, to := placed(h, n+1), placed(h, n+2)
			if from != to {
				moved++
			}
			if from > n || to > n+1 || from != to && to != n+1 {
				t.Fatalf("of %d parts in %d, of %d in %d", n+1, from, n+2, to)
			}
		}
		if want := 10_000 / (n + 2); moved < want*8/10 || moved > want*12/10 {
			t.Errorf("%d of 10000 move to part %d of %d, want about %d", moved, n+1, n+2, want)
		}
	}
}

// A tree that is larger than a part does not take all others apart.
func TestSplitOfLargeTrees(t *testing.T) {
	var forest []tree
	tall := tree{root: "tall", entries: nil}
	value := strings.Repeat("x", 1000)
	for i := range 700 {
		a, err := address.Parse(address.Volume, fmt.Sprintf("csi.example/%d-%s", i, value[:200]))
		if err != nil {
			t.Fatal(err)
		}
		entry := address.Entry{Address: a, Place: "production"}
		for range 4 {
			tall.entries = append(tall.entries, entry)
		}
		forest = append(forest, tree{root: a.Key(), entries: []address.Entry{entry}})
	}
	forest = append(forest, tall)
	parts := distribute(forest, 1000, 2*tall.size())
	if tall.size() < maxGuardBytes || len(parts) > 8 {
		t.Errorf("%d parts, beside a tree of %d bytes", len(parts), tall.size())
	}
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n != len(forest) {
		t.Errorf("%d trees of %d", n, len(forest))
	}
}

// decisive is the place that decides over a bucket or anything else at key, or "".
func decisive(b *address.Book, key string) string {
	m, ok := b.Owner(key, "sto2")
	if !ok || m.Place == "" && m.Address != key {
		m, _ = b.Parent(key)
	}
	return m.Place
}

// What an object delivers, and where, is decided in one part.
func TestSplitKeepsDestinations(t *testing.T) {
	guards := New(large(60_000)).Guards(skottv1.GuardedCluster{Name: "ops", Role: "Ops"}, nil, families)
	refused := 0
	for i := 4; i < 60_000; i += 6_000 {
		application := map[string]any{"spec": map[string]any{
			"source":      map[string]any{"repoURL": fmt.Sprintf("https://git.example/org/repo-%d.git", i), "path": "overlays/production"},
			"destination": map[string]any{"server": "https://api-7.example:6443"},
		}}
		for _, g := range guards {
			d := NewEvaluator(g).Evaluate(&Request{Operation: "CREATE", Group: "argoproj.io", Resource: "applications", Object: application})
			if !d.Allowed {
				refused++
			}
		}
	}
	if refused != 10 {
		t.Errorf("%d of 10 Applications that deliver production to staging are refused, each by one Guard", refused)
	}
}
