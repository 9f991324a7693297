// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/skott-dev/skott/internal/address"
)

// maxGuardBytes is how large the address maps of one Guard may grow before it is split:
// etcd takes no more than 1.5 MiB.
const maxGuardBytes = 1 << 20

// part of the address book, as much as one Guard holds.
type part struct {
	*address.Book
	// digest is made when it is asked for.
	digest func() string
}

func newPart(book *address.Book) part {
	return part{book, sync.OnceValue(func() string { return digest(book) })}
}

// tree is a set of addresses that must stand in one Guard, because one of them may be more
// specific than another.
type tree struct {
	root    string
	entries []address.Entry
	// cluster: it holds API servers. What an object delivers to is looked up in the same
	// Guard as what it delivers, so every part has all of these.
	cluster bool
}

// split cuts the book into parts that each fit one object. Every part decides over its
// addresses as the whole would: an address is never apart from those that it contains, nor
// from those that contain it. Shared ones are in every part, where they only end searches.
//
// Where a tree stands follows from its root and from the number of parts alone, so that one
// more address changes one part: a part is a megabyte for each API server and its etcd. With
// one part more, trees move to that one, and no other.
func split(entries []address.Entry) []*address.Book {
	all := address.NewBook(entries)
	total := sizeOfBook(all)
	if total <= maxGuardBytes {
		return []*address.Book{all}
	}
	var common, owned []address.Entry
	for _, e := range entries {
		if e.Shared {
			common = append(common, e)
		} else {
			owned = append(owned, e)
		}
	}
	forest := trees(all, owned)
	for _, t := range forest {
		if t.cluster {
			common = append(common, t.entries...)
		}
	}
	shared := address.NewBook(common)
	maps.DeleteFunc(shared.Aliases, func(spelling, _ string) bool { return !strings.HasPrefix(spelling, address.NameAlias) })
	parts := distribute(forest, sizeOfBook(shared), total)
	out := make([]*address.Book, len(parts))
	for i, trees := range parts {
		out[i] = join(trees, common, shared.Aliases)
	}
	return out
}

// distribute gives the trees to as few parts as hold them, base being what every part has, and
// total about what there is. A tree that is too large for a part has to itself what such a part
// may grow to beyond.
func distribute(forest []tree, base, total int) [][]tree {
	sizes, hashes, most := make([]int, len(forest)), make([]uint64, len(forest)), maxGuardBytes
	for i, t := range forest {
		sizes[i] = t.size()
		most = max(most, base+sizes[i]+maxGuardBytes/4)
		h := fnv.New64a()
		_, _ = h.Write([]byte(t.root))
		hashes[i] = h.Sum64()
	}
	for n := max(2, total/most); ; n++ {
		loads := slices.Repeat([]int{base}, n)
		for i, h := range hashes {
			loads[placed(h, n)] += sizes[i]
		}
		if slices.Max(loads) > most && n < len(forest) {
			continue
		}
		parts := make([][]tree, n)
		for i, h := range hashes {
			at := placed(h, n)
			parts[at] = append(parts[at], forest[i])
		}
		return parts
	}
}

// placed is one of n parts. Of n+1 it is another one for as few as can be, and then the last
// ("A Fast, Minimal Memory, Consistent Hash Algorithm", Lamping and Veach, 2014).
func placed(hash uint64, n int) int {
	at, next := int64(-1), int64(0)
	for next < int64(n) {
		at = next
		hash = hash*2862933555777941757 + 1
		next = int64(float64(at+1) * (float64(int64(1)<<31) / float64(hash>>33+1)))
	}
	return int(at)
}

// size is how many bytes the tree adds to a part, or a little more.
func (t tree) size() int {
	if t.cluster {
		return sizeOfMap(address.NewBook(t.entries).Aliases) // the rest is in every part
	}
	n := 0
	for _, e := range t.entries {
		key := e.Address.Key()
		one := len(key) + len(e.Place) + len(`"":"",`)
		n += 2 * one // in Addresses, and its host in Hosts
		if e.Address.Type() == address.Bucket {
			n += one * max(0, strings.Count(key, "/")-1) // in Parents
		}
	}
	return n
}

// join is the book of some trees and of what every part has. Of the API servers that are
// not among the trees, it has the aliases that every part has.
func join(part []tree, common []address.Entry, aliases map[string]string) *address.Book {
	entries := slices.Clone(common)
	var own []address.Entry
	for _, t := range part {
		if t.cluster {
			own = append(own, t.entries...)
		} else {
			entries = append(entries, t.entries...)
		}
	}
	book := address.NewBook(entries)
	book.Aliases = maps.Clone(aliases)
	maps.Copy(book.Aliases, address.NewBook(own).Aliases)
	return book
}

// trees groups the entries by the root of their addresses.
func trees(all *address.Book, entries []address.Entry) []tree {
	index, of, sizes := make(map[string]int, len(entries)), make([]int, len(entries)), []int(nil)
	var out []tree
	for i, e := range entries {
		root := all.Root(e.Address)
		at, known := index[root]
		if !known {
			at = len(out)
			index[root] = at
			out, sizes = append(out, tree{root: root}), append(sizes, 0)
		}
		of[i] = at
		sizes[at]++
	}
	room := make([]address.Entry, len(entries))
	for i, n := range sizes {
		out[i].entries, room = room[:0:n], room[n:]
	}
	for i, e := range entries {
		t := &out[of[i]]
		t.entries = append(t.entries, e)
		t.cluster = t.cluster || e.Address.Type() == address.ClusterEndpoint
	}
	return out
}

// sizeOfBook is how many bytes the maps of a book take in a Guard.
func sizeOfBook(b *address.Book) int {
	return sizeOfMap(b.Addresses) + sizeOfMap(b.Parents) + sizeOfMap(b.Hosts) + sizeOfMap(b.Aliases)
}

func sizeOfMap(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v) + len(`"":"",`)
	}
	return n
}
