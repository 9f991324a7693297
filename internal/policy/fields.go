// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// celRoot is where the variables of a policy start: the object, or the pod spec in it.
const celRoot = "variables.root"

// celField is an optional: the field at the end of steps from the map base, or none where
// something on the way is absent or of another type. CEL yields none for everything but a
// list in the place of a map, which it takes for an error.
func celField(base string, steps []flow.Step) string {
	out, tests := base, []string{}
	for i, s := range steps {
		if i > 0 {
			tests = append(tests, "type("+out+".orValue(0)) == list")
		}
		out += "[?" + quote(s.Name) + "]"
	}
	if len(tests) == 0 {
		return out
	}
	return "(" + strings.Join(tests, " || ") + " ? optional.none() : " + out + ")"
}

// celString is the short string at steps from base, or ”; a number as its digits.
func celString(base string, steps []flow.Step) string {
	return bind("x", celField(base, steps)+".orValue('')", "type(x) == string ? "+celShort("x")+" : type(x) == int ? string(x) : ''")
}

// celList is the list at steps from base, or an empty one.
func celList(base string, steps []flow.Step) string {
	return "dyn(" + bind("x", celField(base, steps)+".orValue([])", "type(x) == list ? x : []") + ")"
}

// celMap is the map at steps from base, or an empty one.
func celMap(base string, steps []flow.Step) string {
	return "dyn(" + bind("x", celField(base, steps)+".orValue({})", "type(x) == map ? x : {}") + ")"
}

// each walks the values of a field and joins what leaf makes of them, line by line. leaf
// gets the CEL of a list with the one value if it is a string, the CEL of its path as it is
// shown, and the CEL of the innermost element.
type each struct {
	leaf func(value, path, element string) string
	join string // how lines are put together: ".join('\n')" or ".sum()"
	drop string // what is no line: "”" or "0"
}

func (w each) field(k *flow.Kind, f *flow.Field) string {
	path := quote("")
	if k.Root != "" {
		path = "variables.rootPath"
	}
	return w.steps(celRoot, celRoot, f.Steps(), path, 0)
}

func (w each) steps(base, element string, steps []flow.Step, path string, depth int) string {
	n := slices.IndexFunc(steps, func(s flow.Step) bool { return s.List || s.Map })
	if n < 0 {
		return w.leaf("["+celField(base, steps)+".orValue('')].filter(v, type(v) == string && v != '')", path+" + "+quote(shown(steps, path)), element)
	}
	prefix, s, rest := steps[:n+1], steps[n], steps[n+1:]
	at := path + " + " + quote(shown(prefix, path))
	item := fmt.Sprintf("e%d", depth)
	if s.Map {
		m := fmt.Sprintf("m%d", depth)
		key := at + ` + '["' + ` + celClean(item) + ` + '"]'`
		inner := w.leaf("["+m+"["+item+"]].filter(v, type(v) == string && v != '')", key, element)
		return bind(m, celMap(base, prefix), m+".map("+item+", "+inner+").filter(x, x != "+w.drop+")"+w.join)
	}
	at += w.bracket(s, item)
	if len(rest) == 0 {
		inner := w.leaf("["+item+"].filter(v, type(v) == string && v != '')", at, element)
		return celList(base, prefix) + ".map(" + item + ", " + inner + ").filter(x, x != " + w.drop + ")" + w.join
	}
	inner := w.steps(item, item, rest, at, depth+1)
	return celList(base, prefix) + ".filter(" + item + ", type(" + item + ") == map).map(" + item + ", " + inner + ").filter(x, x != " + w.drop + ")" + w.join
}

// bracket is the CEL that shows which element of a list is meant.
func (w each) bracket(s flow.Step, item string) string {
	if s.Key == "*" {
		return " + '[*]'"
	}
	name := bind("x", item+"[?"+quote(s.Key)+"].orValue('')", "type(x) == string ? "+celClean("x")+" : ''")
	return ` + '["' + ` + name + ` + '"]'`
}

