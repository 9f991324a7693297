// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// position is the line at which a path of the object stands, as violations write it, with
// the value they found there. It is a guess where the path does not tell elements of lists
// apart; where nothing is found it is the line of what stands above.
func (o *object) position(path, value string) int {
	node := o.document.root()
	for _, i := range o.items {
		items := child(node, "items")
		if items == nil || items.Kind != yamlv3.SequenceNode || i >= len(items.Content) {
			return o.document.firstLine()
		}
		node = resolve(items.Content[i])
	}
	if node == nil {
		return o.document.firstLine()
	}
	f := finder{value: strings.ToLower(value), best: node}
	f.find(node, node, steps(path), 0)
	if rest, ok := strings.CutPrefix(path, "data"); ok && !f.whole && o.gvk.Kind == "Secret" { // see decodeSecret
		f.find(node, node, steps("stringData"+rest), 0)
	}
	return o.document.line + f.line() - 1
}

// root is the node of the document's value, nil if it cannot be read.
func (d *document) root() *yamlv3.Node {
	if !d.parsed {
		d.parsed = true
		n := &yamlv3.Node{}
		if yamlv3.Unmarshal(d.raw, n) == nil && n.Kind == yamlv3.DocumentNode && len(n.Content) > 0 {
			d.nodes = resolve(n.Content[0])
		}
	}
	return d.nodes
}

// resolve follows an alias.
func resolve(n *yamlv3.Node) *yamlv3.Node {
	for i := 0; n != nil && n.Kind == yamlv3.AliasNode && i < 8; i++ {
		n = n.Alias
	}
	return n
}

// child is the value of a key; of several the last, which counts.
func child(n *yamlv3.Node, key string) *yamlv3.Node {
	v, _ := entry(n, key)
	return v
}

// entry is the value of a key and the key itself. Merged maps are looked into last.
func entry(n *yamlv3.Node, key string) (value, at *yamlv3.Node) {
	if n == nil || n.Kind != yamlv3.MappingNode {
		return nil, nil
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1]), n.Content[i]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		merged := resolve(n.Content[i+1])
		parts := []*yamlv3.Node{merged}
		if merged != nil && merged.Kind == yamlv3.SequenceNode {
			parts = merged.Content
		}
		for _, part := range parts {
			part = resolve(part)
			if part == n {
				continue
			}
			if value, at := shallow(part, key); value != nil {
				return value, at
			}
		}
	}
	return nil, nil
}

// shallow is entry without merged maps.
func shallow(n *yamlv3.Node, key string) (value, at *yamlv3.Node) {
	if n == nil || n.Kind != yamlv3.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1]), n.Content[i]
		}
	}
	return nil, nil
}

// step is one step of a path: a field, or an element in brackets.
type step struct {
	name    string
	element bool // ["name"] or [*]
	any     bool
	index   int // of [7], else -1
}

// steps takes a path apart as flow.Reference.Path puts it together.
func steps(path string) []step {
	if i := strings.LastIndex(path, " ("); i >= 0 && strings.HasSuffix(path, ")") {
		path = path[:i] // the encodings that the value stands in
	}
	var out []step
	for path != "" {
		switch {
		case strings.HasPrefix(path, "[*]"):
			out, path = append(out, step{element: true, any: true, index: -1}), path[3:]
		case number(path) >= 0:
			end := strings.IndexByte(path, ']') + 1
			out, path = append(out, step{element: true, index: number(path)}), path[end:]
		case strings.HasPrefix(path, `["`):
			end := strings.Index(path, `"]`)
			if end < 0 {
				return out
			}
			out, path = append(out, step{name: path[2:end], element: true, index: -1}), path[end+2:]
		case path[0] == '[':
			return out // nothing that a path is made of
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			if end > 0 {
				out = append(out, step{name: path[:end], index: -1})
			}
			path = strings.TrimPrefix(path[end:], ".")
		}
	}
	return out
}

// number is N of a path that begins with [N], else -1.
func number(path string) int {
	rest, ok := strings.CutPrefix(path, "[")
	end := strings.IndexByte(rest, ']')
	if !ok || end < 0 {
		return -1
	}
	n, err := strconv.Atoi(rest[:end])
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// finder looks for the node that a path means.
type finder struct {
	value string
	best  *yamlv3.Node // found as far as the path leads
	deep  int
	whole bool // the path led to its end
	exact bool // best holds the value
	inner int  // lines into best
}

func (f *finder) line() int { return f.best.Line + f.inner }

// find follows the steps from node, whose place shows at. It ends at the first node that
// holds the value.
func (f *finder) find(node, at *yamlv3.Node, path []step, deep int) {
	if node == nil || f.exact {
		return
	}
	if deep > f.deep {
		f.best, f.deep, f.inner = at, deep, 0
	}
	if len(path) == 0 {
		f.whole = true
		f.leaf(node, at)
		return
	}
	s, rest := path[0], path[1:]
	switch {
	case node.Kind == yamlv3.MappingNode:
		if s.any || s.index >= 0 {
			return
		}
		for _, key := range keys(node, s) {
			value, at := entry(node, key)
			f.find(value, at, rest, deep+1)
		}
	case node.Kind == yamlv3.SequenceNode && s.element:
		for i, item := range node.Content {
			item = resolve(item)
			if s.any || s.index == i || s.index < 0 && named(item, s.name) {
				f.find(item, item, rest, deep+1)
			}
		}
	}
}

// keys of a map that a step means. Long ones are cut in paths, and line breaks blanked.
func keys(n *yamlv3.Node, s step) []string {
	var out []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		if shows(s.name, n.Content[i].Value) {
			out = append(out, n.Content[i].Value)
		}
	}
	if out == nil {
		out = []string{s.name} // it may be merged in
	}
	return out
}

func shows(shown, name string) bool {
	if shown == name {
		return true
	}
	name = strings.NewReplacer("\t", " ", "\n", " ").Replace(name)
	prefix, cut := strings.CutSuffix(shown, "...")
	return shown == name || cut && strings.HasPrefix(name, prefix)
}

// named reports whether a field of a list element tells it by a name.
func named(n *yamlv3.Node, name string) bool {
	if n == nil || n.Kind != yamlv3.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := resolve(n.Content[i+1]); v != nil && v.Kind == yamlv3.ScalarNode && shows(name, v.Value) {
			return true
		}
	}
	return name == ""
}

// leaf ends the search if the node holds the value, or a part of it.
func (f *finder) leaf(node, at *yamlv3.Node) {
	if node.Kind != yamlv3.ScalarNode || f.value == "" {
		return
	}
	content := strings.ToLower(node.Value)
	i := strings.Index(content, f.value)
	if i < 0 && (content == "" || !strings.Contains(f.value, content)) {
		return
	}
	f.best, f.exact, f.inner = at, true, 0
	if node.Style&yamlv3.LiteralStyle != 0 && i >= 0 {
		f.best, f.inner = node, 1+strings.Count(content[:i], "\n")
	}
}
