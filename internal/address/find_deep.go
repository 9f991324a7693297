// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"sync"
)

// Layer is a way of writing a text inside another one.
type Layer uint8

// The layers that FindDeep takes off.
const (
	// layerEscaped text has backslashes, as in strings of JSON, YAML and programs.
	layerEscaped Layer = iota + 1
	// layerPercent encoding is that of URLs.
	layerPercent
	// layerBase64 of the standard or the URL alphabet, with padding or without.
	layerBase64
	// layerGzip is only looked for in what was base64.
	layerGzip
)

// String names the layer for messages.
func (l Layer) String() string {
	return [...]string{"", "escaped", "percent-encoded", "base64", "gzip"}[l]
}

// Syntax says how backslashes of a text are meant.
type Syntax uint8

const (
	// layerPlain text may have escapes or not: both readings count.
	layerPlain Syntax = iota
	// JSON text has escapes.
	JSON
)

// Where decoding stops. What lies beyond is not found, and FindDeep says so where the number
// of bytes was the reason.
const (
	// maxLayers is how many layers are taken off. The Secret of a Helm release has four, and
	// the Secrets in the chart are a fifth.
	maxLayers = 6
	// maxInflated is how many bytes are inflated of one text in all.
	maxInflated = 16 << 20
	// maxDecoded is how many bytes are decoded of one text in all, but for a multiple of its
	// own length.
	maxDecoded = 32 << 20
	// keptBuffer is the size up to which a buffer is used again.
	keptBuffer = 1 << 20
)

// layers reads a text and what is encoded in it.
type layers struct {
	f     *Finder
	visit func(Hit) bool
	b     *buffers
	// taken off so far, down to depth.
	taken [maxLayers]Layer
	depth int
	// origin is the offset of the outermost encoded run, if depth > 0.
	origin int
	// left are the bytes that may still be decoded, toInflate those that may be inflated.
	left, toInflate int
	cut, stopped    bool
	seen            map[sighting]bool
}

// sighting is an address and where the run that names it begins. Two readings of one run
// are one sighting.
type sighting struct {
	address string
	at      int
}

// buffers are used again by later calls.
type buffers struct {
	// key of a token, and hits that were not visited yet.
	key     []byte
	pending []Hit
	// text of each layer.
	text   [maxLayers + 1][]byte
	zip    gzip.Reader
	layers layers
}

var buffersPool = sync.Pool{New: func() any { return new(buffers) }}

// FindDeep is Find, and finds what is encoded in the text as well: escaped, in percent
// encoding, in base64 and compressed, in any order, up to maxLayers deep. It returns false if
// there was more to decode than the bounds allow; what was read until then has been
// visited. An address that one run of bytes names in several readings is visited once.
//
// Decoding is as lazy as it can be: only runs of bytes that hold such an encoding are
// decoded, so that a text without any costs little more than Find. Not decoded are other
// compressions, other encodings (hexadecimal digits, character references such as
// &#46;, punycode, UTF-16), a name that is put together from several strings or continued on
// another line, base64 of less than 16 characters, base64 of less than 64 whose content is
// not text, and base64 that begins within a longer run, unless its end is text or its
// beginning gzip.
func (f *Finder) FindDeep(text []byte, syntax Syntax, visit func(Hit) bool) (complete bool) {
	b := buffersPool.Get().(*buffers) //nolint:forcetypeassert // nothing else is put there
	l := &b.layers
	*l = layers{f: f, visit: visit, b: b, left: maxDecoded + 4*len(text), toInflate: maxInflated}
	escapes := mayBeEscaped
	if syntax == JSON {
		escapes = escaped
	}
	l.read(text, escapes)
	complete = !l.cut
	b.release()
	return complete
}

// release gives buffers back, but large ones and what was found.
func (b *buffers) release() {
	if cap(b.key) > keptBuffer {
		b.key = nil
	}
	for i := range b.text {
		if cap(b.text[i]) > keptBuffer {
			b.text[i] = nil
		}
	}
	b.pending, b.layers = nil, layers{}
	buffersPool.Put(b)
}

// read reads a text of the present depth.
func (l *layers) read(text []byte, escapes escapes) {
	s := scan{f: l.f, text: text, escapes: escapes, b: l.b, of: l}
	s.run(nil)
	if l.stopped || l.depth == maxLayers {
		return
	}
	l.unescape(text)
	if !l.stopped && !l.cut {
		l.unpercent(text)
	}
	if !l.stopped && !l.cut {
		l.unbase64(text)
	}
}

// report visits a hit of the present depth, unless it was seen before. runAt is where the
// run with it begins.
func (l *layers) report(m Match, offset, runAt int) bool {
	if l.depth > 0 {
		offset, runAt = l.origin, l.origin
	}
	at := sighting{m.Address, runAt}
	if l.seen[at] {
		return true
	}
	if l.seen == nil {
		l.seen = map[sighting]bool{}
	}
	l.seen[at] = true
	l.stopped = !l.visit(Hit{Match: m, Offset: offset, Layers: slices.Clone(l.taken[:l.depth])})
	return !l.stopped
}

// decoded reads a text that was decoded from what begins at an offset of the present text.
// It returns false to stop.
func (l *layers) decoded(layer Layer, text []byte, offset int) bool {
	if l.left -= len(text); l.left < 0 {
		l.cut = true
		return false
	}
	if l.depth == 0 {
		l.origin = offset
	}
	l.taken[l.depth] = layer
	l.depth++
	if layer == layerBase64 && isGzip(text) {
		l.inflate(text)
	} else {
		l.read(text, mayBeEscaped)
	}
	l.depth--
	return !l.stopped && !l.cut
}

// inflate reads what gzip packed. What is broken is read as far as it goes.
func (l *layers) inflate(packed []byte) {
	if l.depth == maxLayers || l.b.zip.Reset(bytes.NewReader(packed)) != nil {
		return
	}
	out := bytes.NewBuffer(l.b.text[l.depth][:0])
	_, _ = io.Copy(out, io.LimitReader(&l.b.zip, int64(l.toInflate)+1))
	text := out.Bytes()
	l.b.text[l.depth] = text
	if l.toInflate -= len(text); l.toInflate < 0 {
		l.decoded(layerGzip, text, 0)
		l.cut = true
		return
	}
	l.decoded(layerGzip, text, 0)
}

// LayersText is the layers of a hit, innermost last, as a message gives them.
func LayersText(layers []Layer) string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.String()
	}
	return strings.Join(names, ", ")
}
