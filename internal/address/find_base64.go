// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"encoding/binary"
	"slices"
)

const (
	// minBase64 is the length of the shortest run that is decoded, with its padding.
	minBase64 = 16
	// anyBase64 is the length from which a run is decoded whatever comes of it. Shorter ones
	// are most often words.
	anyBase64 = 64
	// minLine is the length of a line of base64 that goes on in the next one.
	minLine = 60
)

// unbase64 reads the runs of a text that may be base64. A run of sixteen bytes holds eight
// that begin at a multiple of eight.
func (l *layers) unbase64(text []byte) {
	for i := 0; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		// Most words of a text end within eight bytes, mostly with something below '+'.
		if (w-'+'*ones)&^w&highs != 0 || w&highs != 0 || !mayBeBase64(text[i:i+8]) {
			continue
		}
		start, end := i, i+8
		for start > 0 && kinds[text[start-1]]&base64Byte != 0 {
			start--
		}
		if start > 0 && text[start-1] == '\\' {
			start += escapeTail(text[start:])
		}
		if start > i+7 {
			continue
		}
		for end < len(text) && (kinds[text[end]]&base64Byte != 0 || text[end] == '=') {
			end++
		}
		end = l.unbase64Run(text, start, end)
		if l.stopped || l.cut {
			return
		}
		i = max(i, (end-1)&^7)
	}
}

// mayBeBase64 reports whether all bytes may be in base64, padding included.
func mayBeBase64(t []byte) bool {
	for _, c := range t {
		if kinds[c]&base64Byte == 0 && c != '=' {
			return false
		}
	}
	return true
}

// unbase64Run reads what lies between equals signs, which pad base64 or stand before it. It
// returns where it ended: a run may go on in the next line.
func (l *layers) unbase64Run(text []byte, start, end int) int {
	for start < end {
		stop := start
		for stop < end && text[stop] != '=' {
			stop++
		}
		next := stop
		for next < end && text[next] == '=' {
			next++
		}
		if stop-start+min(next-stop, 2) >= minBase64 {
			last := l.unbase64Piece(text, start, stop)
			if l.stopped || l.cut {
				return end
			}
			end, next = max(end, last), max(next, last)
		}
		start = next
	}
	return end
}

// unbase64Piece reads one piece of base64 and returns where it ended.
func (l *layers) unbase64Piece(text []byte, start, stop int) int {
	out := appendBase64(l.b.text[l.depth][:0], text[start:stop])
	end, line := stop, stop-start
	for line >= minLine && line%4 == 0 {
		from := nextLine(text, end)
		to := from
		for to < len(text) && kinds[text[to]]&base64Byte != 0 {
			to++
		}
		if line = to - from; line == 0 {
			break
		}
		out = appendBase64(out, text[from:to])
		end = to
	}
	l.b.text[l.depth] = out
	if startsInText(out) {
		l.decoded(layerBase64, out, start)
		return end
	}
	if (stop-start >= anyBase64 || isGzip(out)) && !l.decoded(layerBase64, out, start) {
		return end
	}
	// A prefix such as a path may have shifted the groups of four.
	piece := text[start:stop]
	for shift := 1; shift < 4; shift++ {
		if n := (len(piece) - shift) &^ 3; n >= sniffed && endsInText(piece[shift:shift+n]) {
			l.b.text[l.depth] = appendBase64(l.b.text[l.depth][:0], piece[shift:])
			if !l.decoded(layerBase64, l.b.text[l.depth], start) {
				return end
			}
		}
	}
	if i := bytes.Index(piece, []byte(gzipBase64)); i > 0 {
		l.b.text[l.depth] = appendBase64(l.b.text[l.depth][:0], piece[i:])
		l.decoded(layerBase64, l.b.text[l.depth], start)
	}
	return end
}

// gzipBase64 is how gzip begins.
const gzipBase64 = "H4sI"

func isGzip(s []byte) bool { return len(s) > 2 && s[0] == 0x1f && s[1] == 0x8b }

// nextLine is where the next line begins if one ends at an index, else that index. A line
// break may be escaped.
func nextLine(t []byte, at int) int {
	i := at
	for broken := false; i < len(t); {
		switch c := t[i]; {
		case c == '\n' || c == '\r':
			broken = true
			i++
		case c == '\\':
			for i < len(t) && t[i] == '\\' {
				i++
			}
			if i == len(t) || t[i] != 'n' && t[i] != 'r' {
				return at
			}
			broken = true
			i++
		case broken && (c == ' ' || c == '\t'):
			i++
		default:
			return i
		}
	}
	return i
}

// sniffed is how many characters tell text from something else.
const sniffed = 12

// endsInText reports whether the last characters of base64 are those of text.
func endsInText(s []byte) bool {
	for s = s[len(s)-sniffed:]; len(s) > 0; s = s[4:] {
		v := group(s)
		if !isPrintable(byte(v>>16)) || !isPrintable(byte(v>>8)) || !isPrintable(byte(v)) {
			return false
		}
	}
	return true
}

// startsInText reports whether what base64 stands for begins with text: two in three bytes,
// so that a mark or a letter that is not ASCII may be among them.
func startsInText(s []byte) bool {
	s = s[:min(len(s), sniffed)]
	n := 0
	for _, c := range s {
		if isPrintable(c) {
			n++
		}
	}
	return 3*n >= 2*len(s)
}

func isPrintable(c byte) bool { return ' ' <= c && c <= '~' || c == '\n' }

// base64Digits is the value of a character of either alphabet, or 255.
var base64Digits = digitsOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

// group is what four characters stand for, in 24 bits.
func group(s []byte) uint32 {
	d := &base64Digits
	return uint32(d[s[0]])<<18 | uint32(d[s[1]])<<12 | uint32(d[s[2]])<<6 | uint32(d[s[3]])
}

// appendBase64 appends what characters of either alphabet stand for; there must be no others.
func appendBase64(dst, s []byte) []byte {
	dst = slices.Grow(dst, len(s)/4*3+4)
	n := len(dst)
	dst = dst[:cap(dst)]
	for ; len(s) >= 4; s, n = s[4:], n+3 {
		binary.BigEndian.PutUint32(dst[n:], group(s)<<8)
	}
	if len(s) > 1 {
		var last [4]byte
		copy(last[:], "AAAA")
		copy(last[:], s)
		binary.BigEndian.PutUint32(dst[n:], group(last[:])<<8)
		n += len(s) - 1
	}
	return dst[:n]
}
