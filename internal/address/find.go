// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"unsafe"
)

// Hit is an address of the book that somebody owns, found in bytes.
type Hit struct {
	Match
	// Offset of what names it, in the bytes that were given. What was found in a layer has
	// the offset of the outermost run of bytes that had to be decoded.
	Offset int
	// Layers that had to be taken off, outermost first; none for what stands there plainly.
	Layers []Layer
}

// Finder finds the addresses of a book in bytes of any kind. It is immutable and safe for
// concurrent use.
//
// What it says of a token is what Book.Owner says of its TokenKey, so that it knows the same
// addresses as Evaluate and the policies: a host is that host and not what lies below it, a
// wildcard is what lies below it, a shared address is never a hit. IPv4 addresses count
// where the book holds their network; IPv6 is no token and is not found. Beyond tokens it
// knows repositories as git writes them, and handles that are distinctive in themselves.
//
// It looks no token up that it can dismiss sooner. Every address that is a token has a dot,
// and eight bytes around or beside that dot, in lower case, are in one of a few sets of
// bits. So the text is searched for dots, eight bytes at a time, and only where the bytes
// at a dot are those of an address is the token around it read. What that costs does not
// depend on the number of addresses until the sets outgrow the caches.
type Finder struct {
	book       *Book
	datacenter string

	// windows hold the eight bytes at one dot of each host, by where they begin. Hosts that
	// are too short for that are in beside, with the byte before a dot and the one after.
	windows []window
	beside  bitSet
	// tails are what stands from those dots to the ends of hosts: most texts that come near an
	// address are other hosts, and need not be read around the dot.
	tails hashSet
	// hosts of owned addresses, and the addresses themselves, by their segments.
	hosts, keys hashSet
	// suffixes are those of wildcards, of at most longest bytes.
	suffixes hashSet
	longest  int
	// networks: whether there are any. octets are the first ones of them.
	networks bool
	octets   [256]bool
	// aws, gcs: whether somebody owns a bucket there.
	aws, gcs bool
	// git: whether paths are read as git writes them, too.
	git     bool
	handles handles
}

// NewFinder builds the Finder of a book. datacenter is where the text belongs: private
// networks mean something only there.
func NewFinder(book *Book, datacenter string) *Finder {
	f := &Finder{book: book, datacenter: datacenter, git: true}
	n := len(book.Addresses)
	f.beside = newBitSet(n)
	f.hosts, f.keys, f.suffixes, f.tails = newHashSet(n), newHashSet(n), newHashSet(n), newHashSet(n+2)
	for _, from := range froms {
		f.windows = append(f.windows, window{from, newBitSet(n)})
	}
	var named []handle
	for text, place := range book.Addresses {
		if place == "" {
			continue
		}
		if h, ok := handleOf(text); ok {
			named = append(named, handle{h, text})
		}
		f.addNetwork(text)
		if suffix, ok := strings.CutPrefix(text, "*"); ok {
			f.addDots(suffix)
			f.suffixes.add(hashOf([]byte(suffix)))
			f.longest = max(f.longest, len(suffix))
			continue
		}
		switch host := headOf(text); {
		case host == "aws":
			f.aws = true
		case host == "gcs":
			f.gcs = true
		case strings.Contains(host, "."):
			f.addDots(host)
			f.hosts.add(hashOf([]byte(host)))
			f.keys.add(hashOfKey(text))
		}
	}
	if f.aws {
		f.addDots(awsDomain)
	}
	if f.gcs {
		f.addDots(gcsHost)
	}
	f.windows = slices.DeleteFunc(f.windows, func(w window) bool { return !w.used })
	f.handles = newHandles(named)
	return f
}

// fold lowers eight letters at once. It changes bytes that are in no token as well, which a
// closer look then finds out.
const (
	fold  = 0x2020202020202020
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	dots  = '.' * ones
)

// window is a set of what stands at dots, in the eight bytes that begin at an offset from them.
type window struct {
	from int
	bitSet
}

// froms are the offsets in use: with as much of the label before the dot as there is, up to
// half of the bytes, or all of it where little comes behind. A suffix has nothing before
// its first dot.
var froms = [...]int{-4, -3, -2, -1, 0, earliest}

const (
	earliest = -7
	reach    = 8
)

