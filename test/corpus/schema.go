// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skott-dev/skott/internal/flow"
)

// Schema is an OpenAPI schema, of a CRD or of a kind that every API server has.
type Schema struct {
	node map[string]any
	// definitions that $ref leads to, by name; a CRD has none.
	definitions map[string]any
}

// metadata is what a CRD does not say of its objects.
var metadata = map[string]any{"type": "object", "properties": map[string]any{
	"name": map[string]any{"type": "string"}, "namespace": map[string]any{"type": "string"},
	"annotations": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
	"labels":      map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
}}

// Schemas are those of the versions that a CRD serves, by version.
func Schemas(crd *unstructured.Unstructured) map[string]*Schema {
	out := map[string]*Schema{}
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		name, _ := version["name"].(string)
		node, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema")
		if served, _ := version["served"].(bool); !served || node == nil {
			continue
		}
		if properties, ok := node["properties"].(map[string]any); ok {
			properties["metadata"] = metadata
		}
		out[name] = &Schema{node: node}
	}
	return out
}

// Definition is one of the schemas of an API server, which refer to each other.
func Definition(definitions map[string]any, name string) *Schema {
	node, _ := definitions[name].(map[string]any)
	return (&Schema{definitions: definitions}).at(node)
}

// at is the schema of another node, with what it refers to and with what it is made of.
func (s *Schema) at(node map[string]any) *Schema {
	for range 8 {
		ref, _ := node["$ref"].(string)
		if parts, _ := node["allOf"].([]any); ref == "" && len(parts) == 1 {
			part, _ := parts[0].(map[string]any)
			ref, _ = part["$ref"].(string)
		}
		if ref == "" {
			break
		}
		node, _ = s.definitions[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
	}
	if node == nil {
		return nil
	}
	return &Schema{node: node, definitions: s.definitions}
}

func (s *Schema) typ() string {
	t, _ := s.node["type"].(string)
	return t
}

func (s *Schema) flag(name string) bool {
	b, _ := s.node[name].(bool)
	return b
}

// open schemas take what they do not describe.
func (s *Schema) open() bool {
	return s.flag("x-kubernetes-preserve-unknown-fields") || s.flag("x-kubernetes-embedded-resource") || s.typ() == "" && !s.flag("x-kubernetes-int-or-string") && s.node["properties"] == nil
}

// texts reports whether the value is a map of texts.
func (s *Schema) texts() bool {
	values, _ := s.node["additionalProperties"].(map[string]any)
	return s.typ() == "object" && values["type"] == "string"
}

// property is the schema of a field, nil if there is none. A field that an open schema does
// not describe is open.
func (s *Schema) property(name string) *Schema {
	properties, _ := s.node["properties"].(map[string]any)
	if node, ok := properties[name].(map[string]any); ok {
		return s.at(node)
	}
	if values := s.values(); values != nil {
		return values
	}
	return nil
}

// values is the schema of what a map holds, nil if it is no map.
func (s *Schema) values() *Schema {
	switch more := s.node["additionalProperties"].(type) {
	case map[string]any:
		return s.at(more)
	case bool:
		if more {
			return &Schema{node: map[string]any{}}
		}
	}
	if s.open() {
		return &Schema{node: map[string]any{}}
	}
	return nil
}

// items is the schema of the elements of a list, nil if it is no list.
func (s *Schema) items() *Schema {
	if node, ok := s.node["items"].(map[string]any); ok {
		return s.at(node)
	}
	if s.open() {
		return &Schema{node: map[string]any{}}
	}
	return nil
}

// Resolve finds the schema at the end of a path of the table. The error says where there is
// nothing, or something else than the path says.
func (s *Schema) Resolve(steps []flow.Step) (*Schema, error) {
	at := ""
	for _, step := range steps {
		at += "." + step.Name
		if s.typ() != "object" && !s.open() && s.node["properties"] == nil {
			return nil, fmt.Errorf("%s: its parent is of type %q", at, s.typ())
		}
		next := s.property(step.Name)
		if next == nil {
			return nil, fmt.Errorf("%s: no such field", at)
		}
		s = next
		switch {
		case step.List:
			if s.typ() != "array" && !s.open() {
				return nil, fmt.Errorf("%s: is no list but of type %q", at, s.typ())
			}
			if s = s.items(); s == nil {
				return nil, fmt.Errorf("%s: has no elements", at)
			}
			if step.Key != "*" && s.property(step.Key) == nil {
				return nil, fmt.Errorf("%s: its elements have no field %q", at, step.Key)
			}
		case step.Map:
			if s.typ() != "object" && !s.open() {
				return nil, fmt.Errorf("%s: is no map but of type %q", at, s.typ())
			}
			if s = s.values(); s == nil {
				return nil, fmt.Errorf("%s: is no map, its fields are fixed", at)
			}
		}
	}
	return s, nil
}

// Takes reports whether a field of the schema can hold what a form reads there.
func (s *Schema) Takes(form flow.Form) error {
	if form == flow.Payload || s.open() || s.typ() == "string" || s.flag("x-kubernetes-int-or-string") {
		return nil
	}
	return fmt.Errorf("is of type %q, form %s reads text", s.typ(), form)
}

// accepts reports whether a text is valid there.
func (s *Schema) accepts(text string) bool {
	if s == nil {
		return true
	}
	if s.typ() != "string" && !s.open() && !s.flag("x-kubernetes-int-or-string") {
		return false
	}
	if values, _ := s.node["enum"].([]any); len(values) > 0 && !slices.Contains(values, any(text)) {
		return false
	}
	if n, ok := number(s.node["maxLength"]); ok && len(text) > n {
		return false
	}
	if n, ok := number(s.node["minLength"]); ok && len(text) < n {
		return false
	}
	if pattern, _ := s.node["pattern"].(string); pattern != "" {
		if re, err := regexp.Compile(pattern); err == nil && !re.MatchString(text) {
			return false
		}
	}
	switch s.node["format"] {
	case "uri", "url":
		return strings.Contains(text, "://")
	case "ipv4", "ipv6", "ip":
		return !strings.ContainsAny(text, "/gx")
	case "cidr":
		return strings.Contains(text, "/") && !strings.Contains(text, "//")
	case "uuid":
		return len(text) == 36 && strings.Count(text, "-") == 4
	case "byte":
		return !strings.ContainsAny(text, ".:-") && len(text)%4 == 0
	}
	for _, part := range s.list("allOf") {
		if sub := s.at(part); sub != nil && sub.node["pattern"] != nil && !(&Schema{node: map[string]any{"type": "string", "pattern": sub.node["pattern"]}}).accepts(text) {
			return false
		}
	}
	return true
}

// list is a list of schemas, such as allOf.
func (s *Schema) list(name string) []map[string]any {
	values, _ := s.node[name].([]any)
	var out []map[string]any
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func number(v any) (int, bool) {
	switch n := v.(type) {
	case int64:
		return int(n), true
	case float64:
		return int(n), true
	}
	return 0, false
}

// Schemaless is a CRD for a kind of the table that takes every object: for those whose
// project publishes none that tests can have.
func Schemaless(k *flow.Kind) *unstructured.Unstructured {
	versions := k.Versions
	if len(versions) == 0 {
		versions = []string{k.Version()}
	}
	var served []any
	for i, name := range versions {
		version := map[string]any{"name": name, "served": true, "storage": i == 0,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}
		if k.Moves("status") {
			version["subresources"] = map[string]any{"status": map[string]any{}}
		}
		served = append(served, version)
	}
	scope := "Cluster"
	if k.Namespaced {
		scope = "Namespaced"
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"spec": map[string]any{"group": k.Group, "scope": scope, "versions": served, "names": map[string]any{
			"kind": k.Kind, "listKind": k.Kind + "List", "plural": k.Resource, "singular": strings.ToLower(k.Kind)}},
	}}
	u.SetName(k.Resource + "." + k.Group)
	u.SetAnnotations(map[string]string{"api-approved.kubernetes.io": "unapproved, only for tests"})
	return u
}
