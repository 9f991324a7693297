// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/skott-dev/skott/internal/address"
)

// Reference is what one field of an object says: an address, which way data moves, and
// where it is written.
type Reference struct {
	// Field of the table.
	Field *Field
	// Key of the address, for every form but Text and Alias.
	Key string
	// Text as it stands in the object, for those two, Encoded and Link; of a Link also the
	// Namespace it is in, "" for that of the object, the Target it names, and what stands
	// Below the address of that, "" if it means the whole of it.
	Text, Namespace, Target, Below string
	// Node is what stands in the object, for Payload.
	Node any

	kind *Kind

	names [maxNames]string
	n     int
}

// Name is the name of the innermost list element, or the key of the map, that the text
// stands in; "" if there is none.
func (r *Reference) Name() string {
	if r.n == 0 {
		return ""
	}
	return r.names[r.n-1]
}

// Path is where the text stands, with the names of list elements and the keys of maps.
func (r *Reference) Path() string {
	var b strings.Builder
	if r.kind.Root != "" {
		b.WriteString(r.kind.Root + ".")
	}
	n := 0
	for i, s := range r.Field.steps {
		if i > 0 && !needsBraces(s.Name) {
			b.WriteByte('.')
		}
		if needsBraces(s.Name) {
			b.WriteString(`["` + s.Name + `"]`)
		} else {
			b.WriteString(s.Name)
		}
		switch {
		case s.List && s.Key == "*":
			b.WriteString("[*]")
		case s.List || s.Map:
			b.WriteString(`["` + Shown(r.names[n]) + `"]`)
			n++
		}
	}
	return b.String()
}

func needsBraces(name string) bool { return strings.ContainsAny(name, "./") }

// MaxName is how many characters of a list element's name, or of a map's key, a path shows.
const MaxName = 63

// Cut is text, or its beginning if it is longer than most characters.
func Cut(text string, most int) string {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "..."
}

// Shown is a name that somebody chose, as a path shows it.
func Shown(name string) string { return clean(Cut(name, MaxName)) }

// clean keeps a name that somebody chose from breaking the lines of a message.
func clean(name string) string {
	if strings.ContainsAny(name, "\t\n") {
		return strings.NewReplacer("\t", " ", "\n", " ").Replace(name)
	}
	return name
}

// Walk calls visit for every address that object, decoded JSON of kind k, may name. The
// Reference is valid during the call only. Absent, null and wrongly typed fields name
// nothing. create says that the object is new.
func Walk(k *Kind, object map[string]any, create bool, visit func(*Reference)) {
	w := walker{object: object, visit: visit}
	for _, s := range k.root {
		next, _ := w.object[s.Name].(map[string]any)
		w.object = next
	}
	for i := range k.Fields {
		f := &k.Fields[i]
		if f.CreateOnly && !create {
			continue
		}
		w.ref = Reference{Field: f, kind: k}
		w.field(w.object, w.object, 0)
	}
}

type walker struct {
	object map[string]any
	visit  func(*Reference)
	ref    Reference
}

// field follows the steps of the field from step i at node; element is the innermost list
// element or map value passed.
func (w *walker) field(node any, element map[string]any, i int) {
	steps := w.ref.Field.steps
	if i == len(steps) {
		if text, ok := node.(string); ok {
			w.reference(text, element)
		} else if node != nil && w.ref.Field.Form == Payload {
			w.ref.Key, w.ref.Text, w.ref.Node = "", "", node
			w.visit(&w.ref)
		}
		return
	}
	parent, ok := node.(map[string]any)
	if !ok {
		return
	}
	value := parent[steps[i].Name]
	switch step := steps[i]; {
	case step.List:
		list, _ := value.([]any)
		for _, item := range list {
			w.item(step, item, element, i)
		}
	case step.Map:
		values, _ := value.(map[string]any)
		keys := make([]string, 0, 16)
		for key := range values {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			inner := element
			if m, isMap := values[key].(map[string]any); isMap {
				inner = m
			}
			w.push(key)
			w.field(values[key], inner, i+1)
			w.ref.n--
		}
	default:
		w.field(value, element, i+1)
	}
}

func (w *walker) item(step Step, item any, element map[string]any, i int) {
	m, isMap := item.(map[string]any)
	if isMap {
		element = m
	}
	if step.Key == "*" {
		w.field(item, element, i+1)
		return
	}
	if !isMap {
		return
	}
	name, _ := m[step.Key].(string)
	w.push(name)
	w.field(item, element, i+1)
	w.ref.n--
}

func (w *walker) push(name string) {
	w.ref.names[w.ref.n] = name
	w.ref.n++
}

