// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// document is a part of a file between two separators.
type document struct {
	file string
	line int // of its first line
	raw  []byte

	nodes  *yamlv3.Node // parsed when a position is asked for
	parsed bool
}

// object is one Kubernetes object of a document.
type object struct {
	// content as decoded JSON.
	content map[string]any
	// kind and name, in words that can be printed.
	gvk             schema.GroupVersionKind
	namespace, name string

	document *document
	// items are the indices that lead to it through the Lists of its document.
	items []int
}

// errNotKubernetes is the answer to a document that is something else.
var errNotKubernetes = errors.New("has no apiVersion and no kind: it is no Kubernetes object")

// maxNesting is how deep Lists may stand in Lists.
const maxNesting = 8

// objects are the objects of a document; a List has several. The error of one item leaves
// the others standing.
func (d *document) objects(visit func(*object), broken func(error, problem)) {
	fail := func(err error) {
		broken(err, problem{File: d.file, Line: d.errorLine(err), Message: d.errorText(err)})
	}
	switch {
	case bytes.HasPrefix(d.raw, []byte("\xff\xfe")), bytes.HasPrefix(d.raw, []byte("\xfe\xff")):
		fail(errors.New("is written in UTF-16: write it in UTF-8"))
		return
	case !bytes.HasPrefix(bytes.TrimLeft(d.raw, "\ufeff \t\r\n"), []byte("{")):
		d.yaml(visit, fail)
	default:
		d.json(visit, fail)
	}
}

func (d *document) yaml(visit func(*object), fail func(error)) {
	if d.breaksOtherwise() {
		fail(errors.New("holds a line separator of Unicode behind which another document begins: use line feeds"))
		return
	}
	asJSON, err := yaml.YAMLToJSON(d.raw)
	if err != nil {
		fail(err)
		return
	}
	var content any
	if err := json.Unmarshal(asJSON, &content); err != nil {
		fail(err)
		return
	}
	d.object(content, visit, fail)
}

// breaksOtherwise reports whether a YAML reader sees several documents where the lines
// show one, because U+0085, U+2028 and U+2029 are line breaks to it.
func (d *document) breaksOtherwise() bool {
	if !bytes.Contains(d.raw, []byte("\u2028")) && !bytes.Contains(d.raw, []byte("\u2029")) && !bytes.Contains(d.raw, []byte("\u0085")) {
		return false
	}
	for line := range strings.FieldsFuncSeq(string(d.raw), func(r rune) bool { return r == '\u2028' || r == '\u2029' || r == '\u0085' }) {
		if separates([]byte(line)) && !strings.HasPrefix(string(d.raw), line) {
			return true
		}
	}
	return false
}

// json reads one JSON value after the other, as kubectl does. Text that begins like JSON may
// be YAML all the same.
func (d *document) json(visit func(*object), fail func(error)) {
	text := bytes.TrimPrefix(d.raw, []byte("\ufeff"))
	decoder := stdjson.NewDecoder(bytes.NewReader(text))
	for n := 0; ; n++ {
		start := int(decoder.InputOffset())
		start += len(text[start:]) - len(bytes.TrimLeft(text[start:], " \t\r\n"))
		value := &document{file: d.file, line: d.line + bytes.Count(text[:start], []byte("\n"))}
		var raw stdjson.RawMessage
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil && n == 0 {
			d.yaml(visit, fail)
			return
		}
		var content any
		if err == nil {
			value.raw = raw
			err = json.Unmarshal(raw, &content)
		}
		if err != nil {
			fail(&at{line: value.line, err: err})
			return
		}
		value.object(content, visit, func(err error) { fail(&at{line: value.errorLine(err), err: err}) })
	}
}

// at is an error whose line is known.
type at struct {
	line int
	err  error
}

func (a *at) Error() string { return a.err.Error() }
func (a *at) Unwrap() error { return a.err }

// object takes Lists apart and visits what is in them.
func (d *document) object(content any, visit func(*object), fail func(error)) {
	switch content := content.(type) {
	case nil: // comments only
	case map[string]any:
		d.walk(&object{content: content, document: d}, visit, fail)
	default:
		fail(errNotKubernetes)
	}
}

