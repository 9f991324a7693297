// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
)

// bitSet is a set of hashed words. It may hold more than was added, never less.
type bitSet struct {
	words []uint64
	shift uint
	used  bool
}

// bitsPerWord keeps what a set wrongly holds near one word in sixteen at most.
const bitsPerWord = 16

// newBitSet is a set for at most n words.
func newBitSet(n int) bitSet {
	log := max(9, bits.Len(uint(n*bitsPerWord)))
	return bitSet{words: make([]uint64, 1<<(log-6)), shift: uint(64 - log)}
}

const golden = 0x9E3779B97F4A7C15

func (b *bitSet) add(word uint64) {
	i := (word * golden) >> b.shift
	b.words[i>>6] |= 1 << (i & 63)
	b.used = true
}

func (b *bitSet) has(word uint64) bool {
	i := (word * golden) >> (b.shift & 63)
	return b.words[i>>6]&(1<<(i&63)) != 0
}

// hashSet is a set of hashes. What it wrongly holds is as rare as two texts with one hash.
type hashSet struct {
	slots []uint64
	shift uint
	used  bool
}

// newHashSet is a set for at most n hashes.
func newHashSet(n int) hashSet {
	log := max(4, bits.Len(uint(2*n)))
	return hashSet{slots: make([]uint64, 1<<log), shift: uint(64 - log)}
}

func (s *hashSet) add(hash uint64) {
	if i, ok := s.find(hash); !ok {
		s.slots[i] = max(1, hash)
	}
	s.used = true
}

func (s *hashSet) has(hash uint64) bool {
	_, ok := s.find(hash)
	return ok
}

// find is the slot of a hash, or that where it belongs. Half of the slots are empty.
func (s *hashSet) find(hash uint64) (i uint64, ok bool) {
	hash = max(1, hash) // 0 is an empty slot
	for i = (hash * golden) >> (s.shift & 63); ; i++ {
		i &= uint64(len(s.slots) - 1)
		if slot := s.slots[i]; slot == hash || slot == 0 {
			return i, slot != 0
		}
	}
}

// hashOf hashes a host without regard to case: of the bytes of a host, fold changes letters
// alone.
func hashOf(host []byte) uint64 {
	h := uint64(len(host))
	for len(host) >= 8 {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(host)|fold)*golden, 29)
		host = host[8:]
	}
	var w uint64
	for i, c := range host {
		w |= uint64(c|0x20) << (8 * i)
	}
	h = (h ^ w) * golden
	return h ^ h>>32
}

// hashOfKey hashes an address by its parts: host, port, and each segment of the path.
func hashOfKey(key string) uint64 {
	head, path, _ := strings.Cut(key, "/")
	host := headOf(key)
	h := hashOf([]byte(host))
	if port := head[len(host):]; port != "" {
		h = joined(h, hashOf([]byte(port)))
	}
	eachSegment([]byte(path), func(segment []byte) bool {
		h = joined(h, hashOf(segment))
		return true
	})
	return h
}

// joined is the hash of a text with another part.
func joined(h, part uint64) uint64 { return (bits.RotateLeft64(h, 23) ^ part) * golden }

// What a byte may be in, in either case. Runs are made of the bytes of tokens; no token
// reaches beyond its run.
const (
	labelByte = 1 << iota
	hostByte
	pathByte
	inRun
	base64Byte
)

var kinds = func() (out [256]byte) {
	add := func(bytes string, kind byte) {
		for _, c := range []byte(bytes) {
			out[c] |= kind
		}
	}
	letters := "abcdefghijklmnopqrstuvwxyz0123456789"
	letters += strings.ToUpper(letters[:26])
	add(letters+"-", labelByte)
	add(letters+"-.", hostByte)
	add(letters+"._~%=+/-", pathByte)
	add(letters+"._~%=+/-:", inRun)
	add(letters+"+/-_", base64Byte)
	return out
}()

func isDigit(c byte) bool { return c-'0' <= 9 }

func isAlphanumeric(c byte) bool { return c != '-' && kinds[c]&labelByte != 0 }

// parseNetwork is the IPv4 network that an address of the book is, if it counts in the
// datacenter.
func parseNetwork(text, datacenter string) (netip.Prefix, bool) {
	start := networkStart(text)
	if start > 0 && text[:start] != datacenter+"/" {
		return netip.Prefix{}, false
	}
	if c := text[start:]; c == "" || !isDigit(c[0]) || strings.Count(c, ".") != 3 {
		return netip.Prefix{}, false
	}
	network, err := netip.ParsePrefix(text[start:])
	return network, err == nil && network.Addr().Is4()
}

// nearNetwork reports whether the dot at p may be the first one of an IP in a network: the
// number before it begins one. Most numbers with dots are versions.
func (f *Finder) nearNetwork(t []byte, p int) bool {
	first, n := p, 0
	for first > 0 && p-first < 3 && isDigit(t[first-1]) {
		first--
	}
	for _, c := range t[first:p] {
		n = 10*n + int(c-'0')
	}
	if n > 255 || !f.octets[n] {
		return false
	}
	if first == 0 || kinds[t[first-1]]&hostByte == 0 {
		return true
	}
	// A longer label is no number, unless its head is the tail of an escape such as \u003e.
	return slices.Contains(t[max(0, first-6):first], '\\')
}

// isIPv4 reports whether a host is four numbers, as netip.ParseAddr takes them.
func isIPv4(host []byte) bool {
	numbers, n, digits := 1, 0, 0
	for _, c := range host {
		switch {
		case c == '.':
			if digits == 0 {
				return false
			}
			numbers, n, digits = numbers+1, 0, 0
		case !isDigit(c) || digits > 0 && n == 0:
			return false
		default:
			n, digits = 10*n+int(c-'0'), digits+1
			if n > 255 {
				return false
			}
		}
	}
	return numbers == 4 && digits > 0
}
