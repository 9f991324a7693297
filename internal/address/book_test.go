// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t testing.TB, kind Type, value string) Address {
	t.Helper()
	a, err := Parse(kind, value)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// bookOf is a book of lines "place type value"; a place that begins with "prod" is of class
// Production, and one that ends with "shared" shares the address.
func bookOf(t testing.TB, lines ...string) *Book {
	t.Helper()
	return NewBook(entriesOf(t, lines...))
}

func entriesOf(t testing.TB, lines ...string) []Entry {
	t.Helper()
	var entries []Entry
	for _, line := range lines {
		f := strings.Fields(line)
		entries = append(entries, Entry{
			Address: mustParse(t, Type(f[1]), f[2]), Place: f[0],
			Production: strings.HasPrefix(f[0], "prod"), Shared: strings.HasSuffix(f[0], "shared"),
		})
	}
	return entries
}

var platform = []string{
	"prod Bucket https://s3.example/prod",
	"prod Bucket https://s3.example/both/prod/wal",
	"staging Bucket https://s3.example/both/staging",
	"shared Host s3.example",
	"prod Host *.customers.example",
	"prod-eu Host *.eu.customers.example",
	"shared Host status.customers.example",
	"staging Host demo.customers.example",
	"prod Host db.example",
	"prod CIDR 203.0.113.0/24",
	"staging CIDR 203.0.113.8/29",
	"prod CIDR sto2/10.0.0.0/8",
	"prod CIDR 2001:db8::/32",
	"staging CIDR 2001:db8:1::/48",
	"prod Volume driver/5b0c",
	"prod ClusterEndpoint https://api.prod.example:6443",
	"prod ClusterEndpoint https://api.prod.example",
	"prod ClusterEndpoint ns/prod-1",
	"prod Host storage.googleapis.com",
	"prod Host mine.s3.eu-north-1.amazonaws.com",
	"prod Git https://git.example/org/repo/overlays/production",
}