// with is the text of the companion i of the field, or "".
func (w *walker) with(i int, element map[string]any) string {
	steps, relative := w.ref.Field.WithSteps(i)
	if steps == nil {
		return ""
	}
	var node any = w.object
	if relative {
		node = element
	}
	for _, s := range steps {
		m, ok := node.(map[string]any)
		if !ok {
			return ""
		}
		node = m[named(s.Name, element)]
	}
	switch v := node.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		if v > 0 && v < 1e9 {
			return strconv.FormatInt(int64(v), 10)
		}
	}
	return ""
}

// named is the name of a companion's step, with that of the element where it says so.
func named(name string, element map[string]any) string {
	before, key, after, ok := OwnName(name)
	if !ok {
		return name
	}
	own, _ := element[key].(string)
	return before + own + after
}

// reference turns text into an address by the form of the field, and visits it.
func (w *walker) reference(text string, element map[string]any) {
	if text == "" {
		return
	}
	r := &w.ref
	f := r.Field
	r.Key, r.Text, r.Namespace, r.Target, r.Below, r.Node = "", "", "", "", "", nil
	switch f.Form {
	case Text, Encoded:
		r.Text = text
	case Link:
		if kind := w.with(1, element); kind == "" || plural(kind) == f.To.Resource {
			w.link(text, element)
		}
	case Payload:
		r.Text, r.Node = text, text
	case Alias:
		r.Text = f.Const + text
	case IP:
		r.Key = address.IPKey(text)
	case Bucket:
		r.Key = address.BucketKey(w.with(0, element), f.provider(w.with(2, element)), text, w.with(1, element))
	case Object:
		r.Key = w.object3(text, element)
	case Join:
		r.Key = w.join(text, element)
	case Image:
		r.Key = address.ImageKey(text)
	case Git:
		r.Key = address.GitKey(text, w.with(0, element))
	case Store:
		r.Key = address.SecretKey(text, w.with(0, element))
	case Endpoint:
		r.Key = address.EndpointKey(text, w.with(0, element))
	case Cluster:
		r.Key = address.ClusterKey(w.with(0, element), text)
	}
	if r.Key != "" || r.Text != "" {
		w.visit(r)
	}
}

// link reads the name of another object, or what stands below the address of one that is
// named beside it.
func (w *walker) link(text string, element map[string]any) {
	r := &w.ref
	r.Text, r.Target, r.Namespace = text, text, w.with(0, element)
	if steps, _ := r.Field.WithSteps(2); steps != nil {
		r.Target, r.Below = w.with(2, element), address.Path(address.Short(w.with(3, element))+"/"+address.Short(text))
		if r.Target == "" || r.Below == "" {
			r.Text = "" // it leads nowhere
		}
	}
	if w.with(4, element) != "" {
		r.Text = ""
	}
	// No name holds a "/": some write NAMESPACE/NAME.
	if namespace, name, ok := strings.Cut(r.Target, "/"); ok && r.Namespace == "" && !strings.Contains(name, "/") {
		r.Namespace, r.Target = namespace, name
	}
}

// plural is the resource of a kind, by the rule that Kubernetes itself guesses by.
func plural(kind string) string {
	kind = address.Lower(kind)
	switch {
	case strings.HasSuffix(kind, "s"):
		return kind + "es"
	case strings.HasSuffix(kind, "y"):
		return strings.TrimSuffix(kind, "y") + "ies"
	}
	return kind + "s"
}

// GooglePattern matches, in lower case, what projects call the object store of Google.
const GooglePattern = `gcp|gcs|google`

var google = regexp.MustCompile(GooglePattern)

// provider is the object store that a bucket is in where no endpoint is given: the constant
// of the field, or what the name of a provider means.
func (f *Field) provider(name string) string {
	switch {
	case f.Const != "":
		return f.Const
	case google.MatchString(address.Short(name)):
		return "gcs"
	}
	return "aws"
}

// object3 is the key of an object URL with its endpoint and its suffix.
func (w *walker) object3(text string, element map[string]any) string {
	key := address.ObjectKey(text, w.with(0, element))
	if key == "" {
		return ""
	}
	suffix := address.Short(w.with(1, element))
	if suffix == "" {
		suffix = address.Short(w.with(2, element))
	}
	return address.Path(key + "/" + suffix)
}

// join is Const, With[0], the text and With[1]; "" if one that is named is missing.
func (w *walker) join(text string, element map[string]any) string {
	parts := make([]string, 0, 4)
	if c := w.ref.Field.Const; c != "" {
		parts = append(parts, c)
	}
	for i, value := range [3]string{w.with(0, element), text, w.with(1, element)} {
		named := i == 1 || i/2 < len(w.ref.Field.With) && w.ref.Field.With[i/2] != ""
		if !named {
			continue
		}
		value = address.Short(value)
		if value == "" {
			return ""
		}
		parts = append(parts, value)
	}
	return address.Path(strings.Join(parts, "/"))
}
