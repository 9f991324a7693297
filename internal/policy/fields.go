// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strconv"
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
		out += "[?" + celStep(s.Name) + "]"
	}
	if len(tests) == 0 {
		return out
	}
	return "(" + strings.Join(tests, " || ") + " ? optional.none() : " + out + ")"
}

// celStep is the name of a step. Where it holds the name of a list element, that is own.
func celStep(name string) string {
	before, _, after, ok := flow.OwnName(name)
	if !ok {
		return quote(name)
	}
	return quote(before) + " + own + " + quote(after)
}

// celString is the short string at steps from base, or ”; a number as its digits.
func celString(base string, steps []flow.Step) string {
	// dyn: the type checker would take x for a string, and string(x) for a conversion of one.
	return bind("x", "dyn("+celField(base, steps)+".orValue(''))", "type(x) == string ? "+celShort("x")+" : type(x) == int ? string(x) : type(x) == double && x > 0.0 && x < 1e9 ? string(int(x)) : ''")
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
// gets the CEL of the value, which may be of any type, the CEL of its path as it is shown,
// and the CEL of the innermost element.
type each struct {
	leaf func(value, path, element string) string
	join string // how lines are put together: ".join('\n')" or ".sum()"
	drop string // what is no line: two quotes; nothing where it does no harm
}

// stringOf is a list of the one value if it is a string that says something.
func stringOf(value string) string {
	return "[" + value + "].filter(v, type(v) == string && v != '')"
}

// together joins the lines of a list.
func (w each) together(list string) string {
	if w.drop != "" {
		list += ".filter(x, x != " + w.drop + ")"
	}
	return list + w.join
}

func (w each) field(k *flow.Kind, f *flow.Field) string {
	path := quote("")
	if k.Root != "" {
		path = "variables.rootPath"
	}
	return w.steps(celRoot, celRoot, f.Steps(), path, 0)
}

func (w each) steps(base, element string, steps []flow.Step, path string, depth int) string {
	n := walks(steps)
	if n < 0 {
		return w.leaf(celField(base, steps)+".orValue('')", path+" + "+quote(shown(steps, path)), element)
	}
	prefix, s, rest := steps[:n+1], steps[n], steps[n+1:]
	at := path + " + " + quote(shown(prefix, path))
	item := fmt.Sprintf("e%d", depth)
	if s.Map {
		m := fmt.Sprintf("m%d", depth)
		key := at + ` + '["' + ` + celClean(item) + ` + '"]'`
		value, keys := m+"["+item+"]", m
		inner := w.leaf(value, key, element)
		if len(rest) > 0 {
			keys += ".filter(" + item + ", type(" + value + ") == map)"
			inner = w.steps(value, value, rest, key, depth+1)
		}
		return bind(m, celMap(base, prefix), w.together(keys+".map("+item+", "+inner+")"))
	}
	at += w.bracket(s, item)
	if len(rest) == 0 {
		return w.together(celList(base, prefix) + ".map(" + item + ", " + w.leaf(item, at, element) + ")")
	}
	inner := w.steps(item, item, rest, at, depth+1)
	return w.together(celList(base, prefix) + ".filter(" + item + ", type(" + item + ") == map).map(" + item + ", " + inner + ")")
}

// bracket is the CEL that shows which element of a list is meant.
func (w each) bracket(s flow.Step, item string) string {
	if s.Key == "*" {
		return " + '[*]'"
	}
	name := bind("x", item+"[?"+quote(s.Key)+"].orValue('')", "type(x) == string ? "+celClean("x")+" : ''")
	return ` + '["' + ` + name + ` + '"]'`
}

func celClean(v string) string {
	return celCut(v, flow.MaxName) + `.replace('\t', ' ').replace('\n', ' ')`
}

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

// A row is one reference as the policies hand it from variable to variable: columns
// between tabs. Extraction fills colToken, colRest and colElse by the form of the field;
// variables.keyed appends the key of colToken and the key of the whole.
const (
	colPath = iota
	colPhrase
	colWay
	colNumber
	colFlag
	colForm
	colToken // text whose first token counts
	colRest  // what is put behind it
	colElse  // what stands in for the token where there is none
	colTokenKey
	colRaw // the key before its path is cleaned
	colKey
	colMatch
	colOwner
	colPull
)

// Flags of a row: a bucket may stand above an owned address; of free text, only what the
// address covers is shown.
const (
	flagBucket = "b"
	flagText   = "t"
)

// How a row becomes a key.
const (
	rowPath   = "k" // colRest
	rowToken  = "t" // token, then colRest; nothing without a token
	rowBucket = "b" // token or colElse, then colRest
	rowGit    = "g" // as rowToken, without .git
	rowAlias  = "a" // colRest, looked up
	rowIP     = "p" // colToken if it is an IP, else its token
)

// meta is the constant part of a field's rows, up to the form.
func meta(f *flow.Field) string {
	way := map[flow.Direction]string{flow.From: "F", flow.To: "T", flow.Names: "N"}[f.Direction]
	if f.End == flow.Source {
		way = "S"
	}
	if way == "N" && f.Passive {
		way = "P"
	}
	flag := ""
	switch {
	case f.Form == flow.Text:
		flag = flagText
	case f.Type == address.Bucket:
		flag = flagBucket
	}
	return "\t" + phrase(f) + "\t" + way + "\t" + numbers[f.Type] + "\t" + flag + "\t"
}

// columns are the last columns of a row in CEL: form, token, rest and else, of the short
// string named v. An empty form makes no row.
func columns(f *flow.Field, with func(int) string) string {
	row := func(form, token, rest, otherwise string) string {
		return quote(form+"\t") + " + " + token + " + '\\t' + " + rest + " + '\\t' + " + otherwise
	}
	const none = "''"
	switch f.Form {
	case flow.Alias:
		return row(rowAlias, none, quote(f.Const)+" + a", none) // aliases are looked up as written
	case flow.IP:
		return row(rowIP, celAuthority("v"), none, none)
	case flow.Bucket:
		return row(rowBucket, celAuthority(with(0)), celBucket+" + '/' + "+with(1), celProvider(f, with(2)))
	case flow.Object:
		suffix := bind("w", with(1), "w == '' ? "+with(2)+" : w")
		return "(v.matches('^s3://(?:[.]?/)*(?:[^/.]|[.][^/])') ? " + row(rowBucket, celAuthority(with(0)), bind("o", "v.substring(5)", "o.find("+quote(address.BucketPattern)+") + o.find("+quote(address.ObjectPattern)+")")+" + '/' + "+suffix, "'aws'") +
			" : " + row(rowToken, celAuthority("v"), suffix, none) + ")"
	case flow.Image:
		name := bind("i", "v.find("+quote(address.ImagePattern)+")", "i == '' ? '' : !i.contains('/') || !i.split('/')[0].matches('[.:]') ? 'docker.io/' + i : i.replace(':443/', '/', 1)")
		return row(rowPath, none, name, none)
	case flow.Git:
		return row(rowGit, bind("g", "v.substring(size(v.find("+quote(address.GitPrefixPattern)+")))", "v.contains('://') ? g : g.replace(':', '/', 1)"), with(0), none)
	case flow.Store:
		return row(rowToken, celAuthority("v"), with(0), none)
	case flow.Endpoint:
		return row(rowPath, none, bind("q", "v.find('[^/].*').find('^(?:.*[^.])?')", bind("w", with(0), "q == '' ? '' : w in ['', '0', '443', '80'] ? q : q + ':' + w")), none)
	case flow.Cluster:
		return row(rowPath, none, "'cluster/' + "+with(0)+" + '/' + v", none)
	case flow.Join:
		return row(rowPath, none, celJoin(f, with), none)
	}
	return row(rowToken, "v", none, none)
}

// celBucket is the string v without what the ARN of a bucket has in front.
var celBucket = fmt.Sprintf("(v.startsWith(%[1]s) && size(v) > %[2]d ? v.substring(%[2]d) : v)", quote(address.BucketARN), len(address.BucketARN))

// celProvider is flow's provider of the string v.
func celProvider(f *flow.Field, v string) string {
	if f.Const != "" {
		return quote(f.Const)
	}
	return "(" + v + ".matches(" + quote(flow.GooglePattern) + ") ? 'gcs' : 'aws')"
}

// celJoin is Const, With[0], v and With[1], or nothing if one that is named is missing.
func celJoin(f *flow.Field, with func(int) string) string {
	var parts []string
	if f.Const != "" {
		parts = append(parts, quote(f.Const))
	}
	if len(f.With) > 0 && f.With[0] != "" {
		parts = append(parts, with(0))
	}
	parts = append(parts, "v")
	if len(f.With) > 1 && f.With[1] != "" {
		parts = append(parts, with(1))
	}
	return bind("j", "["+strings.Join(parts, ", ")+"]", "'' in j ? '' : j.join('/')")
}

// withOwn binds own, for steps that hold the name of the list element.
func withOwn(steps []flow.Step, element, expr string) string {
	for _, s := range steps {
		if _, key, _, ok := flow.OwnName(s.Name); ok {
			return bind("own", bind("x", "dyn("+element+"[?"+quote(key)+"].orValue(''))", "type(x) == string ? x : ''"), expr)
		}
	}
	return expr
}

// exactRows are the rows of a field that is not free text, line by line.
func exactRows(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, drop: "''", leaf: func(value, path, element string) string {
		value = stringOf(value)
		with := func(i int) string {
			steps, relative := f.WithSteps(i)
			switch {
			case steps == nil:
				return "''"
			case relative:
				return celString(element, steps)
			}
			return withOwn(steps, element, celString(celRoot, steps))
		}
		short := value + ".map(a, " + celShort("a") + ").filter(v, v != '')"
		head := path + " + " + quote(meta(f)) + " + "
		switch f.Form {
		case flow.Text: // every token of a destination
			return short + ".map(v, v.findAll(" + quote(address.TokenPattern) + ").map(v, " + head + columns(f, with) + ").join('\\n')).join('\\n')"
		case flow.Alias:
			return value + `.filter(a, size(a) <= ` + strconv.Itoa(address.MaxLength) + ` && !a.matches('[\\t\\n]')).map(a, ` + head + columns(f, with) + ").join('\\n')"
		}
		return short + ".map(v, " + head + columns(f, with) + ").join('\\n')"
	}}
	return onCreate(f, w.field(k, f))
}

