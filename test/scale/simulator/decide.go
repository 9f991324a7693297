// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// Put stores an object, JSON, as if its owner had written it.
func (c *Cluster) Put(object string) {
	in, err := takeApart([]byte(object))
	if err != nil {
		panic(err) // it is part of the program
	}
	for i := range kinds {
		k := &kinds[i]
		if k.kind == in.head.Kind && k.apiVersion() == in.head.APIVersion {
			c.store(key{k.collection(), in.head.Metadata.Namespace, in.head.Metadata.Name}, in, stored{})
			return
		}
	}
	panic(fmt.Sprintf("kind %q is not simulated", in.head.Kind))
}

// Label of an object, of a kind that is simulated.
func (c *Cluster) Label(resource, namespace, name, label string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, o := range c.objects {
		if strings.HasSuffix(k.collection, "/"+resource) && k.namespace == namespace && k.name == name {
			return o.meta.Labels[label]
		}
	}
	return ""
}

// Guards that are stored, by name; to be given to Refuses.
func (c *Cluster) Guards() Guards {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Guards{}
	for k, o := range c.objects {
		if strings.HasSuffix(k.collection, "/guards") {
			out[k.name] = o
		}
	}
	return out
}

// Guards are what a cluster held at one moment.
type Guards map[string]*object

// After is what was held after a write.
func (g Guards) After(w Write) Guards {
	out := maps.Clone(g)
	out[w.Name] = w.after
	return out
}

// Mentions reports whether the bytes that a write sent hold a text.
func (w Write) Mentions(text string) bool {
	for _, patch := range w.after.patches {
		if strings.Contains(string(patch), text) {
			return true
		}
	}
	var last string
	for _, p := range w.after.content {
		if strings.Contains(last+p.Value(), text) {
			return true
		}
		last = p.Value()
		last = last[max(0, len(last)-len(text)):]
	}
	return false
}

// Refuses decides with the product's Evaluator, over the stored bytes, whether a Service
// that names a host is refused.
func (g Guards) Refuses(host string) (bool, error) {
	var parts []*skottv1.Guard
	for _, name := range slices.Sorted(maps.Keys(g)) {
		guard := &skottv1.Guard{}
		if err := json.Unmarshal(g[name].bytes(), guard); err != nil {
			return false, fmt.Errorf("cannot read Guard %q: %w", name, err)
		}
		if guard.Spec.Action == skottv1.ActionDeny {
			parts = append(parts, guard)
		}
	}
	if len(parts) == 0 {
		return false, errors.New("there is no Guard")
	}
	decision := policy.NewEvaluator(parts...).Evaluate(&policy.Request{
		Operation: "CREATE", Resource: "services", Namespace: "default", User: "somebody",
		Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "probe", "namespace": "default"},
			"spec": map[string]any{"type": "ExternalName", "externalName": host}},
	})
	return !decision.Allowed, nil
}
