// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// encodings keep what is sent to many clusters, so that it is encoded once: of Guards all but
// the cluster that they stand in. What nobody asked for between two publications is dropped.
type encodings struct {
	mu           sync.Mutex
	present, old map[any]*encoding
}

// encoding is made by whoever asks first.
type encoding struct {
	once sync.Once
	// of holds what was encoded, so that nothing else takes its address in memory.
	of   any
	body []byte
	hash [sha256.Size]byte
	made *unstructured.Unstructured
	err  error
}

// turn begins a new publication.
func (e *encodings) turn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.old, e.present = e.present, nil
}

// get is the encoding of a key.
func (e *encodings) get(key, of any, make func(*encoding)) *encoding {
	e.mu.Lock()
	found := e.present[key]
	if found == nil {
		if found = e.old[key]; found == nil {
			found = &encoding{of: of}
		}
		if e.present == nil {
			e.present = map[any]*encoding{}
		}
		e.present[key] = found
	}
	e.mu.Unlock()
	found.once.Do(func() { make(found) })
	return found
}

// object is an object that is the same in every cluster. It must not be changed.
func (e *encodings) object(o client.Object) (*encoding, error) {
	found := e.get(o, o, func(out *encoding) {
		if out.made, out.err = toUnstructured(o); out.err == nil {
			out.hash, out.err = hashOf(out.made)
		}
	})
	return found, found.err
}

// sharedSpec tells the contents of Guards apart, but for the cluster.
type sharedSpec struct {
	name, revision string
	addresses      uintptr
}

// guard is what Guards of several clusters have in common.
func (e *encodings) guard(g *skottv1.Guard) (*encoding, error) {
	key := sharedSpec{g.Name, g.Spec.Revision, reflect.ValueOf(g.Spec.Addresses).Pointer()}
	found := e.get(key, g, func(out *encoding) {
		spec := g.Spec
		spec.Cluster = skottv1.GuardedCluster{}
		if out.body, out.err = json.Marshal(spec); out.err == nil {
			out.hash = sha256.Sum256(out.body)
		}
	})
	if found.err != nil {
		return nil, fmt.Errorf("cannot encode Guard %q: %w", g.Name, found.err)
	}
	return found, nil
}

// guardBody is a Guard as it is applied.
func guardBody(g *skottv1.Guard, labels map[string]string, spec []byte) ([]byte, error) {
	cluster, err := json.Marshal(g.Spec.Cluster)
	if err != nil {
		return nil, fmt.Errorf("cannot encode Guard %q: %w", g.Name, err)
	}
	head, err := json.Marshal(map[string]any{"name": g.Name, "labels": labels})
	if err != nil {
		return nil, fmt.Errorf("cannot encode Guard %q: %w", g.Name, err)
	}
	var b bytes.Buffer
	b.Grow(len(spec) + len(cluster) + len(head) + 128)
	fmt.Fprintf(&b, `{"apiVersion":%q,"kind":%q,"metadata":%s,"spec":{"cluster":%s,`, kindGuard.GroupVersion(), kindGuard.Kind, head, cluster)
	b.Write(bytes.TrimPrefix(spec, []byte("{")))
	b.WriteByte('}')
	return b.Bytes(), nil
}

// applyGuard makes a Guard on the server what is desired. The answer holds the metadata only:
// from them follows whether anybody else has ever written into the spec of what is there. If so,
// it is read, compared and, if need be, replaced, as applyObject does.
func applyGuard(ctx context.Context, c client.Client, g *skottv1.Guard, body []byte) (client.Object, error) {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(kindGuard)
	live.Name = g.Name
	err := c.Patch(ctx, live, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership, client.FieldOwner(skottv1.FieldOwner))
	if err == nil && onlyOurs(live.ManagedFields) {
		return live, nil
	}
	desired, convertErr := toUnstructured(g)
	if convertErr != nil {
		return nil, convertErr
	}
	return applyObject(ctx, c, desired)
}

// onlyOurs reports whether nobody but Skott has fields of the spec. An object whose owners
// somebody took away has others after the next apply: the API server then notes that what
// was there is older.
func onlyOurs(owners []metav1.ManagedFieldsEntry) bool {
	return len(owners) > 0 && !slices.ContainsFunc(owners, func(e metav1.ManagedFieldsEntry) bool {
		ours := e.Manager == skottv1.FieldOwner && e.Operation == metav1.ManagedFieldsOperationApply
		return !ours && (e.FieldsV1 == nil || strings.Contains(e.FieldsV1.GetRawString(), `"f:spec"`))
	})
}

// item is one desired object, made ready to be compared with what was written last, and to be
// written if it is another one.
type item struct {
	key    objectKey
	labels map[string]string
	hash   [sha256.Size]byte
	// object to apply; nil for a Guard, of which only body is made, and late.
	object *unstructured.Unstructured
	guard  *skottv1.Guard
	spec   []byte
}

// items are everything desired in the order to apply it: a binding acts at once, so what it
// names must be there before.
func (d Desired) items(crd client.Object, e *encodings) ([]item, error) {
	var out []item
	add := func(o client.Object) error {
		encoded, err := e.object(o)
		if err == nil {
			out = append(out, item{key: keyOf(encoded.made), labels: encoded.made.GetLabels(), hash: encoded.hash, object: encoded.made})
		}
		return err
	}
	if crd != nil && !reflect.ValueOf(crd).IsNil() {
		if err := add(crd); err != nil {
			return nil, err
		}
	}
	for _, g := range d.Guards {
		encoded, err := e.guard(g)
		if err != nil {
			return nil, err
		}
		i := item{key: objectKey{kindGuard.Kind, g.Name}, labels: merged(g.Labels, managed), guard: g, spec: encoded.body}
		i.hash = sha256.Sum256(fmt.Appendf(nil, "%q %q %q", i.labels, g.Spec.Cluster, encoded.hash))
		out = append(out, i)
	}
	for _, o := range d.Policies {
		if err := add(o); err != nil {
			return nil, err
		}
	}
	for _, o := range d.Bindings {
		if err := add(o); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// managed marks what is Skott's.
var managed = map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}

// apply writes the item, and returns what is there.
func (i item) apply(ctx context.Context, c client.Client) (client.Object, error) {
	if i.guard == nil {
		return applyObject(ctx, c, i.object)
	}
	body, err := guardBody(i.guard, i.labels, i.spec)
	if err != nil {
		return nil, err
	}
	return applyGuard(ctx, c, i.guard, body)
}

// reference is enough of the item to ask for it.
func (i item) reference() (schema.GroupVersionKind, client.ObjectKey) {
	if i.guard != nil {
		return kindGuard, client.ObjectKey{Name: i.guard.Name}
	}
	return i.object.GroupVersionKind(), client.ObjectKeyFromObject(i.object)
}