// textRows are the rows of a field of free text: its tokens whose host somebody owns.
func textRows(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, drop: "''", leaf: func(value, path, _ string) string {
		return stringOf(value) + ".map(v, v.lowerAscii().findAll(" + quote(address.TokenPattern) + ").filter(t, [t.find(" + quote(address.HeadPattern) + ")].exists(h, " + celOwnedToken + "))" +
			".map(v, " + path + " + " + quote(meta(f)) + " + " + columns(f, nil) + ").join('\\n')).join('\\n')"
	}}
	return onCreate(f, w.field(k, f))
}

// onCreate is the rows of a field, if it is read for this request.
func onCreate(f *flow.Field, rows string) string {
	if f.CreateOnly {
		return "(request.operation == 'CREATE' ? " + rows + " : '')"
	}
	return rows
}

// textOf is the free text of a field, line by line; sizeOf counts its characters. They are
// evaluated for every object, twice, so they ask for each value once more instead of binding
// it to a name, which costs more.
func textOf(k *flow.Kind, f *flow.Field) string {
	w := each{join: `.join('\n')`, leaf: func(value, _, _ string) string {
		return "(type(" + value + ") == string ? " + value + " : '')"
	}}
	return w.field(k, f)
}

func sizeOf(k *flow.Kind, f *flow.Field) string {
	w := each{join: ".sum()", leaf: func(value, _, _ string) string {
		return "(type(" + value + ") == string ? size(" + value + ") : 0)"
	}}
	return w.field(k, f)
}

