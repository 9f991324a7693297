// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// object is one stored object: what the server says of it, and what was sent.
type object struct {
	apiVersion, kind string
	meta             metav1.ObjectMeta
	// content is what was sent after the metadata, up to the closing brace; the objects of
	// several clusters share its pieces.
	content []piece
	// patches were merged into it since, oldest first.
	patches [][]byte
}

// piece is a part of a content, the same for everybody who sent the same bytes.
type piece = unique.Handle[string]

// head is what is read of everything that is sent.
type head struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
}

// parsed is what was read of a body, by the hash of the body.
var (
	parsedMu sync.Mutex
	parsed   = map[[sha256.Size]byte]*sent{}
)

// maxRemembered bodies are small ones: a thousand clusters are sent the same policies.
const maxRemembered = 4096

// sent is a body taken apart.
type sent struct {
	head    head
	content []piece
}

// takeApart reads the head of a body and leaves the rest as it is. Encoders sort keys, so
// that the metadata stand before what is large; other bodies are encoded again.
func takeApart(body []byte) (*sent, error) {
	sum := sha256.Sum256(body)
	parsedMu.Lock()
	known := parsed[sum]
	parsedMu.Unlock()
	if known != nil {
		return known, nil
	}
	h, rest, err := split(body)
	if err != nil {
		return nil, err
	}
	out := &sent{head: h, content: pieces(rest)}
	parsedMu.Lock()
	defer parsedMu.Unlock()
	if len(parsed) < maxRemembered && len(body) < 256<<10 {
		parsed[sum] = out
	}
	return out, nil
}

func split(body []byte) (h head, rest []byte, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return h, nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return h, nil, err
		}
		into, ok := map[any]any{"apiVersion": &h.APIVersion, "kind": &h.Kind, "metadata": &h.Metadata}[key]
		if !ok {
			return resplit(body)
		}
		if err := d.Decode(into); err != nil {
			return h, nil, err
		}
		if key == "metadata" {
			rest = bytes.TrimSpace(body[d.InputOffset():])
			return h, rest[:len(rest)-1], nil
		}
	}
	return h, nil, nil
}

// resplit encodes a body again, its metadata apart.
func resplit(body []byte) (h head, rest []byte, err error) {
	all := map[string]any{}
	if err := json.Unmarshal(body, &all); err != nil {
		return h, nil, err
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, nil, err
	}
	for _, key := range []string{"apiVersion", "kind", "metadata", "status"} {
		delete(all, key)
	}
	encoded, err := json.Marshal(all)
	if err != nil || len(all) == 0 {
		return h, nil, err
	}
	return h, append([]byte{','}, encoded[1:len(encoded)-1]...), nil
}

// pieces cuts content where a rolling hash says so, so that two contents that differ in one
// place have all other pieces in common.
func pieces(content []byte) []piece {
	const least, mask = 2 << 10, 1<<13 - 1
	var out []piece
	start, h := 0, uint32(0)
	for i, c := range content {
		h = h<<1 + gear[c]
		if i-start >= least && h&mask == 0 {
			out = append(out, unique.Make(string(content[start:i+1])))
			start = i + 1
		}
	}
	if start < len(content) {
		out = append(out, unique.Make(string(content[start:])))
	}
	return out
}

// gear is a table of numbers that look random.
var gear = func() (t [256]uint32) {
	x := uint32(2463534242)
	for i := range t {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		t[i] = x
	}
	return t
}()

// bytes is the object as JSON.
func (o *object) bytes() []byte {
	var b bytes.Buffer
	meta, _ := json.Marshal(o.meta) // our own types encode
	fmt.Fprintf(&b, `{"apiVersion":%q,"kind":%q,"metadata":%s`, o.apiVersion, o.kind, meta)
	for _, p := range o.content {
		b.WriteString(p.Value())
	}
	if o.kind == "CustomResourceDefinition" {
		b.WriteString(`,"status":{"conditions":[{"type":"Established","status":"True","reason":"InitialNamesAccepted"}]}`)
	}
	b.WriteByte('}')
	out := b.Bytes()
	for _, patch := range o.patches {
		out = mergePatch(out, patch)
	}
	return out
}

// partial is the object as PartialObjectMetadata.
func (o *object) partial() []byte {
	meta, _ := json.Marshal(o.meta)
	return fmt.Appendf(nil, `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":%s}`, meta)
}

// mergePatch applies an RFC 7396 patch, of which the metadata were applied before.
func mergePatch(doc, patch []byte) []byte {
	var d, p map[string]any
	if json.Unmarshal(doc, &d) != nil || json.Unmarshal(patch, &p) != nil {
		return doc
	}
	delete(p, "metadata")
	merge(d, p)
	out, _ := json.Marshal(d)
	return out
}

func merge(into, from map[string]any) {
	for k, v := range from {
		inner, isMap := v.(map[string]any)
		there, was := into[k].(map[string]any)
		switch {
		case v == nil:
			delete(into, k)
		case isMap && was:
			merge(there, inner)
		case isMap:
			fresh := map[string]any{}
			merge(fresh, inner)
			into[k] = fresh
		default:
			into[k] = v
		}
	}
}

func newMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uuid.NewUUID(), CreationTimestamp: metav1.NewTime(time.Now().Truncate(time.Second))}
}

// relabelled adds labels and annotations, as apply does; nil maps change nothing.
func relabelled(m *metav1.ObjectMeta, from metav1.ObjectMeta) {
	join := func(have, more map[string]string) map[string]string {
		out := map[string]string{}
		maps.Copy(out, have)
		maps.Copy(out, more)
		return out
	}
	if len(from.Labels) > 0 {
		m.Labels = join(m.Labels, from.Labels)
	}
	if len(from.Annotations) > 0 {
		m.Annotations = join(m.Annotations, from.Annotations)
	}
}
