// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// mover is an object of a kind in no table that looks as if it moved data.
type mover struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Field that looks so, the first of several, and how many there are.
	Field  string `json:"field"`
	Fields int    `json:"fields"`
	// Owner of an address in it, if somebody owns one.
	Owner string `json:"owner,omitempty"`
}

// book of all addresses, to see whether somebody owns what stands in a field.
func (w *world) book() *address.Book {
	if len(w.guards) > 0 {
		b := &address.Book{Addresses: map[string]string{}, Parents: map[string]string{}, Hosts: map[string]string{}, Aliases: map[string]string{}}
		for _, g := range w.guards {
			s := &g.Spec
			maps.Copy(b.Addresses, s.Addresses)
			maps.Copy(b.Hosts, s.Hosts)
			b.Depths = descending(b.Depths, s.Depths)
			b.SuffixLabels = descending(b.SuffixLabels, s.SuffixLabels)
			b.PrefixLengths = descending(b.PrefixLengths, s.PrefixLengths)
		}
		return b
	}
	var entries []address.Entry
	for _, k := range w.addresses() {
		if a, err := address.Parse(address.Type(k.Type), k.Address); err == nil {
			entries = append(entries, address.Entry{Address: a, Place: k.Environment, Shared: k.Shared})
		}
	}
	return address.NewBook(entries)
}

// descending joins two lists of numbers.
func descending(a, b []int64) []int64 {
	out := slices.Concat(a, b)
	slices.SortFunc(out, func(x, y int64) int { return int(y - x) })
	return slices.Compact(out)
}

// mover reports whether an object is of a kind in no table and looks as if it moved data.
func (t table) mover(o *object, book *address.Book) (mover, bool) {
	if t.kind(o.gvk) != nil || flow.Innocent(o.gvk.Group) {
		return mover{}, false
	}
	m := mover{File: o.document.file, Group: o.gvk.Group, Kind: o.gvk.Kind, Namespace: o.namespace, Name: o.name}
	l := looker{mover: &m, book: book}
	for _, key := range slices.Sorted(maps.Keys(o.content)) {
		if key != "metadata" && key != "status" && key != "apiVersion" && key != "kind" {
			l.look(o.content[key], key, key, 0)
		}
	}
	if m.Fields == 0 {
		return m, false
	}
	m.Line = o.position(m.Field, l.value)
	return m, true
}

// looker walks an object of an unknown kind.
type looker struct {
	*mover
	book  *address.Book
	value string
}

// maxDeep is how deep objects are walked.
const maxDeep = 64

func (l *looker) look(node any, path, name string, deep int) {
	if deep > maxDeep {
		return
	}
	switch node := node.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(node)) {
			next := path + "." + key
			if strings.ContainsAny(key, "./") {
				next = path + `["` + key + `"]`
			}
			l.look(node[key], next, key, deep+1)
		}
	case []any:
		for _, item := range node {
			l.look(item, path+"[*]", name, deep+1)
		}
	case string:
		l.text(node, path, name)
	}
}

// text counts a field if somebody owns what it says, or if it is called like a field that
// holds an address and holds something like one.
func (l *looker) text(value, path, name string) {
	owner := l.owner(value)
	if owner == "" && (!flow.Telling(name) || !looksLikeAddress(value)) {
		return
	}
	l.Fields++
	// A field whose address somebody owns says more than one that only looks like one.
	if l.Field == "" || l.Owner == "" && owner != "" {
		l.Field, l.Owner, l.value = path, owner, ""
		if owner != "" {
			l.value = strings.ToLower(value)
		}
	}
}

func (l *looker) owner(value string) string {
	lower := address.Lower(value)
	if !l.book.MayHold(lower) {
		return ""
	}
	for _, token := range address.Tokens(lower) {
		if m, ok := l.book.Owner(address.TokenKey(token), ""); ok && m.Place != "" {
			return m.Place
		}
	}
	return ""
}

// looksLikeAddress reports whether a text names something outside the cluster that can
// hold data, as far as one can tell.
func looksLikeAddress(value string) bool {
	if value == "" || len(value) > address.MaxLength || strings.ContainsAny(value, " \t\n") || strings.Contains(value, "{{") {
		return false
	}
	for _, token := range address.Tokens(address.Short(value)) {
		host, _, _ := strings.Cut(address.TokenKey(token), "/")
		host, _, _ = strings.Cut(host, ":")
		if host == "" || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local") {
			return false
		}
	}
	return true
}
