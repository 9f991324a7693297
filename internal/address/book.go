// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/base64"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Entry says that an address belongs to a place.
type Entry struct {
	Address Address
	// Place that owns the address: an Environment, by name.
	Place string
	// Production: the place is of class Production. Where two places claim one address, the
	// one of class Production has it, so that a contested address stays guarded.
	Production bool
	// Shared: several environments use the address; naming it is never a crossing.
	Shared bool
}

// Book says to whom addresses belong, in the form that decisions and policies read. It is
// immutable once built, and the same as the maps of a Guard. The cost of a look-up grows
// with the number of distinct depths, never with the number of addresses.
type Book struct {
	// Addresses in canonical form with the place that owns them, "" for shared ones.
	Addresses map[string]string
	// Parents are the containers of owned buckets, prefixes and paths.
	Parents map[string]string
	// Hosts are the first segments of the addresses, without port.
	Hosts map[string]string
	// Aliases are spellings of cluster endpoints that a policy cannot compute, with the
	// canonical address.
	Aliases map[string]string
	// Depths, SuffixLabels and PrefixLengths are what occurs, largest first.
	Depths, SuffixLabels, PrefixLengths []int64
}

// NewBook builds the book of entries; their order does not matter.
func NewBook(entries []Entry) *Book {
	b := &Book{Addresses: make(map[string]string, len(entries)), Parents: map[string]string{}, Hosts: make(map[string]string, len(entries)), Aliases: map[string]string{}}
	depths, labels, lengths := map[int64]bool{}, map[int64]bool{}, map[int64]bool{}
	for _, e := range strictest(entries) {
		text := e.Address.Key()
		b.Addresses[text] = e.Place
		if e.Shared {
			b.Addresses[text] = ""
		}
		switch {
		case e.Address.kind == CIDR:
			lengths[int64(netip.MustParsePrefix(text[networkStart(text):]).Bits())] = true
			continue
		case strings.HasPrefix(text, "*."):
			labels[int64(strings.Count(text, "."))] = true
			continue
		}
		segments := strings.Count(text, "/") + 1
		depths[int64(segments)] = true
		b.Hosts[headOf(text)] = ""
		if e.Address.kind == Bucket && !e.Shared {
			for i := strings.IndexByte(text, '/') + 1; ; {
				next := strings.IndexByte(text[i:], '/')
				if next < 0 {
					break
				}
				i += next
				b.Parents[text[:i]] = e.Place
				i++
			}
		}
		if e.Address.kind == ClusterEndpoint {
			addAliases(b.Aliases, text)
		}
	}
	b.Depths, b.SuffixLabels, b.PrefixLengths = descending(depths), descending(labels), descending(lengths)
	return b
}

// Equal reports whether another book says the same.
func (b *Book) Equal(other *Book) bool {
	return maps.Equal(b.Addresses, other.Addresses) && maps.Equal(b.Parents, other.Parents) && maps.Equal(b.Hosts, other.Hosts) &&
		maps.Equal(b.Aliases, other.Aliases) && slices.Equal(b.Depths, other.Depths) && slices.Equal(b.SuffixLabels, other.SuffixLabels) &&
		slices.Equal(b.PrefixLengths, other.PrefixLengths)
}

// strictest sorts the entries so that, of several for one address, the last is the one
// that counts: a shared one over any, then class Production, then the first by name.
func strictest(entries []Entry) []Entry {
	rank := func(e Entry) int {
		// Only who is of class Production may say that its address is shared with others.
		n := 0
		if e.Shared {
			n = 1
		}
		if e.Production {
			n += 2
		}
		return n
	}
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(x, y Entry) int {
		if d := rank(x) - rank(y); d != 0 {
			return d
		}
		return -strings.Compare(x.Place, y.Place)
	})
	return sorted
}

// headOf is the first segment of a canonical text, without its port.
func headOf(text string) string {
	if i := strings.IndexAny(text, "/:"); i >= 0 {
		return text[:i]
	}
	return text
}

// networkStart is where the network of a CIDR address begins, behind its datacenter.
func networkStart(text string) int {
	if strings.Count(text, "/") == 2 {
		return strings.IndexByte(text, '/') + 1
	}
	return 0
}

func descending(set map[int64]bool) []int64 {
	out := slices.Sorted(maps.Keys(set))
	slices.Reverse(out)
	return out
}

// NameAlias begins the alias of a Cluster by its bare name, as the destination of an Argo
// CD Application gives it.
const NameAlias = "name/"

// addAliases adds what the Secret of Argo CD for a cluster endpoint looks like: its data in
// base64, which a policy cannot decode, and the name that "argocd cluster add" gives it.
func addAliases(aliases map[string]string, text string) {
	if name, ok := strings.CutPrefix(text, clusterPrefix); ok {
		_, name, _ = strings.Cut(name, "/")
		aliases[NameAlias+name] = text
		return
	}
	servers := []string{"https://" + text, "https://" + text + "/"}
	if !strings.Contains(text, ":") {
		servers = append(servers, "https://"+text+":443", "https://"+text+":443/")
	}
	for _, server := range servers {
		aliases[base64.StdEncoding.EncodeToString([]byte(server))] = text
		h := fnv.New32a()
		_, _ = h.Write([]byte(server))
		aliases["cluster-"+headOf(text)+"-"+strconv.FormatUint(uint64(h.Sum32()), 10)] = text
	}
}

