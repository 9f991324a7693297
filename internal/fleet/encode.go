// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// keptTurns is how many publications old what a cluster holds may be, and still be changed by a
// patch. In a large fleet the next publication often comes before the last cluster has the one
// before, and to send it all of its Guards takes longer still.
const keptTurns = 4

// encodings keep what is sent to many clusters, so that it is encoded once: of Guards all but
// the cluster that they stand in. What nobody asked for in several publications is dropped.
type encodings struct {
	mu    sync.Mutex
	turns [keptTurns]map[any]*encoding // the present one first
}

// encoding is made by whoever asks first.
type encoding struct {
	once sync.Once
	hash [sha256.Size]byte
	made *unstructured.Unstructured
	err  error
	// of holds what was encoded, so that nothing else takes its address in memory.
	of any

	// guard and body, made when they are needed, are of Guards only; so are the transitions
	// by which another encoding becomes this one.
	guard       *skottv1.Guard
	bodyOnce    sync.Once
	body        []byte
	transitions sync.Map
}

// turn begins a new publication.
func (e *encodings) turn() {
	e.mu.Lock()
	defer e.mu.Unlock()
	copy(e.turns[1:], e.turns[:])
	e.turns[0] = nil
}

// get is the encoding of a key.
func (e *encodings) get(key, of any, fill func(*encoding)) *encoding {
	e.mu.Lock()
	var found *encoding
	for i := 0; i < len(e.turns) && found == nil; i++ {
		found = e.turns[i][key]
	}
	if found == nil {
		found = &encoding{of: of}
	}
	if e.turns[0] == nil {
		e.turns[0] = map[any]*encoding{}
	}
	e.turns[0][key] = found
	e.mu.Unlock()
	found.once.Do(func() { fill(found) })
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
type sharedSpec struct{ name, revision string }

// guard is what Guards of several clusters have in common.
func (e *encodings) guard(g *skottv1.Guard) *encoding {
	key := sharedSpec{g.Name, g.Spec.Revision}
	return e.get(key, g, func(out *encoding) {
		out.guard = g
		out.hash = sha256.Sum256(fmt.Appendf(nil, "%q", key))
	})
}

// spec is all of a Guard but the cluster.
func (e *encoding) spec() skottv1.GuardSpec {
	spec := e.guard.Spec
	spec.Cluster = skottv1.GuardedCluster{}
	return spec
}

// encoded is spec as JSON; that it can be encoded is known.
func (e *encoding) encoded() []byte {
	e.bodyOnce.Do(func() { e.body, _ = json.Marshal(e.spec()) })
	return e.body
}

// item is one desired object, made ready to be compared with what was written last, and to be
// written if it is another one.
type item struct {
	key    objectKey
	labels map[string]string
	hash   [sha256.Size]byte
	// object to apply; nil for a Guard, which is encoded when it is written.
	object *unstructured.Unstructured
	guard  *skottv1.Guard
	shared *encoding
	// head identifies what is not shared of a Guard.
	head string
}

// items are everything desired in the order to apply it: a binding acts at once, so what it
// names must be there before. What must not wait for the Guards, tighten has done.
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
		encoded := e.guard(g)
		i := item{key: objectKey{kindGuard.Kind, g.Name}, labels: merged(g.Labels, managed), guard: g, shared: encoded}
		i.head = fmt.Sprintf("%q %q", i.labels, g.Spec.Cluster)
		i.hash = sha256.Sum256(fmt.Appendf(nil, "%s %x", i.head, encoded.hash))
		out = append(out, i)
	}
	// Each policy is followed by what binds it: it acts as soon as it is there, and not only when all are, which take long.
	// (A binding alone is refused: the API server cannot tell whether its writer may read the parameter.)
	for _, p := range d.Policies {
		if err := add(p); err != nil {
			return nil, err
		}
		for _, b := range d.Bindings {
			if b.Spec.PolicyName != p.Name {
				continue
			}
			if err := add(b); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// managed marks what is Skott's.
var managed = map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}

// apply writes the item, and returns what is there. last is what our last write of it left, if
// nothing gives reason to doubt that.
func (i item) apply(ctx context.Context, c client.Client, last record) (client.Object, error) {
	if i.guard == nil {
		return applyObject(ctx, c, i.object)
	}
	return i.applyGuard(ctx, c, last)
}

// reference is enough of the item to ask for it.
func (i item) reference() (schema.GroupVersionKind, client.ObjectKey) {
	if i.guard != nil {
		return kindGuard, client.ObjectKey{Name: i.guard.Name}
	}
	return i.object.GroupVersionKind(), client.ObjectKeyFromObject(i.object)
}
