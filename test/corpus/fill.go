// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// maxFill bounds how deep a schema is followed, which may contain itself.
const maxFill = 24

// complete adds what a schema requires to a value, and leaves what is there. It follows
// required, oneOf and anyOf; what rules in CEL demand stands in bases.yaml.
func (s *Schema) complete(value any, depth int) any {
	if s == nil || depth > maxFill {
		return value
	}
	switch v := value.(type) {
	case map[string]any:
		s.completeMap(v, depth)
	case []any:
		items := s.items()
		for i := range v {
			v[i] = items.complete(v[i], depth+1)
		}
		if n, _ := number(s.node["minItems"]); items != nil {
			for len(v) < n {
				v = append(v, items.minimal(depth+1))
			}
		}
		return v
	}
	return value
}

func (s *Schema) completeMap(m map[string]any, depth int) {
	add := func(names []string) {
		for _, name := range names {
			property := s.property(name)
			if _, there := m[name]; there || property == nil {
				continue
			}
			m[name] = property.minimal(depth + 1)
		}
	}
	add(required(s.node))
	for _, part := range s.list("allOf") {
		add(required(part))
		choose(part, m, add)
	}
	choose(s.node, m, add)
	if n, _ := number(s.node["minProperties"]); len(m) < n {
		properties, _ := s.node["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if len(m) < n {
				add([]string{name})
			}
		}
	}
	for name, value := range m {
		m[name] = s.property(name).complete(value, depth+1)
	}
}

// choose satisfies one alternative of oneOf and one of anyOf, if they are about required
// fields: the one that is satisfied already, or the first.
func choose(node map[string]any, m map[string]any, add func([]string)) {
	s := &Schema{node: node}
	for _, key := range []string{"oneOf", "anyOf"} {
		alternatives := s.list(key)
		if len(alternatives) == 0 || slices.ContainsFunc(alternatives, func(a map[string]any) bool {
			names := required(a)
			return len(names) == 0 || !slices.ContainsFunc(names, func(n string) bool { return m[n] == nil })
		}) {
			continue
		}
		add(required(alternatives[0]))
	}
}

func required(node map[string]any) []string {
	values, _ := node["required"].([]any)
	var out []string
	for _, v := range values {
		if name, ok := v.(string); ok {
			out = append(out, name)
		}
	}
	return out
}

// minimal is the least that the schema accepts, as far as it says what that is.
func (s *Schema) minimal(depth int) any {
	if s == nil || depth > maxFill {
		return nil
	}
	if value, ok := s.node["default"]; ok && value != "" {
		return s.complete(runtime.DeepCopyJSONValue(value), depth)
	}
	if values, _ := s.node["enum"].([]any); len(values) > 0 {
		for _, v := range values {
			if v != nil && v != "" {
				return v
			}
		}
		return values[0]
	}
	switch s.typ() {
	case "string":
		return s.minimalText()
	case "integer", "number":
		n, _ := number(s.node["minimum"])
		if s.flag("exclusiveMinimum") || s.node["minimum"] == nil {
			n++
		}
		return int64(n)
	case "boolean":
		return false
	case "array":
		return s.complete([]any{}, depth)
	case "object":
		m := map[string]any{}
		if n, _ := number(s.node["minProperties"]); n > 0 && len(required(s.node)) == 0 {
			if values := s.values(); values != nil {
				m["a"] = values.minimal(depth + 1)
			}
		}
		return s.complete(m, depth)
	}
	if s.flag("x-kubernetes-int-or-string") {
		return int64(1)
	}
	return map[string]any{}
}

// usual are texts that many fields take, and that name no place.
var usual = []string{"x", "a1", "1", "1Gi", "1h", "http://a.invalid", "https://a.invalid", "0 0 * * *", "a/b", "2026-01-02T15:04:05Z", "192.0.2.200", "192.0.2.200/32",
	"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "aws", "v1.30.0", "aaaaaaaaaaaaaaaa", strings.Repeat("a", 40), "/a", "s3://a", "eGFh"}

func (s *Schema) minimalText() string {
	if s.node["format"] == "date-time" {
		return "2026-01-02T15:04:05Z"
	}
	for _, text := range usual {
		if s.accepts(text) {
			return text
		}
	}
	pattern, _ := s.node["pattern"].(string)
	if parsed, err := syntax.Parse(pattern, syntax.Perl); err == nil {
		return shortest(parsed.Simplify())
	}
	return "x"
}

// shortest is a text that matches an expression, of its letters rather than its signs.
func shortest(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		for _, want := range []rune{'a', '1', 'A'} {
			for i := 0; i+1 < len(re.Rune); i += 2 {
				if re.Rune[i] <= want && want <= re.Rune[i+1] {
					return string(want)
				}
			}
		}
		if len(re.Rune) > 0 {
			return string(re.Rune[0])
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "a"
	case syntax.OpCapture, syntax.OpPlus:
		return shortest(re.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(shortest(sub))
		}
		return b.String()
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if text := shortest(sub); text != "" {
				return text
			}
		}
	case syntax.OpRepeat:
		return strings.Repeat(shortest(re.Sub[0]), re.Min)
	}
	return ""
}

// merge puts more on top of a value: maps are joined, everything else is replaced.
func merge(base, more any) any {
	a, isMap := base.(map[string]any)
	b, both := more.(map[string]any)
	if !isMap || !both {
		la, isList := base.([]any)
		lb, bothLists := more.([]any)
		if isList && bothLists && len(la) == 1 && len(lb) == 1 {
			return []any{merge(la[0], lb[0])}
		}
		return more
	}
	for key, value := range b {
		if old, there := a[key]; there {
			value = merge(old, value)
		}
		a[key] = value
	}
	return a
}