func TestOwner(t *testing.T) {
	b := bookOf(t, platform...)
	none := Match{}
	for name, c := range map[string]struct {
		reason string
		key    string
		site   string
		want   Match
	}{
		"Exact":             {"the address itself", "s3.example/prod", "", Match{"s3.example/prod", "prod", "s3.example/prod"}},
		"Below":             {"what lies below belongs to it", "s3.example/prod/a/b", "", Match{"s3.example/prod", "prod", "s3.example/prod"}},
		"Segment":           {"a segment is matched whole", "s3.example/production", "", Match{"s3.example", "", "s3.example"}},
		"Deepest":           {"the most specific wins", "s3.example/both/prod/wal/1", "", Match{"s3.example/both/prod/wal", "prod", "s3.example/both/prod/wal"}},
		"Sibling":           {"another owner beside it", "s3.example/both/staging/x", "", Match{"s3.example/both/staging", "staging", "s3.example/both/staging"}},
		"Above":             {"what lies above does not belong to it", "s3.example/both", "", Match{"s3.example", "", "s3.example"}},
		"PortOfHost":        {"a host is owned with all its ports", "db.example:5432", "", Match{"db.example", "prod", "db.example"}},
		"PathOnHost":        {"a host is owned with all its paths", "db.example:5432/app", "", Match{"db.example", "prod", "db.example"}},
		"Subdomain":         {"a host is not a suffix", "x.db.example", "", none},
		"Wildcard":          {"any name below the suffix", "a.b.customers.example", "", Match{"*.customers.example", "prod", "a.b.customers.example"}},
		"WildcardItself":    {"the suffix itself is not below it", "customers.example", "", none},
		"WildcardLonger":    {"the longer suffix wins", "a.eu.customers.example:443", "", Match{"*.eu.customers.example", "prod-eu", "a.eu.customers.example"}},
		"WildcardSubstring": {"a suffix is matched by labels", "evilcustomers.example", "", none},
		"SharedShields":     {"a shared host ends the search", "status.customers.example", "", Match{"status.customers.example", "", "status.customers.example"}},
		"HostBeforeSuffix":  {"a host wins over a suffix", "demo.customers.example", "", Match{"demo.customers.example", "staging", "demo.customers.example"}},
		"Network":           {"an IP of a network", "203.0.113.200", "", Match{"203.0.113.0/24", "prod", "203.0.113.200"}},
		"NetworkPort":       {"an IP with port and path", "203.0.113.200:5432/x", "", Match{"203.0.113.0/24", "prod", "203.0.113.200"}},
		"NetworkLonger":     {"the longer prefix wins", "203.0.113.9", "", Match{"203.0.113.8/29", "staging", "203.0.113.9"}},
		"NetworkOutside":    {"an IP beside it", "203.0.114.1", "", none},
		"PrivateHere":       {"a private IP where the network is", "10.1.2.3", "sto2", Match{"sto2/10.0.0.0/8", "prod", "10.1.2.3"}},
		"PrivateElsewhere":  {"the same IP in another datacenter", "10.1.2.3", "osl2", none},
		"PrivateNowhere":    {"the same IP without a datacenter", "10.1.2.3", "", none},
		"IPv6":              {"an IPv6 address", "2001:db8:2::1", "", Match{"2001:db8::/32", "prod", "2001:db8:2::1"}},
		"IPv6Longer":        {"the longer IPv6 prefix wins", "2001:db8:1::1", "", Match{"2001:db8:1::/48", "staging", "2001:db8:1::1"}},
		"IPv6Spelling":      {"another spelling of it", "2001:0db8:0001:0::1", "", Match{"2001:db8:1::/48", "staging", "2001:0db8:0001:0::1"}},
		"IPv4In6":           {"an IPv4 address in IPv6 is neither", "::ffff:203.0.113.9", "", none},
		"Volume":            {"a handle of a driver", "driver/5b0c", "", Match{"driver/5b0c", "prod", "driver/5b0c"}},
		"Endpoint":          {"an API server with its port", "api.prod.example:6443", "", Match{"api.prod.example:6443", "prod", "api.prod.example:6443"}},
		"EndpointDefault":   {"an API server at the default port is its host", "api.prod.example", "", Match{"api.prod.example", "prod", "api.prod.example"}},
		"ClusterName":       {"a Cluster by name", "cluster/ns/prod-1", "", Match{"cluster/ns/prod-1", "prod", "cluster/ns/prod-1"}},
		"GoogleStorage":     {"the host of Google storage is every bucket there", TokenKey("gs://any/thing"), "", Match{"gcs", "prod", "gcs"}},
		"BucketHost":        {"the host of a bucket is the bucket", TokenKey("s3://mine/x"), "", Match{"aws/mine", "prod", "aws/mine"}},
		"GitBelow":          {"a path in a repository", GitKey("git@git.example:org/repo.git", "overlays/production/a"), "", Match{"git.example/org/repo/overlays/production", "prod", "git.example/org/repo/overlays/production"}},
		"GitBeside":         {"another path in it", GitKey("https://git.example/org/repo", "overlays/staging"), "", none},
		"Empty":             {"nothing is nobody's", "", "", none},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := b.Owner(c.key, c.site)
			if diff := cmp.Diff(c.want, got); diff != "" || ok != (c.want != none) {
				t.Errorf("%s: Owner(%q, %q) ok = %t:\n%s", c.reason, c.key, c.site, ok, diff)
			}
		})
	}
}

func TestNetworkOwner(t *testing.T) {
	b := bookOf(t, platform...)
	if got, ok := b.NetworkOwner("2001:DB8:1::1", ""); !ok || got.Place != "staging" {
		t.Errorf("NetworkOwner = %v, %t, want staging", got, ok)
	}
	for _, ip := range []string{"", "db.example", "10.1.2.3/8", "fe80::1%eth0"} {
		if got, ok := b.NetworkOwner(ip, "sto2"); ok {
			t.Errorf("NetworkOwner(%q) = %v, want none", ip, got)
		}
	}
}

