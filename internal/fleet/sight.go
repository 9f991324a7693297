// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// pageSize is how many objects are held in memory at a time, when the API server does not
// stream them one by one.
const pageSize = 500

// glimpse is all that is kept of an object: its name, and the addresses in it.
type glimpse struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	owner string
	found []Found
}

// DeepCopyObject implements runtime.Object. What is found is never changed, and shared.
func (g *glimpse) DeepCopyObject() runtime.Object {
	c := *g
	c.ObjectMeta = *g.DeepCopy()
	return &c
}

type glimpses struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []glimpse
}

// DeepCopyObject implements runtime.Object.
func (g *glimpses) DeepCopyObject() runtime.Object {
	c := *g
	c.Items = slices.Clone(g.Items)
	return &c
}

// look turns an object into what is kept of it.
func (k LearnKind) look(u *unstructured.Unstructured) glimpse {
	g := glimpse{ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion()}}
	g.owner, g.found = k.Extract(u.Object)
	return g
}

// listWatch lists and watches the objects of a kind as glimpses, so that nothing behind it
// ever holds more than a page of objects. failed hears what a reflector would only log.
func (k LearnKind) listWatch(client dynamic.NamespaceableResourceInterface, failed func(error)) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			if options.ResourceVersion == "0" {
				options.ResourceVersion = "" // from its cache an API server sends everything at once
			}
			list, err := client.List(ctx, options)
			if err != nil {
				failed(err)
				return nil, err
			}
			out := &glimpses{Items: make([]glimpse, len(list.Items))}
			out.ResourceVersion, out.Continue = list.GetResourceVersion(), list.GetContinue()
			for i := range list.Items {
				out.Items[i] = k.look(&list.Items[i])
			}
			return out, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
			w, err := client.Watch(ctx, options)
			if err != nil {
				if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) { // else it may be the way of watching that is not known
					failed(err)
				}
				return nil, err
			}
			return apiwatch.Filter(w, k.lookAt), nil
		},
	}
}

func (k LearnKind) lookAt(event apiwatch.Event) (apiwatch.Event, bool) {
	u, ok := event.Object.(*unstructured.Unstructured)
	if !ok || event.Type == apiwatch.Error {
		return event, true
	}
	if event.Type == apiwatch.Bookmark {
		event.Object = &glimpse{ObjectMeta: metav1.ObjectMeta{ResourceVersion: u.GetResourceVersion(), Annotations: u.GetAnnotations()}}
		return event, true
	}
	g := k.look(u)
	event.Object = &g
	return event, true
}

// sights are the addresses of the objects of one kind. They implement the store that a
// reflector fills.
type sights struct {
	// changed is called after a change, without the lock.
	changed func()

	mu      sync.Mutex
	byName  map[types.NamespacedName]sight
	listed  bool
	problem string
}

// sight is what one object says.
type sight struct {
	owner string
	found []Found
}

func newSights(changed func()) *sights {
	return &sights{changed: changed, byName: map[types.NamespacedName]sight{}}
}

func (s sight) equal(t sight) bool { return s.owner == t.owner && slices.Equal(s.found, t.found) }

// Add implements cache.ReflectorStore.
func (s *sights) Add(o any) error {
	g, ok := o.(*glimpse)
	if !ok {
		return fmt.Errorf("cannot learn from a %T", o)
	}
	s.put(types.NamespacedName{Namespace: g.Namespace, Name: g.Name}, sight{g.owner, g.found})
	return nil
}

// Update implements cache.ReflectorStore.
func (s *sights) Update(o any) error { return s.Add(o) }

// Delete implements cache.ReflectorStore.
func (s *sights) Delete(o any) error {
	g, ok := o.(*glimpse)
	if !ok {
		return fmt.Errorf("cannot learn from a %T", o)
	}
	s.put(types.NamespacedName{Namespace: g.Namespace, Name: g.Name}, sight{})
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *sights) Resync() error { return nil }

// put notes what an object holds now, and tells only when that is something else than before.
func (s *sights) put(name types.NamespacedName, now sight) {
	s.mu.Lock()
	before := s.byName[name]
	if len(now.found) == 0 {
		delete(s.byName, name)
	} else {
		s.byName[name] = now
	}
	same := len(before.found) == 0 && len(now.found) == 0 || before.equal(now)
	s.mu.Unlock()
	if !same {
		s.changed()
	}
}

// Replace implements cache.ReflectorStore.
func (s *sights) Replace(objects []any, _ string) error {
	next := map[types.NamespacedName]sight{}
	for _, o := range objects {
		if g, ok := o.(*glimpse); ok && len(g.found) > 0 {
			next[types.NamespacedName{Namespace: g.Namespace, Name: g.Name}] = sight{g.owner, g.found}
		}
	}
	s.mu.Lock()
	s.byName, s.listed, s.problem = next, true, ""
	s.mu.Unlock()
	s.changed()
	return nil
}

// fail records why the objects cannot be followed.
func (s *sights) fail(problem string) {
	s.mu.Lock()
	s.problem = problem
	s.mu.Unlock()
	s.changed()
}

// stale says that what is held may not be all there is.
func (s *sights) stale() {
	s.mu.Lock()
	s.listed = false
	s.mu.Unlock()
}

// state says whether everything was listed, and what is in the way.
func (s *sights) state() (listed bool, problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed, s.problem
}

// each visits what every object says.
func (s *sights) each(visit func(types.NamespacedName, sight)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, sight := range s.byName {
		visit(name, sight)
	}
}