// addDots makes one dot of a host or a suffix known, the first one with enough bytes.
func (f *Finder) addDots(host string) {
	for _, whole := range [2]bool{true, false} {
		for i := range len(host) {
			if host[i] != '.' {
				continue
			}
			from := max(-i, froms[0])
			if !whole {
				from = earliest
			}
			if first := i + from; first >= 0 && first+reach <= len(host) {
				w := &f.windows[slices.Index(froms[:], from)]
				w.add(binary.LittleEndian.Uint64([]byte(host[first:first+reach])) | fold)
				f.tails.add(hashOf([]byte(host[i:])))
				return
			}
		}
	}
	for i := range len(host) - 1 {
		if host[i] != '.' {
			continue
		}
		before := uint64(0) // of a suffix, any
		if i > 0 {
			before = uint64(host[i-1])
		}
		f.beside.add(before<<8 | uint64(host[i+1]))
		f.tails.add(hashOf([]byte(host[i:])))
		return
	}
}

// addNetwork makes the first octets of a network known, if text is one that counts here.
func (f *Finder) addNetwork(text string) {
	network, ok := parseNetwork(text, f.datacenter)
	if !ok {
		return
	}
	f.networks = true
	first := network.Masked().Addr().As4()[0]
	last := first
	if n := network.Bits(); n < 8 {
		last |= byte(0xff >> n)
	}
	for o := int(first); o <= int(last); o++ {
		f.octets[o] = true
	}
}

// Find calls visit with every owned address in a text, as it stands there, until visit
// returns false; in which order is not said. Text that holds none costs no allocation.
func (f *Finder) Find(text []byte, visit func(Hit) bool) {
	b := buffersPool.Get().(*buffers) //nolint:forcetypeassert // nothing else is put there
	s := scan{f: f, text: text, b: b}
	s.run(visit)
	b.release()
}

// scan is one pass over one text.
type scan struct {
	f    *Finder
	text []byte
	// escapes: how a backslash in front of a token is read.
	escapes escapes
	b       *buffers
	// of is set where the text is one of the layers of another.
	of      *layers
	stopped bool
	// schemes: URLs of object stores are looked up, and nothing else.
	schemes bool
	// done is where the last run of token bytes ended; runAt where the present one began.
	done, runAt int
}

// run visits all there is. A visit is handed down and kept nowhere, so that it need not be
// allocated.
func (s *scan) run(visit func(Hit) bool) {
	s.findDots(visit)
	if !s.stopped && (s.f.aws || s.f.gcs) {
		s.done, s.schemes = 0, true
		s.findSchemes(visit)
	}
	if !s.stopped {
		s.findHandles(visit)
	}
}

// drain visits what was found since.
func (s *scan) drain(visit func(Hit) bool) bool {
	for _, h := range s.b.pending {
		if s.stopped = !visit(h); s.stopped {
			break
		}
	}
	s.b.pending = s.b.pending[:0]
	return !s.stopped
}

// findDots looks at every dot of the text.
func (s *scan) findDots(visit func(Hit) bool) {
	t, i := s.text, 0
	for ; i+8 <= len(t); i += 8 {
		x := binary.LittleEndian.Uint64(t[i:]) ^ dots
		// A zero byte of x is a dot. What follows one may be taken for a dot, too.
		for m := (x - ones) &^ x & highs; m != 0; m &= m - 1 {
			if p := i + bits.TrailingZeros64(m)>>3; p >= s.done && s.f.near(t, p) && !s.examine(p, visit) {
				return
			}
		}
	}
	for ; i < len(t); i++ {
		if t[i] == '.' && i >= s.done && s.f.near(t, i) && !s.examine(i, visit) {
			return
		}
	}
}

// findSchemes looks at every s3:// and gs:// URL: their buckets need no dot.
func (s *scan) findSchemes(visit func(Hit) bool) {
	for i := 0; ; i++ {
		n := bytes.Index(s.text[i:], []byte("://"))
		if n < 0 {
			return
		}
		if i += n; i >= s.done && schemeAt(s.text, i) != "" && !s.examine(i, visit) {
			return
		}
	}
}

// near reports whether the bytes at the dot at p may be those of an address.
func (f *Finder) near(t []byte, p int) bool {
	if p < -earliest || p+reach > len(t) {
		return true
	}
	for i := range f.windows {
		w := &f.windows[i]
		if w.has(binary.LittleEndian.Uint64(t[p+w.from:]) | fold) {
			if f.knowsTail(t, p) {
				return true
			}
			break
		}
	}
	if f.beside.used {
		next := uint64(t[p+1] | 0x20)
		if (f.beside.has(uint64(t[p-1]|0x20)<<8|next) || f.beside.has(next)) && f.knowsTail(t, p) {
			return true
		}
	}
	return f.networks && isDigit(t[p-1]) && isDigit(t[p+1]) && f.nearNetwork(t, p)
}

