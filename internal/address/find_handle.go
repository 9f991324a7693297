// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/binary"
	"regexp"
	"slices"
	"strings"
)

// handle is a text that names one thing in the world without saying where it is.
type handle struct{ text, address string }

// handles finds handles in a text: eight bytes at every step of it are looked up among the
// pieces of all handles, of which one must stand there whatever the alignment.
type handles struct {
	pieces  bitSet
	step    int
	lengths []int // largest first
	address map[string]string
}

const (
	// pieceSize is the number of bytes that are looked up at once.
	pieceSize = 8
	// minHandle is the length of the shortest handle: less is no name that nobody else uses.
	minHandle = 11
	// maxStep bounds the number of pieces of a handle.
	maxStep = 8
)

// unique matches what has no second owner: a UUID, an id of a cloud. A book does not know the
// type of an address, and the name of a bucket means nothing without its endpoint; so that
// it is long and holds a digit is not enough.
var unique = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|^(vol|snap|fs|fsap|fc|ami|disk)-[0-9a-f]{8,}$`)

// account matches what AWS calls an account.
var account = regexp.MustCompile(`^[0-9]{12}$`)

// handleOf is what names the thing at an address wherever it is written.
func handleOf(text string) (string, bool) {
	first, rest, ok := strings.Cut(text, "/")
	switch {
	case !ok || len(rest) < minHandle || first == "*" || first == strings.TrimSuffix(clusterPrefix, "/"):
		return "", false
	case first == "aws":
		return rest, account.MatchString(rest)
	}
	digits, mixed := hexWord(rest)
	return rest, mixed && digits >= 12 || digits >= 8 && unique.MatchString(rest)
}

// hexWord is the length of the longest word that is made of hexadecimal digits, and whether
// it has figures and letters.
func hexWord(s string) (digits int, mixed bool) {
	for start, i := 0, 0; i <= len(s); i++ {
		if i < len(s) && isAlphanumeric(s[i]) {
			continue
		}
		word := s[start:i]
		start = i + 1
		if len(word) > digits && strings.Trim(word, "0123456789abcdef") == "" {
			digits, mixed = len(word), strings.ContainsAny(word, "0123456789") && strings.ContainsAny(word, "abcdef")
		}
	}
	return digits, mixed
}

func newHandles(list []handle) handles {
	if len(list) == 0 {
		return handles{}
	}
	out := handles{address: make(map[string]string, len(list))}
	shortest := len(list[0].text)
	for _, h := range list {
		shortest = min(shortest, len(h.text))
	}
	out.step = maxStep
	for shortest < pieceSize+out.step-1 {
		out.step /= 2
	}
	out.pieces = newBitSet(len(list) * out.step)
	for _, h := range list {
		if a, ok := out.address[h.text]; ok && a <= h.address {
			continue // of two drivers with one handle, always the same
		}
		out.address[h.text] = h.address
		out.lengths = append(out.lengths, len(h.text))
		for i := range out.step {
			out.pieces.add(binary.LittleEndian.Uint64([]byte(h.text[i:i+pieceSize])) | fold)
		}
	}
	slices.Sort(out.lengths)
	out.lengths = slices.Compact(out.lengths)
	slices.Reverse(out.lengths)
	return out
}

// findHandles looks for handles all over the text.
func (s *scan) findHandles(visit func(Hit) bool) {
	h := &s.f.handles
	if h.step == 0 {
		return
	}
	t, done := s.text, 0
	for i := 0; i+pieceSize <= len(t); i += h.step {
		if !h.pieces.has(binary.LittleEndian.Uint64(t[i:]) | fold) {
			continue
		}
		for start := max(done, i-h.step+1); start <= i; start++ {
			if end := s.handleAt(start); end > 0 {
				done = end
				break
			}
		}
		if s.stopped || len(s.b.pending) > 0 && !s.drain(visit) {
			return
		}
	}
}

// handleAt reports the handle at an index, and where it ends.
func (s *scan) handleAt(start int) int {
	t := s.text
	if start > 0 && isAlphanumeric(t[start-1]) && (s.escapes == unescaped || !behindEscape(t, start)) {
		return 0
	}
	for _, n := range s.f.handles.lengths {
		end := start + n
		if end > len(t) || end < len(t) && isAlphanumeric(t[end]) {
			continue
		}
		s.b.key = appendLower(s.b.key[:0], t[start:end])
		a, ok := s.f.handles.address[string(s.b.key)]
		if !ok {
			continue
		}
		if place := s.f.book.Addresses[a]; place != "" {
			s.runAt = start
			for s.runAt > 0 && kinds[t[s.runAt-1]]&inRun != 0 {
				s.runAt--
			}
			s.report(Match{Address: a, Place: place, Written: string(s.b.key)}, start)
		}
		return end
	}
	return 0
}
