// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

const (
	// maxDepth is how many objects are followed one inside or behind the other: Restore,
	// Backup, BackupStorageLocation, Secret.
	maxDepth = 5
	// maxFollowed is how many other objects are looked at for one request.
	maxFollowed = 64
)

// reading is one pass over the references of a request's object.
type reading struct {
	e           *Evaluator
	request     *Request
	here, there string
	exact, free []Violation
	keys        []string // of exact
	followed    int
	// notice is told of every reference, whether it crosses or not; nil where only
	// violations are asked for.
	notice func(ref *flow.Reference, key string, v *Violation)
	// hosts: a text holds the host of some address. Only then can a bucket at it be meant.
	hosts bool
	// scattered is what a pod says of endpoints and buckets, while that is gathered.
	scattered *scattered
	// found are the objects that were looked up, by resource, namespace and name.
	found map[[4]string]map[string]any
	// outer is what led to the object that is read now: a path in front of its own, or the
	// reference that names it.
	outer string
	via   *via
	// below is what stands below the address that the object names, where only that is meant.
	below string
	// delivered: it is known where the object delivers to.
	delivered bool
	// pulls: only what is read of an address counts, because the object that names it is
	// kept here, or goes somewhere unknown.
	pulls bool
}

// via is a reference in the request's object that leads to another object.
type via struct {
	path, name string
	direction  flow.Direction
}

// object reads what an object of a kind says.
func (r *reading) object(kind *flow.Kind, object map[string]any, namespace string, depth int) {
	create := r.request.Operation == "CREATE"
	if kind.Group == "" && kind.Resource == "secrets" {
		object = withData(object)
		r.credentials(object)
	}
	flow.Walk(kind, object, create, func(ref *flow.Reference) { r.reference(ref, namespace, depth) })
	if len(kind.PodSpecs) > 0 && r.hosts && r.scattered == nil && !r.e.policies {
		r.scattered = &scattered{endpoints: map[string]bool{}}
		r.followed = 0
		flow.Walk(kind, object, create, func(ref *flow.Reference) { r.reference(ref, namespace, depth) })
		r.pair()
		r.scattered = nil
	}
}

// reference reads one field.
func (r *reading) reference(ref *flow.Reference, namespace string, depth int) {
	if r.e.policies && !ref.Field.InPolicy() {
		return
	}
	if r.below != "" && ref.Field.Form != flow.Link {
		r.inside(ref)
		return
	}
	if ref.Field.End == flow.Destination {
		if r.scattered == nil {
			r.destination(ref)
		}
		return
	}
	switch ref.Field.Form {
	case flow.Text:
		r.text(ref, ref.Text)
	case flow.Encoded:
		if plain, err := base64.StdEncoding.DecodeString(ref.Text); err == nil {
			r.text(ref, string(plain))
		}
	case flow.Payload:
		r.payload(ref, namespace, depth)
	case flow.Link:
		r.link(ref, namespace, depth)
	default:
		if key := r.e.key(ref); key != "" && r.scattered == nil {
			r.exact = r.judge(r.exact, ref, key)
		}
	}
}

// text judges every token of free text.
func (r *reading) text(ref *flow.Reference, text string) {
	if r.scattered != nil {
		r.gather(ref, text)
		return
	}
	lower := address.Lower(text)
	if r.notice == nil && !r.e.book.MayHold(lower) {
		return
	}
	r.hosts = true
	for _, token := range address.Tokens(lower) {
		key := address.TokenKey(token)
		if key == "" || ref.Field.Form == flow.Encoded && slices.Contains(r.keys, key) {
			continue // said in a field that is read in plain too
		}
		r.free = r.judge(r.free, ref, key)
	}
}

// payload reads the objects that stand in a field.
func (r *reading) payload(ref *flow.Reference, namespace string, depth int) {
	if depth >= maxDepth {
		return
	}
	before := *r
	objects, complete := payloads(ref.Node)
	if !complete {
		r.text(ref, ref.Text) // a template, or no object at all
	}
	for _, object := range objects {
		kind := r.e.kindOf(object)
		if kind == nil {
			r.loose(ref, object)
			continue
		}
		inner := namespaceOf(object)
		if inner == "" {
			inner = namespace
		}
		r.outer = before.outer + ref.Path() + "."
		if ref.Field.End == flow.Source {
			r.here = r.there // what is delivered is at home where it goes
		}
		r.pulls = before.pulls || ref.Field.Direction == flow.From || ref.Field.End == flow.Source && !r.delivered
		r.object(kind, object, inner, depth+1)
		r.outer, r.here, r.pulls = before.outer, before.here, before.pulls
	}
}

// loose reads a map that is no object of the table, such as the values of a chart: every
// text in it.
func (r *reading) loose(ref *flow.Reference, node any) {
	switch v := node.(type) {
	case string:
		r.text(ref, v)
	case []any:
		for _, item := range v {
			r.loose(ref, item)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			r.loose(ref, v[key])
		}
	}
}