// knowsTail reports whether the bytes from the dot at p to the end of the host are those of
// an address.
func (f *Finder) knowsTail(t []byte, p int) bool {
	end := p + 1
	for end < len(t) && kinds[t[end]]&hostByte != 0 {
		end++
	}
	for end > p+1 && !isAlphanumeric(t[end-1]) {
		end--
	}
	return f.tails.has(hashOf(t[p:end]))
}

// examine reads the tokens of the run of bytes around p. It returns false to stop.
func (s *scan) examine(p int, visit func(Hit) bool) bool {
	t, start, end := s.text, p, p
	for start > s.done && kinds[t[start-1]]&inRun != 0 {
		start--
	}
	for end < len(t) && kinds[t[end]]&inRun != 0 {
		end++
	}
	s.done, s.runAt = end, start
	if s.escapes != unescaped && start > 0 && t[start-1] == '\\' {
		if n := escapeTail(t[start:end]); n > 0 {
			// In "\ndb.example" the host is db.example. Where nobody knows whether the
			// backslash says so, both are looked up.
			if s.escapes == mayBeEscaped || evenBackslashes(t[:start]) {
				s.tokens(start, end)
			}
			start += n
		}
	}
	s.tokens(start, end)
	return len(s.b.pending) == 0 && !s.stopped || s.drain(visit)
}

// tokens looks up every token between two indices.
func (s *scan) tokens(start, end int) {
	for start < end && !s.stopped {
		k := nextToken(s.text, start, end)
		if k.end == 0 {
			return
		}
		s.judge(&k, end)
		start = k.end
	}
}

// judge looks one token up.
func (s *scan) judge(k *token, end int) {
	f, t := s.f, s.text
	if (k.provider != "") != s.schemes {
		return
	}
	if known := k.provider == "" && f.hosts.has(hashOf(t[k.start:k.hostEnd])); known && !f.mayOwn(t, k) {
		// Others are on the same host.
		if !f.git || !gitLike(t, k, end) {
			return
		}
	} else if !known && k.provider == "" && !f.mayOwnHost(t[k.start:k.hostEnd]) {
		return
	} else {
		s.b.key = appendKey(s.b.key[:0], t, k)
		if s.lookUp(k.start) || !known || !f.git || !gitLike(t, k, end) {
			return
		}
	}
	s.b.key = appendGitKey(s.b.key[:0], t, k, end)
	s.lookUp(k.start)
}

// mayOwn reports whether somebody may own the host of a token, or what its path lies below.
func (f *Finder) mayOwn(t []byte, k *token) bool {
	host := hashOf(t[k.start:k.hostEnd])
	if f.keys.has(host) || f.mayOwnHost(t[k.start:k.hostEnd]) {
		return true
	}
	h := host
	if port := t[k.port:k.portEnd]; len(port) > 0 && !isDefaultPort(port) {
		if h = joined(h, hashOf(port)); f.keys.has(h) {
			return true
		}
	}
	found := false
	eachSegment(t[k.portEnd:k.end], func(segment []byte) bool {
		h = joined(h, hashOf(segment))
		found = f.keys.has(h)
		return !found
	})
	return found
}

// mayOwnHost reports whether a host may be below a suffix, in a network or an object store.
func (f *Finder) mayOwnHost(host []byte) bool {
	if f.suffixes.used {
		for i := max(0, len(host)-f.longest); i < len(host); i++ {
			if host[i] == '.' && f.suffixes.has(hashOf(host[i:])) {
				return true
			}
		}
	}
	return (f.aws || f.gcs) && hasProvider(host) || f.networks && isIPv4(host)
}

// lookUp reports the owner of the key, if it has one.
func (s *scan) lookUp(offset int) bool {
	// The look-up keeps nothing of the key, and what it returns of it is copied below.
	key := unsafe.String(unsafe.SliceData(s.b.key), len(s.b.key))
	m, ok := s.f.book.Owner(key, s.f.datacenter)
	if !ok || m.Place == "" {
		return false
	}
	m.Address, m.Written = strings.Clone(m.Address), strings.Clone(m.Written)
	s.report(m, offset)
	return true
}

func (s *scan) report(m Match, offset int) {
	if s.of != nil {
		s.stopped = !s.of.report(m, offset, s.runAt)
		return
	}
	s.b.pending = append(s.b.pending, Hit{Match: m, Offset: offset})
}
