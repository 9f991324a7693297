// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"fmt"
	"slices"
	"strings"
)

// Step is one step of a parsed path.
type Step struct {
	// Name of the field.
	Name string
	// List: the field is a list, and the path goes through its elements, told by their
	// field Key ("*": by nothing).
	List bool
	Key  string
	// Map: the path goes through the values of the map.
	Map bool
}

// Steps is the parsed path of the field.
func (f *Field) Steps() []Step { return f.steps }

// WithSteps is the parsed path of With[i], nil where there is none, and whether it starts
// at the innermost list element or map value of the field's own path rather than at the object.
func (f *Field) WithSteps(i int) (steps []Step, relative bool) {
	if i >= len(f.with) || len(f.with[i]) == 0 {
		return nil, false
	}
	n := innermost(f.steps)
	w := f.with[i]
	if n == 0 || len(w) < n || !slices.Equal(w[:n], f.steps[:n]) {
		return w, false
	}
	return w[n:], true
}

// OwnName takes a name such as "[name]-path" apart, in which a field of the list element that
// the text stands in takes the place of the brackets: what a tool keeps under the element's
// name, in a map elsewhere.
func OwnName(name string) (before, key, after string, ok bool) {
	before, rest, open := strings.Cut(name, "[")
	key, after, shut := strings.Cut(rest, "]")
	return before, key, after, open && shut
}

// hasOwnName reports whether a step holds the name of a list element.
func hasOwnName(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { _, _, _, ok := OwnName(s.Name); return ok })
}

// innermost is the number of steps up to and including the last list, or the last map that
// the path goes on below.
func innermost(steps []Step) int {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].List || steps[i].Map && i+1 < len(steps) {
			return i + 1
		}
	}
	return 0
}

// parsePath parses a path of the table; the error names the position.
func parsePath(path string) ([]Step, error) {
	var steps []Step
	for i := 0; i < len(path); {
		end := strings.IndexAny(path[i:], ".[{")
		if end < 0 {
			end = len(path) - i
		}
		s := Step{Name: path[i : i+end]}
		i += end
		if s.Name == "" {
			return nil, fmt.Errorf("path %q: empty step at position %d", path, i)
		}
		if i < len(path) && path[i] != '.' {
			closing := map[byte]string{'[': "]", '{': "}"}[path[i]]
			stop := strings.Index(path[i:], closing)
			if stop < 0 {
				return nil, fmt.Errorf("path %q: no %q after position %d", path, closing, i)
			}
			inner := path[i+1 : i+stop]
			switch {
			case inner == "":
				return nil, fmt.Errorf("path %q: nothing in the brackets at position %d", path, i)
			case path[i] == '[':
				s.List, s.Key = true, inner
			case inner == "*":
				s.Map = true
			default:
				steps = append(steps, s)
				s = Step{Name: inner}
			}
			i += stop + 1
		}
		steps = append(steps, s)
		if i < len(path) {
			if path[i] != '.' {
				return nil, fmt.Errorf("path %q: expected \".\" at position %d", path, i)
			}
			if i++; i == len(path) {
				return nil, fmt.Errorf("path %q: ends with a dot at position %d", path, i-1)
			}
		}
	}
	return steps, nil
}

// walks counts the lists and maps that steps go through.
func walks(steps []Step) int {
	n := 0
	for _, s := range steps {
		if s.List || s.Map {
			n++
		}
	}
	return n
}