// payloads are the objects in a field: one, a list of them, or text that holds some. It
// reports whether that is all there is.
func payloads(node any) ([]map[string]any, bool) {
	switch v := node.(type) {
	case map[string]any:
		if items, ok := v["items"].([]any); ok && strings.HasSuffix(stringIn(v, "kind"), "List") {
			return payloads(items)
		}
		return []map[string]any{v}, true
	case []any:
		var out []map[string]any
		for _, item := range v {
			if m, ok := item.(map[string]any); ok {
				objects, _ := payloads(m)
				out = append(out, objects...)
			} else {
				out = append(out, map[string]any{"": item})
			}
		}
		return out, true
	case string:
		return documents(v)
	}
	return nil, true
}

// documents are the objects in a text: YAML or JSON, or base64 of that. It reports whether
// the text is that to its end.
func documents(text string) ([]map[string]any, bool) {
	if plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(plain) > 0 {
		text = string(plain)
	}
	var out []map[string]any
	reader := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var object map[string]any
		if err := reader.Decode(&object); err != nil {
			return out, errors.Is(err, io.EOF)
		}
		objects, _ := payloads(object)
		out = append(out, objects...)
	}
}

// link reads the object that a field names.
func (r *reading) link(ref *flow.Reference, namespace string, depth int) {
	kind := r.e.table.Lookup(ref.Field.To.Group, ref.Field.To.Resource)
	if r.request.Lookup == nil || kind == nil || depth >= maxDepth || r.followed >= maxFollowed {
		return
	}
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	if !kind.Namespaced {
		namespace = ""
	}
	if r.scattered != nil && ref.Below != "" || r.below != "" && ref.Below != "" {
		return
	}
	object := r.lookup(kind, namespace, ref.Target)
	if object == nil {
		return
	}
	via0, outer, below := r.via, r.outer, r.below
	if r.via == nil {
		r.via = &via{path: r.outer + ref.Path(), name: ref.Text, direction: ref.Field.Direction}
	}
	r.outer = ""
	if ref.Below != "" {
		r.below = ref.Below
	}
	r.object(kind, object, namespace, depth+1)
	r.via, r.outer, r.below = via0, outer, below
}

// inside judges what stands below an address that another object names, unless the address
// itself decides: that is told where it is named.
func (r *reading) inside(ref *flow.Reference) {
	base := ref.Key
	if ref.Field.Form != flow.Store && ref.Field.Form != flow.Git || r.scattered != nil || ref.Field.End == flow.Destination {
		return
	}
	whole, _ := r.e.book.Owner(base, r.e.spec.Cluster.Datacenter)
	for _, below := range belows(ref.Field.Form, base, r.below) {
		key := address.Path(base + "/" + below)
		match, _ := r.e.book.Owner(key, r.e.spec.Cluster.Datacenter)
		if before := len(r.exact); match.Address != whole.Address {
			if r.exact = r.judge(r.exact, ref, key); len(r.exact) > before {
				return
			}
		}
	}
}

// belows are the spellings of what stands below an address. A key of Vault may repeat the
// mount that its store is set to, and the "data" behind the mount, of the second version of its
// API, may stand in the key, in the address that was declared, or in neither.
func belows(form flow.Form, base, below string) []string {
	out := []string{below}
	if form != flow.Store {
		return out
	}
	_, mount, mounted := strings.Cut(base, "/")
	if inner, ok := strings.CutPrefix(below, mount+"/"); ok && mounted {
		out = append(out, inner)
	}
	for _, b := range out {
		segments := strings.Split(b, "/")
		for i := range min(2, len(segments)) {
			switch {
			case segments[i] != "data":
				out = append(out, strings.Join(slices.Insert(slices.Clone(segments), i, "data"), "/"))
			case i+1 < len(segments):
				out = append(out, strings.Join(slices.Delete(slices.Clone(segments), i, i+1), "/"))
			}
		}
	}
	return out
}

// lookup finds another object, once.
func (r *reading) lookup(kind *flow.Kind, namespace, name string) map[string]any {
	at := [4]string{kind.Group, kind.Resource, namespace, name}
	object, known := r.found[at]
	if known {
		return object
	}
	r.followed++
	object = r.request.Lookup(kind.Group, kind.Resource, namespace, name)
	if r.found == nil {
		r.found = map[[4]string]map[string]any{}
	}
	r.found[at] = object
	return object
}