// Every order of the entries makes the same book.
func TestNewBookContested(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		key   string
		want  string
	}{
		"ProductionWins":  {[]string{"staging Host db.example", "prod Host db.example", "testing Host db.example"}, "db.example", "prod"},
		"FirstProduction": {[]string{"prod-b Host db.example", "prod-a Host db.example"}, "db.example", "prod-a"},
		"SharedWins":      {[]string{"prod Host db.example", "prod-shared Host DB.example."}, "db.example", ""},
		"ByKey":           {[]string{"staging Host api.example", "prod ClusterEndpoint https://api.example:443"}, "api.example", "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			entries := entriesOf(t, c.lines...)
			want := NewBook(entries)
			for range 20 {
				rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
				b := NewBook(entries)
				if diff := cmp.Diff(want, b); diff != "" {
					t.Fatalf("another order, another book:\n%s", diff)
				}
				if m, ok := b.Owner(c.key, ""); !ok || m.Place != c.want {
					t.Fatalf("Owner(%q) = %v, %t, want %q", c.key, m, ok, c.want)
				}
			}
		})
	}
}

func TestNewBookMaps(t *testing.T) {
	b := bookOf(t, platform...)
	for what, c := range map[string]struct{ got, want any }{
		"Parents":       {b.Parents, map[string]string{"s3.example/both": "prod", "s3.example/both/prod": "prod"}},
		"Depths":        {b.Depths, []int64{5, 4, 3, 2, 1}},
		"SuffixLabels":  {b.SuffixLabels, []int64{3, 2}},
		"PrefixLengths": {b.PrefixLengths, []int64{48, 32, 29, 24, 8}},
		"Hosts": {slices.Sorted(maps.Keys(b.Hosts)), []string{"api.prod.example", "aws", "cluster", "db.example", "demo.customers.example",
			"driver", "gcs", "git.example", "s3.example", "status.customers.example"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	empty := NewBook(nil)
	if _, ok := empty.Owner("a.example", ""); ok || empty.Addresses == nil || empty.Parents == nil || empty.Hosts == nil || empty.Aliases == nil {
		t.Errorf("NewBook(nil) = %+v, want maps without keys", empty)
	}
}

// A bucket that several places own prefixes of belongs, as a parent, to production.
func TestParent(t *testing.T) {
	for _, lines := range [][]string{
		{"prod Bucket s3.example/both/a", "staging Bucket s3.example/both/b"},
		{"staging Bucket s3.example/both/b", "prod Bucket s3.example/both/a"},
	} {
		b := bookOf(t, lines...)
		if m, ok := b.Parent("s3.example/both"); !ok || m.Place != "prod" {
			t.Errorf("Parent = %v, %t, want prod", m, ok)
		}
	}
	b := bookOf(t, "shared Bucket s3.example/tools/x", "prod Git git.example/org/repo/prod", "prod Bucket s3.example/whole")
	if len(b.Parents) > 0 {
		t.Errorf("Parents = %v, want none: only an owned prefix makes its bucket a parent", b.Parents)
	}
}

// The name and the data of a Secret that Argo CD writes for a cluster.
func TestAliases(t *testing.T) {
	b := bookOf(t, "prod ClusterEndpoint https://api.prod.example:6443", "prod ClusterEndpoint https://api.example", "prod ClusterEndpoint ns/prod-1")
	sum := func(s string) uint32 { h := fnv.New32a(); _, _ = h.Write([]byte(s)); return h.Sum32() }
	for spelling, want := range map[string]string{
		base64.StdEncoding.EncodeToString([]byte("https://api.prod.example:6443")):       "api.prod.example:6443",
		base64.StdEncoding.EncodeToString([]byte("https://api.prod.example:6443/")):      "api.prod.example:6443",
		base64.StdEncoding.EncodeToString([]byte("https://api.example")):                 "api.example",
		base64.StdEncoding.EncodeToString([]byte("https://api.example:443")):             "api.example",
		fmt.Sprintf("cluster-api.prod.example-%d", sum("https://api.prod.example:6443")): "api.prod.example:6443",
		fmt.Sprintf("cluster-api.example-%d", sum("https://api.example")):                "api.example",
		NameAlias + "prod-1": "cluster/ns/prod-1",
	} {
		if got := b.Aliases[spelling]; got != want {
			t.Errorf("alias %q = %q, want %q", spelling, got, want)
		}
		if m, ok := b.Owner(b.Aliases[spelling], ""); !ok || m.Place != "prod" {
			t.Errorf("Owner of alias %q = %v, %t", spelling, m, ok)
		}
	}
}

// naive decides by looking at every address.
func naive(addresses map[string]string, key, site string) string {
	host := headOf(key)
	best, place := -1, "nobody"
	consider := func(rank int, owner string) {
		if rank > best {
			best, place = rank, owner
		}
	}
	const hosts, suffixes = 10000, 5000
	for text, owner := range addresses {
		if text == host {
			consider(hosts, owner)
		}
		if key == text || strings.HasPrefix(key, text+"/") {
			consider(hosts+len(text), owner)
		}
		if suffix, ok := strings.CutPrefix(text, "*"); ok && strings.HasSuffix(host, suffix) {
			consider(suffixes+len(suffix), owner)
		}
		for _, candidate := range []string{key, host} {
			ip, err := netip.ParseAddr(candidate)
			n, errN := netip.ParsePrefix(strings.TrimPrefix(text, site+"/"))
			if err == nil && errN == nil && n.Contains(ip) {
				consider(n.Bits(), owner)
			}
		}
	}
	return place
}

// randomKey is made of few parts, so that keys meet addresses often.
func randomKey(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	key := pick("a", "b", "c") + pick(".x", ".y", ".a.x", ".b.a.x") + pick(".example", ".test")
	if r.IntN(4) == 0 {
		key = pick("10.0", "192.0", "203.0") + pick(".0", ".1") + pick(".0", ".9")
	}
	key += pick("", "", ":8080")
	for range r.IntN(4) {
		key += "/" + pick("a", "b", "c")
	}
	return key
}

func TestOwnerAgreesWithNaiveBook(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var entries []Entry
	add := func(kind Type, value string) {
		if a, err := Parse(kind, value); err == nil {
			entries = append(entries, Entry{Address: a, Place: fmt.Sprint("place", r.IntN(5)), Production: r.IntN(2) == 0, Shared: r.IntN(9) == 0})
		}
	}
	for range 40 {
		key := randomKey(r)
		add(Bucket, key)
		add(Host, headOf(key))
		add(Host, "*."+headOf(key))
		add(CIDR, headOf(key)+fmt.Sprintf("/%d", 8+r.IntN(25)))
		add(CIDR, "sto2/"+headOf(key)+fmt.Sprintf("/%d", 8+r.IntN(25)))
		add(ClusterEndpoint, headOf(key)+":8080")
	}
	b := NewBook(entries)
	owned := 0
	for range 5000 {
		key := randomKey(r)
		m, ok := b.Owner(key, "sto2")
		got := m.Place
		if !ok {
			got = "nobody"
		} else {
			owned++
		}
		if want := naive(b.Addresses, key, "sto2"); got != want {
			t.Fatalf("Owner(%q) = %q of %q, want %q", key, m.Address, got, want)
		}
		mayHold(t, b, key)
	}
	if owned < 1000 || owned > 4900 {
		t.Errorf("%d of 5000 keys are owned: the test does not try both answers", owned)
	}
}

// mayHold fails when MayHold says no to a text of which a token has an owner.
func mayHold(t *testing.T, b *Book, text string) {
	t.Helper()
	for _, token := range Tokens(text) {
		if m, ok := b.Owner(TokenKey(token), "sto2"); ok && !b.MayHold(text) {
			t.Fatalf("MayHold(%q) = false, but %q belongs to %v", text, token, m)
		}
	}
}

func FuzzMayHold(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(r.Value, " ")
	}
	b := bookOf(f, platform[:4]...)
	some := bookOf(f, append(slices.Clone(platform), "prod Bucket s3://wal", "prod Volume nfs/nas.example/x")...)
	f.Fuzz(func(t *testing.T, left, right string) {
		for _, book := range []*Book{b, some} {
			mayHold(t, book, Lower(left))
			mayHold(t, book, Lower(left+" "+right))
		}
	})
}