func celClean(v string) string { return v + `.replace('\t', ' ').replace('\n', ' ')` }

// shown is how the steps are written in a path that starts with what path says.
func shown(steps []flow.Step, path string) string {
	var b strings.Builder
	for i, s := range steps {
		if strings.ContainsAny(s.Name, "./") {
			b.WriteString(`["` + s.Name + `"]`)
			continue
		}
		if i > 0 || path != quote("") {
			b.WriteByte('.')
		}
		b.WriteString(s.Name)
	}
	return b.String()
}

// Lines of variables.refs, one per reference, have these columns between tabs.
const (
	colPath = iota
	colPhrase
	colWay
	colNumber
	colFlag
	colKey
)

// Flags of a reference: a bucket may stand above an owned address; of free text, only what
// the address covers is shown.
const (
	flagBucket = "b"
	flagText   = "t"
)

// line is the constant part of a field's references.
func line(f *flow.Field) string {
	way := map[flow.Direction]string{flow.From: "F", flow.To: "T", flow.Names: "N"}[f.Direction]
	if f.End == flow.Source {
		way = "S"
	}
	flag := ""
	switch {
	case f.Form == flow.Text:
		flag = flagText
	case f.Type == address.Bucket:
		flag = flagBucket
	}
	return quote("\t" + phrase(f) + "\t" + way + "\t" + numbers[f.Type] + "\t" + flag + "\t")
}

// exactRefs are the references of a field that is no free text, line by line.
func exactRefs(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, drop: "''", leaf: func(value, path, element string) string {
		key := celKey(f, func(i int) string {
			steps, relative := f.WithSteps(i)
			switch {
			case steps == nil:
				return "''"
			case relative:
				return celString(element, steps)
			}
			return celString(celRoot, steps)
		})
		return value + ".map(v, " + key + ").filter(k, k != '').map(k, " + path + " + " + line(f) + " + k).join('\\n')"
	}}
	expr := w.field(k, f)
	if f.CreateOnly {
		expr = "(request.operation == 'CREATE' ? " + expr + " : '')"
	}
	return expr
}

// textRefs are the references in a field of free text.
func textRefs(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, drop: "''", leaf: func(value, path, _ string) string {
		return value + ".map(v, v.lowerAscii().findAll(" + quote(address.TokenPattern) + ").filter(t, [t.find(" + quote(address.HeadPattern) + ")].exists(h, " + celSuspect + "))" +
			".map(t, " + celTokenKey() + ").filter(k, k != '').map(k, " + path + " + " + line(f) + " + k).join('\\n')).join('\\n')"
	}}
	return w.field(k, f)
}

// textOf is the free text of a field, line by line; sizeOf counts its characters.
func textOf(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, drop: "''", leaf: func(value, _, _ string) string { return value + ".join('\\n')" }}
	return w.field(k, f)
}

func sizeOf(k *flow.Kind, f *flow.Field) string {
	w := each{join: ".sum()", drop: "0", leaf: func(value, _, _ string) string { return value + ".map(v, size(v)).sum()" }}
	return w.field(k, f)
}

// countOf counts the elements that a field walks, without walking the inner ones; "" if it
// walks none.
func countOf(f *flow.Field) string {
	steps := f.Steps()
	n := slices.IndexFunc(steps, func(s flow.Step) bool { return s.List || s.Map })
	if n < 0 {
		return ""
	}
	outer := celList(celRoot, steps[:n+1])
	if steps[n].Map {
		return "size(" + celMap(celRoot, steps[:n+1]) + ")"
	}
	rest := steps[n+1:]
	m := slices.IndexFunc(rest, func(s flow.Step) bool { return s.List || s.Map })
	if m < 0 {
		return "size(" + outer + ")"
	}
	inner := celList("c", rest[:m+1])
	if rest[m].Map {
		inner = celMap("c", rest[:m+1])
	}
	return bind("l", outer, fmt.Sprintf("size(l) > %d ? size(l) : l.filter(c, type(c) == map).map(c, size(%s)).sum()", maxItems, inner))
}