// judge appends a violation if the address with this key may not be named by ref here.
func (r *reading) judge(out []Violation, ref *flow.Reference, key string) []Violation {
	f := ref.Field
	finding := mention{key: key, typ: f.Type, direction: f.Direction, passive: f.Passive, end: f.End}
	if r.pulls {
		if f.Direction == flow.To {
			return out
		}
		finding.direction = flow.From
	}
	if r.via != nil {
		// The request's own field says which way data moves; what it leads to cannot widen that.
		finding.passive = false
		if r.via.direction != flow.Names {
			finding.direction = r.via.direction
		}
	}
	v, ok := r.e.crosses(finding, r.here, r.there)
	if !ok {
		if r.notice != nil {
			r.notice(ref, key, nil)
		}
		return out
	}
	if r.notice != nil {
		r.notice(ref, key, &v)
	}
	if !prose(f) {
		r.keys = append(r.keys, key)
	}
	if r.via != nil {
		// Only what the requester wrote is shown: the name of the object that leads there.
		v.Path, v.Address, v.phrase = r.via.path, r.via.name, "leads to "+nouns[f.Type]+" through"
		return append(out, v)
	}
	v.Path, v.phrase = r.outer+ref.Path(), phrase(f)
	switch {
	case f.Form == flow.Payload && slices.Contains(out, v):
		return out // another row reads the same text
	case prose(f):
	case f.Form == flow.Alias:
		v.Address = ref.Text
	default:
		v.Address = key
	}
	return append(out, v)
}

// prose fields hold text with more in it than an address: no more of it is shown than what
// the address covers.
func prose(f *flow.Field) bool {
	return f.Form == flow.Text || f.Form == flow.Encoded || f.Form == flow.Payload
}

// mention is an address that an object says something about.
type mention struct {
	key       string
	typ       address.Type
	direction flow.Direction
	passive   bool
	end       flow.End
}

// crosses judges one mention: where it stands, and where the object delivers to. The
// violation has no path yet, and shows what the address covers of the key.
func (e *Evaluator) crosses(m mention, here, there string) (Violation, bool) {
	match, ok := e.book.Owner(m.key, e.spec.Cluster.Datacenter)
	if m.typ == address.Bucket && (!ok || match.Address != m.key) {
		// An owner of something above, such as the endpoint, says nothing of what lies below.
		if below, found := e.book.Parent(m.key); found && (match.Place == "" || e.spec.Crossings[below.Place][there] != "" && e.spec.Crossings[match.Place][there] == "") {
			match, ok = below, true
		}
	}
	if !ok {
		return Violation{}, false
	}
	return e.judged(m, match, here, there)
}

// judged judges a mention of an address that the book has.
func (e *Evaluator) judged(m mention, match address.Match, here, there string) (Violation, bool) {
	if match.Place == "" {
		return Violation{}, false
	}
	way, boundary := "", ""
	if m.direction != flow.To {
		way, boundary = "1", e.spec.Crossings[match.Place][there]
		if boundary == "" && there == here {
			// The claim of a namespace adds to what its cluster may not read, and takes nothing away.
			boundary = e.spec.Crossings[match.Place][e.spec.Cluster.Environment]
		}
		if m.end == flow.Source {
			way = "3"
		}
	}
	pushes := m.direction == flow.To || m.direction == flow.Names && !m.passive
	if boundary == "" && pushes && m.end == "" {
		way, boundary = "2", e.spec.Crossings[here][match.Place]
	}
	if boundary == "" {
		return Violation{}, false
	}
	return Violation{Code: addressCode(way, numbers[m.typ]), Address: match.Written, Owner: match.Place, Boundary: boundary}, true
}

// kindOf finds the movement kind of an object by what it says of itself.
func (e *Evaluator) kindOf(object map[string]any) *flow.Kind {
	group, _, found := strings.Cut(stringIn(object, "apiVersion"), "/")
	if !found {
		group = ""
	}
	return e.table.OfKind(group, stringIn(object, "kind"))
}

func stringIn(object map[string]any, key string) string {
	s, _ := object[key].(string)
	return s
}

func namespaceOf(object map[string]any) string {
	meta, _ := object["metadata"].(map[string]any)
	return stringIn(meta, "namespace")
}

// Object decodes the JSON of an object, with its numbers as an API server has them.
func Object(raw []byte) (map[string]any, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var out map[string]any
	return out, json.Unmarshal(raw, &out)
}

// merged is one Guard with the addresses of all parts of a split one.
func merged(parts []*skottv1.Guard) (*skottv1.GuardSpec, *address.Book) {
	s := &parts[0].Spec
	book := &address.Book{
		Addresses: s.Addresses, Parents: s.Parents, Hosts: s.Hosts, Aliases: s.Aliases,
		Depths: s.Depths, SuffixLabels: s.SuffixLabels, PrefixLengths: s.PrefixLengths,
	}
	if len(parts) == 1 {
		return s, book
	}
	all := &address.Book{
		Addresses: map[string]string{}, Parents: map[string]string{}, Hosts: map[string]string{}, Aliases: map[string]string{},
	}
	for _, g := range parts {
		p := &g.Spec
		for _, maps := range []struct{ to, from map[string]string }{
			{all.Addresses, p.Addresses}, {all.Parents, p.Parents}, {all.Hosts, p.Hosts}, {all.Aliases, p.Aliases},
		} {
			for k, v := range maps.from {
				maps.to[k] = v
			}
		}
		all.Depths = depths(all.Depths, p.Depths...)
		all.SuffixLabels = depths(all.SuffixLabels, p.SuffixLabels...)
		all.PrefixLengths = depths(all.PrefixLengths, p.PrefixLengths...)
	}
	return s, all
}
