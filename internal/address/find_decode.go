// SPDX-License-Identifier: Apache-2.0

package address

import "bytes"

// escapes says how a backslash in front of a token is read.
type escapes uint8

const (
	// unescaped: it stands for itself.
	unescaped escapes = iota
	// escaped: it begins an escape, unless another backslash is before it.
	escaped
	// mayBeEscaped: nobody knows.
	mayBeEscaped
)

// escapeTail is the number of bytes, behind a backslash, that belong to an escape and look
// like the begin of a token.
func escapeTail(s []byte) int {
	_, n := escape(s)
	if n > 0 && kinds[s[0]]&labelByte == 0 {
		return 0 // an escaped slash, say, is part of no label anyway
	}
	return n
}

// escape is the byte that an escape stands for, and the length of it behind the backslash.
// The byte is 0 if it is none of ASCII, and n is 0 if there is no such escape.
func escape(s []byte) (c byte, n int) {
	if len(s) == 0 {
		return 0, 0
	}
	switch s[0] {
	case 'n', 'r', 't', 'b', 'f', 'v', 'a', 'e', '0':
		return 0, 1
	case 'u':
		return hexEscape(s, 4)
	case 'x':
		return hexEscape(s, 2)
	case 'U':
		return hexEscape(s, 8)
	}
	if kinds[s[0]]&inRun == 0 || isAlphanumeric(s[0]) {
		return 0, 0
	}
	return s[0], 1
}

func hexEscape(s []byte, digits int) (c byte, n int) {
	if len(s) <= digits {
		return 0, 0
	}
	value := 0
	for _, d := range s[1 : 1+digits] {
		x := hexDigits[d]
		if x > 15 {
			return 0, 0
		}
		value = min(value<<4|int(x), 0x80)
	}
	if value >= 0x80 {
		return 0, 1 + digits
	}
	return byte(value), 1 + digits
}

// hexDigits is the value of a digit, or 255.
var hexDigits = digitsOf("0123456789abcdef", "0123456789ABCDEF")

func digitsOf(alphabets ...string) (out [256]byte) {
	for i := range out {
		out[i] = 255
	}
	for _, a := range alphabets {
		for i := range len(a) {
			out[a[i]] = byte(i)
		}
	}
	return out
}

// evenBackslashes reports whether a text ends in an even number of them.
func evenBackslashes(s []byte) bool {
	return (len(s)-len(bytes.TrimRight(s, `\`)))%2 == 0
}

// behindEscape reports whether an escape ends right before an index.
func behindEscape(t []byte, at int) bool {
	for _, n := range [...]int{1, 3, 5, 9} {
		if i := at - n; i > 0 && t[i-1] == '\\' && escapeTail(t[i:]) == n {
			return true
		}
	}
	return false
}

// unescape reads the runs of a text in which an escape stands for a byte of a token. It does
// not ask how often a text was escaped: of several backslashes, the last one counts.
func (l *layers) unescape(text []byte) {
	for floor := 0; ; {
		n := bytes.IndexByte(text[floor:], '\\')
		if n < 0 {
			return
		}
		i := floor + n
		if i+1 < len(text) && (text[i+1] == 'n' || text[i+1] == '"') { // nearly all
			floor = i + 2
			continue
		}
		c, next := escapeAt(text, i)
		floor = next
		if kinds[c]&inRun == 0 {
			continue
		}
		start := i
		for start > i-n && kinds[text[start-1]]&inRun != 0 {
			start--
		}
		out := append(l.b.text[l.depth][:0], text[start:i]...)
		for kinds[c]&inRun != 0 {
			out = append(out, c)
			for floor < len(text) && kinds[text[floor]]&inRun != 0 {
				out = append(out, text[floor])
				floor++
			}
			if floor == len(text) || text[floor] != '\\' {
				break
			}
			c, floor = escapeAt(text, floor)
		}
		l.b.text[l.depth] = out
		if !l.decoded(layerEscaped, out, start) {
			return
		}
	}
}

// escapeAt reads the backslashes at an index and what they escape: the byte that stands
// for, or 0, and what comes next.
func escapeAt(t []byte, i int) (c byte, next int) {
	for i < len(t) && t[i] == '\\' {
		i++
	}
	c, n := escape(t[i:])
	return c, i + n
}

// unpercent reads the runs of a text that hold percent encoding.
func (l *layers) unpercent(text []byte) {
	for floor, from := 0, 0; ; {
		n := bytes.IndexByte(text[from:], '%')
		if n < 0 {
			return
		}
		i := from + n
		if _, ok := percentAt(text, i); !ok {
			from = i + 1
			continue
		}
		start, end := i, i
		for start > floor && kinds[text[start-1]]&inRun != 0 {
			start--
		}
		for end < len(text) && kinds[text[end]]&inRun != 0 {
			end++
		}
		floor, from = end, end
		at := start
		if start > 0 && text[start-1] == '\\' {
			at += escapeTail(text[start:end])
		}
		out := l.b.text[l.depth][:0]
		for ; at < end; at++ {
			if c, ok := percentAt(text, at); ok {
				out, at = append(out, c), at+2
			} else {
				out = append(out, text[at])
			}
		}
		l.b.text[l.depth] = out
		if !l.decoded(layerPercent, out, start) {
			return
		}
	}
}

func percentAt(t []byte, i int) (c byte, ok bool) {
	if i+2 >= len(t) || t[i] != '%' {
		return 0, false
	}
	high, low := hexDigits[t[i+1]], hexDigits[t[i+2]]
	return high<<4 | low, high < 16 && low < 16
}
