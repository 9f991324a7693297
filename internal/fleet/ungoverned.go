// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/internal/status"
)

// inspectedAtOnce is how many definitions one pass of a loop reads: they are large, and
// nothing waits for them.
const inspectedAtOnce = 4

// inspection remembers what the definitions of a cluster look like.
type inspection struct {
	versions map[string]string // resource version by name of the CRD
	found    map[string]status.Ungoverned
}

// inspect reads the definitions that are new, and says whether there are more.
func (l *loop) inspect(ctx context.Context) (more bool, err error) {
	look := l.options().Inspect
	if look == nil || l.watch == nil || !l.watch.definitions.synced() {
		return false, nil
	}
	i := &l.inspection
	if i.versions == nil {
		i.versions, i.found = map[string]string{}, map[string]status.Ungoverned{}
	}
	there, read := map[string]bool{}, 0
	for _, m := range l.watch.definitions.list() {
		there[m.Name] = true
		if i.versions[m.Name] == m.ResourceVersion {
			continue
		}
		if resource, group, _ := strings.Cut(m.Name, "."); l.options().Governs(group, resource) {
			continue
		}
		if read == inspectedAtOnce {
			more = true
			continue
		}
		read++
		definition, err := l.definition(ctx, m.Name)
		if err != nil {
			return false, err
		}
		i.versions[m.Name] = m.ResourceVersion
		delete(i.found, m.Name)
		if definition == nil {
			continue
		}
		if fields := look(definition.Object); len(fields) > 0 {
			kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
			group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
			resource, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "plural")
			i.found[m.Name] = status.Ungoverned{Group: group, Kind: kind, Resource: resource, Fields: fields}
		}
	}
	maps.DeleteFunc(i.found, func(name string, _ status.Ungoverned) bool { return !there[name] })
	maps.DeleteFunc(i.versions, func(name, _ string) bool { return !there[name] })
	names := slices.Sorted(maps.Keys(i.found))
	out := make([]status.Ungoverned, len(names))
	for n, name := range names {
		out[n] = i.found[name]
	}
	l.station.update(func(c *Cluster) { c.Ungoverned = out })
	return more, nil
}

// definition reads one CRD whole, nil if it is gone. The account may list them, but get none
// other than the Guard's.
func (l *loop) definition(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kindCRD)
	if err := l.link.account.operator.List(ctx, list, client.MatchingFields{"metadata.name": name}); err != nil {
		return nil, fmt.Errorf("cannot read CustomResourceDefinition %q: %w", name, err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}
