// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// TestGenerated holds Evaluate to the generated cases without schemas and API servers, and
// every kind to have a crossing and a permitted one.
func TestGenerated(t *testing.T) {
	w, err := Generate(flow.Builtin(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := policy.New(w.Platform.Snapshot)
	for _, err := range p.Rejected() {
		t.Errorf("address: %v", err)
	}
	evaluators := map[string]*policy.Evaluator{}
	for name, c := range w.Platform.Clusters {
		evaluators[name] = policy.NewEvaluator(p.Guards(c.GuardedCluster, c.Namespaces, nil)...)
	}
	crossing, permitted := map[*flow.Kind]bool{}, map[*flow.Kind]bool{}
	for _, c := range w.Cases {
		d := evaluators[c.Cluster].Evaluate(c.Request())
		switch {
		case c.Crosses && !slices.Contains(d.Codes, c.Want):
			t.Errorf("%s: %v, want %s: %s", c.Title(), d.Codes, c.Want, d.Message)
		case !c.Crosses && !d.Allowed:
			t.Errorf("%s: refused: %s", c.Title(), d.Message)
		}
		crossing[c.Kind] = crossing[c.Kind] || c.Crosses
		permitted[c.Kind] = permitted[c.Kind] || !c.Crosses && !c.Misshapen
	}
	gaps := map[*flow.Kind]int{}
	for _, g := range w.Gaps {
		gaps[g.Kind]++
	}
	for _, k := range flow.Builtin().Kinds() {
		if len(k.Fields) > gaps[k] && (!crossing[k] || !permitted[k]) {
			t.Errorf("%s of group %q: crossing %v, permitted %v", k.Kind, k.Group, crossing[k], permitted[k])
		}
	}
	for _, g := range w.Gaps {
		t.Logf("no crossing object for %s %s: %s", g.Kind.Kind, g.Field.Path, g.Reason)
	}
}

func TestGenerateIsDeterministic(t *testing.T) {
	first, err := Generate(flow.Builtin(), nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Generate(flow.Builtin(), nil)
	if err != nil {
		t.Fatal(err)
	}
	objects := func(w *World) (out []map[string]any) {
		for _, c := range w.Cases {
			out = append(out, c.Object)
		}
		return out
	}
	if diff := cmp.Diff(objects(first), objects(second)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(first.Platform.Snapshot.Locations, second.Platform.Snapshot.Locations); diff != "" {
		t.Error(diff)
	}
}

func TestComplete(t *testing.T) {
	schema := &Schema{node: map[string]any{"type": "object", "required": []any{"a", "list", "choice"}, "properties": map[string]any{
		"a":    map[string]any{"type": "string", "pattern": "^(foo|bar)-[0-9]{2}$"},
		"list": map[string]any{"type": "array", "minItems": int64(2), "items": map[string]any{"type": "integer", "minimum": int64(3)}},
		"choice": map[string]any{"type": "object", "oneOf": []any{map[string]any{"required": []any{"x"}}, map[string]any{"required": []any{"y"}}},
			"properties": map[string]any{"x": map[string]any{"type": "string", "enum": []any{"", "one"}}, "y": map[string]any{"type": "string"}}},
		"optional": map[string]any{"type": "string"},
		"inner":    map[string]any{"type": "object", "required": []any{"port"}, "properties": map[string]any{"port": map[string]any{"x-kubernetes-int-or-string": true}}},
	}}}
	tests := map[string]struct{ value, want map[string]any }{
		"empty": {map[string]any{}, map[string]any{"a": "foo-11", "list": []any{int64(3), int64(3)}, "choice": map[string]any{"x": "one"}}},
		"given": {map[string]any{"a": "set", "choice": map[string]any{"y": "z"}, "inner": map[string]any{}},
			map[string]any{"a": "set", "list": []any{int64(3), int64(3)}, "choice": map[string]any{"y": "z"}, "inner": map[string]any{"port": int64(1)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(any(test.want), schema.complete(test.value, 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
