// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skott-dev/skott/internal/flow"
)

func (c *Case) kind() *unstructured.Unstructured { return &unstructured.Unstructured{Object: c.Object} }

// BareCRDs are definitions for the kinds of the corpus that are neither in the CRDs given nor
// built in. They accept every field, so that a suite can send objects of a kind whose project
// publishes no definition where tests can fetch it.
func BareCRDs(cases []*Case, given []*unstructured.Unstructured) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	known := map[string]bool{}
	for _, crd := range given {
		known[crd.GetName()] = true
	}
	for _, c := range cases {
		gvk := c.kind().GroupVersionKind()
		k := flow.Builtin().OfKind(gvk.Group, gvk.Kind)
		if k == nil || builtIn(k.Group) || known[k.Resource+"."+k.Group] {
			continue
		}
		known[k.Resource+"."+k.Group] = true
		out = append(out, bareCRD(k))
	}
	return out
}

// builtIn reports whether API servers serve a group by themselves.
func builtIn(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io") && slices.Contains([]string{
		"admissionregistration", "apiextensions", "apiregistration", "certificates", "discovery", "networking", "rbac.authorization", "storage",
	}, strings.TrimSuffix(group, ".k8s.io"))
}

func bareCRD(k *flow.Kind) *unstructured.Unstructured {
	scope := "Cluster"
	if k.Namespaced {
		scope = "Namespaced"
	}
	versions := []any{}
	for i, v := range k.Versions {
		versions = append(versions, map[string]any{
			"name": v, "served": true, "storage": i == 0, "subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		})
	}
	metadata := map[string]any{"name": k.Resource + "." + k.Group}
	if strings.HasSuffix(k.Group, ".k8s.io") || strings.HasSuffix(k.Group, ".kubernetes.io") {
		metadata["annotations"] = map[string]any{"api-approved.kubernetes.io": "unapproved, for tests"}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
		"spec": map[string]any{
			"group": k.Group, "scope": scope, "versions": versions,
			"names": map[string]any{"kind": k.Kind, "listKind": k.Kind + "List", "plural": k.Resource, "singular": strings.ToLower(k.Kind)},
		},
	}}
}