// Match is the most specific address of the book that holds a key.
type Match struct {
	// Address that matched, in canonical form; it may be a wildcard or a network.
	Address string
	// Place that owns it; "" if it is shared.
	Place string
	// Written is the part of the key that the address covers: what may be shown to whoever
	// wrote the key without revealing another name.
	Written string
}

// Owner finds the most specific address that holds key, trying the deepest path first,
// then the host, then suffixes, then networks. datacenter is where the reader of key
// stands: private networks mean something only there.
func (b *Book) Owner(key, datacenter string) (Match, bool) {
	for _, depth := range b.Depths {
		prefix := firstSegments(key, int(depth))
		if place, ok := b.Addresses[prefix]; ok {
			return Match{Address: prefix, Place: place, Written: prefix}, true
		}
	}
	host := headOf(key)
	if place, ok := b.Addresses[host]; ok {
		return Match{Address: host, Place: place, Written: host}, true
	}
	if m, ok := b.suffix(host); ok {
		return m, true
	}
	if strings.Count(key, ":") > 1 {
		return b.network(key, datacenter)
	}
	return b.network(host, datacenter)
}

// suffix finds the longest "*." address that holds a host.
func (b *Book) suffix(host string) (Match, bool) {
	var buffer [128]byte
	for _, n := range b.SuffixLabels {
		suffix, ok := lastLabels(host, int(n))
		if !ok {
			continue
		}
		text := append(append(buffer[:0], "*."...), suffix...)
		if place, ok := b.Addresses[string(text)]; ok {
			return Match{Address: string(text), Place: place, Written: host}, true
		}
	}
	return Match{}, false
}

// NetworkOwner finds the longest network of the book that holds an IP.
func (b *Book) NetworkOwner(ip, datacenter string) (Match, bool) {
	return b.network(Short(ip), datacenter)
}

func (b *Book) network(host, datacenter string) (Match, bool) {
	if len(b.PrefixLengths) == 0 || !looksLikeIP(host) {
		return Match{}, false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4In6() {
		return Match{}, false
	}
	var buffer [128]byte
	for _, n := range b.PrefixLengths {
		if int(n) > ip.BitLen() {
			continue
		}
		network, err := ip.Prefix(int(n))
		if err != nil {
			continue
		}
		// The same network, without its datacenter and with it.
		text := network.AppendTo(append(append(buffer[:0], datacenter...), '/'))
		for _, text := range [2][]byte{text[len(datacenter)+1:], text} {
			if place, ok := b.Addresses[string(text)]; ok {
				return Match{Address: string(text), Place: place, Written: host}, true
			}
		}
	}
	return Match{}, false
}

// looksLikeIP reports whether a text in lower case holds what an IP is made of, and nothing
// else. It keeps names from the parser, whose errors cost more than its answers.
func looksLikeIP(s string) bool {
	separated := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' || c == ':':
			separated = true
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return separated
}

// Root names what an address of the book belongs together with: the least specific address
// that holds it and is not shared. Addresses with different roots never hold the same key,
// nor have the same parent, except that a shared address may hold both.
func (b *Book) Root(a Address) string {
	key := a.Key()
	host := headOf(key)
	switch {
	case a.kind == CIDR, len(b.PrefixLengths) > 0 && looksLikeIP(host):
		return networks
	case strings.HasPrefix(key, "*."):
		host = key[1:]
	}
	for _, n := range slices.Backward(b.SuffixLabels) {
		if suffix, ok := lastLabels(host, int(n)); ok && b.Addresses["*."+suffix] != "" {
			return "*." + suffix
		}
	}
	if b.Addresses[host] != "" {
		return host
	}
	for i := 1; ; i++ {
		prefix := firstSegments(key, i)
		if prefix == key || b.Addresses[prefix] != "" || b.Parents[prefix] != "" {
			return prefix
		}
	}
}

// networks is the root of every network, and of what stands at an IP.
const networks = "networks"

// Parent finds the owner of something that lies below key.
func (b *Book) Parent(key string) (Match, bool) {
	place, ok := b.Parents[key]
	return Match{Address: key, Place: place, Written: key}, ok
}

// MayHold reports whether a text in lower case can hold an address of the book at all. It
// looks at the hosts of tokens only and is never wrong when it says no.
func (b *Book) MayHold(lower string) bool {
	for start, end := nextHead(lower, 0); end > 0; start, end = nextHead(lower, end) {
		if b.knowsHead(lower[start:end]) {
			return true
		}
	}
	return false
}

func (b *Book) knowsHead(head string) bool {
	if _, ok := b.Hosts[head]; ok {
		return true
	}
	if _, aws := b.Hosts["aws"]; aws && (strings.HasPrefix(head, "s3://") || strings.HasSuffix(head, awsDomain)) {
		return true
	}
	if _, gcs := b.Hosts["gcs"]; gcs && (strings.HasPrefix(head, "gs://") || strings.HasSuffix(head, gcsHost)) {
		return true
	}
	if len(b.PrefixLengths) > 0 && looksLikeIP(head) {
		return true
	}
	_, ok := b.suffix(head)
	return ok
}

// firstSegments is the first n segments of key, or all of it.
func firstSegments(key string, n int) string {
	for i := 0; i < len(key); i++ {
		if key[i] == '/' {
			if n--; n == 0 {
				return key[:i]
			}
		}
	}
	return key
}

// lastLabels is the last n labels of a host that has more than n.
func lastLabels(host string, n int) (string, bool) {
	for i := len(host) - 1; i >= 0; i-- {
		if host[i] == '.' {
			if n--; n == 0 {
				return host[i+1:], true
			}
		}
	}
	return "", false
}