func (d *document) walk(o *object, visit func(*object), fail func(error)) {
	apiVersion, kind := text(o.content["apiVersion"]), text(o.content["kind"])
	gv, err := schema.ParseGroupVersion(apiVersion)
	switch {
	case apiVersion == "" && kind == "" && o.content["apiVersion"] == nil && o.content["kind"] == nil:
		fail(o.error("", errNotKubernetes))
		return
	case apiVersion == "":
		fail(o.error("apiVersion", errors.New("apiVersion: must be a text such as v1 or apps/v1")))
		return
	case kind == "":
		fail(o.error("kind", errors.New("kind: must be the name of a kind")))
		return
	case err != nil:
		fail(o.error("apiVersion", fmt.Errorf("apiVersion: %w", err)))
		return
	}
	o.gvk = gv.WithKind(kind)
	items, isList := o.content["items"].([]any)
	// kubectl takes everything with items for a list. Others send it as it is.
	if !isList || !strings.HasSuffix(kind, "List") {
		d.single(o, visit, fail)
	}
	if len(items) == 0 {
		return
	}
	if len(o.items) >= maxNesting {
		fail(o.error("items", fmt.Errorf("items: more than %d Lists in each other", maxNesting)))
		return
	}
	for i, item := range items {
		next := &object{document: d, items: append(o.items[:len(o.items):len(o.items)], i)}
		content, ok := item.(map[string]any)
		if !ok {
			fail(next.error("", fmt.Errorf("items[%d]: must be an object", i)))
			continue
		}
		next.content = content
		// Items of a typed list may leave out what the list says for all.
		if of, typed := strings.CutSuffix(kind, "List"); typed && of != "" && content["kind"] == nil && content["apiVersion"] == nil {
			content["kind"], content["apiVersion"] = of, apiVersion
		}
		d.walk(next, visit, fail)
	}
}

// single visits what is one object.
func (d *document) single(o *object, visit func(*object), fail func(error)) {
	metadata, isMap := o.content["metadata"].(map[string]any)
	if !isMap && o.content["metadata"] != nil {
		fail(o.error("metadata", errors.New("metadata: must be a map")))
		return
	}
	o.namespace, o.name = text(metadata["namespace"]), text(metadata["name"])
	if o.name == "" {
		o.name = text(metadata["generateName"])
	}
	visit(o)
}

// error gives an error the line of a field of the object.
func (o *object) error(path string, err error) error {
	return &at{line: o.position(path, ""), err: err}
}

// text is a string, or "".
func text(v any) string {
	s, _ := v.(string)
	return s
}

var lineRegexp = regexp.MustCompile(`(?:yaml: )?line ([0-9]+): `)

// errorLine is the line that an error names, else the first of the document that says
// something.
func (d *document) errorLine(err error) int {
	var known *at
	if errors.As(err, &known) {
		return known.line
	}
	if m := lineRegexp.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return d.line + max(0, min(n, bytes.Count(d.raw, []byte("\n"))+1)-1)
		}
	}
	return d.firstLine()
}

// errorText is an error without what the readers put in front of it.
func (d *document) errorText(err error) string {
	s := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	s = lineRegexp.ReplaceAllString(s, "")
	return strings.TrimPrefix(strings.ReplaceAll(s, "\n", " "), "yaml: ")
}

// firstLine is the first line that holds more than a separator or a comment.
func (d *document) firstLine() int {
	n := d.line
	for line := range bytes.SplitSeq(d.raw, []byte("\n")) {
		trimmed := bytes.TrimSpace(line)
		if len(trimmed) > 0 && trimmed[0] != '#' && !separates(line) {
			return n
		}
		n++
	}
	return d.line
}

// mayHold reports whether a document can hold an object of one of some kinds. It is never
// wrong when it says no: only an escape can hide a word.
func (d *document) mayHold(kinds ...string) bool {
	return bytes.IndexByte(d.raw, '\\') >= 0 || slices.ContainsFunc(kinds, func(kind string) bool { return bytes.Contains(d.raw, []byte(kind)) })
}