// lengthOf counts the characters of an exact field and of what stands beside it, as far as
// celShort leaves them.
func lengthOf(k *flow.Kind, f *flow.Field) string {
	short := func(v string) string {
		return fmt.Sprintf("(size(%[1]s) > %[2]d ? 0 : size(%[1]s))", v, address.MaxLength)
	}
	w := each{join: ".sum()", leaf: func(value, _, element string) string {
		sum := stringOf(value) + ".map(v, " + short("v") + ").sum()"
		for i := range f.With {
			if steps, relative := f.WithSteps(i); relative {
				sum += " + " + bind("x", "dyn("+celField(element, steps)+".orValue(''))", "type(x) == string ? "+short("x")+" : 0")
			}
		}
		return sum
	}}
	return w.field(k, f)
}

// countOf counts the elements that a field walks, without walking the inner ones; "" if it
// walks none.
func countOf(f *flow.Field) string {
	steps := f.Steps()
	n := walks(steps)
	if n < 0 {
		return ""
	}
	outer, inside, rest := celList(celRoot, steps[:n+1]), "c", steps[n+1:]
	if steps[n].Map {
		outer, inside = celMap(celRoot, steps[:n+1]), "l[c]"
	}
	m := walks(rest)
	if m < 0 {
		return "size(" + outer + ")"
	}
	inner := celList(inside, rest[:m+1])
	if rest[m].Map {
		inner = celMap(inside, rest[:m+1])
	}
	return bind("l", outer, fmt.Sprintf("size(l) > %d ? size(l) : size(l) + l.filter(c, type(%s) == map).map(c, size(%s)).sum()", maxItems, inside, inner))
}

// walks is the first step that goes through a list or a map, or -1.
func walks(steps []flow.Step) int {
	return slices.IndexFunc(steps, func(s flow.Step) bool { return s.List || s.Map })
}
