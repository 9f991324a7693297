// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// object is the least object of the kind that holds what a plan says.
func (m *maker) object(p *plan) map[string]any {
	meta := map[string]any{"name": "generated"}
	if m.kind.Namespaced {
		meta["namespace"] = "default"
		if p.namespace != "" {
			meta["namespace"] = p.namespace
		}
	}
	var o any = map[string]any{"apiVersion": apiVersion(m.kind, m.version), "kind": m.kind.Kind, "metadata": meta}
	o = merge(o, runtime.DeepCopyJSONValue(m.base.Object))
	if len(p.values) > 0 {
		o = merge(o, runtime.DeepCopyJSONValue(m.base.Fields[m.fullPath()]))
	}
	object := o.(map[string]any)
	drop(object)
	for _, v := range p.values {
		Put(object, v.steps, runtime.DeepCopyJSONValue(v.value))
	}
	for _, path := range m.kind.PodSpecs {
		completePod(object, strings.Split(path, "."))
	}
	m.schema.complete(object, 0)
	return object
}

// completePod adds what every pod spec needs, if there is one at a path without lists.
func completePod(node map[string]any, path []string) {
	for _, name := range path {
		next, ok := node[name].(map[string]any)
		if !ok {
			return
		}
		node = next
	}
	if containers, _ := node["containers"].([]any); len(containers) == 0 {
		node["containers"] = []any{map[string]any{"name": "main"}}
	}
	volumes, _ := node["volumes"].([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if nfs, ok := volume["nfs"].(map[string]any); ok && !has(nfs, "path") {
			nfs["path"] = "/x"
		}
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := node[list].([]any)
		for _, c := range containers {
			if container, ok := c.(map[string]any); ok && !has(container, "image") {
				container["image"] = "registry.invalid/x"
			}
		}
	}
}

func has(m map[string]any, key string) bool {
	_, there := m[key]
	return there
}

// drop removes what bases.yaml sets to null: what the base has and a field must not.
func drop(object map[string]any) {
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
	for _, v := range object {
		if m, ok := v.(map[string]any); ok {
			drop(m)
		}
	}
}
