// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// mirror holds the metadata of some objects as they were last seen. A reflector fills it. An
// informer of client-go would do the same with twice the goroutines and a buffer of 16 KB, of
// which a fleet of a thousand clusters would have many thousands.
type mirror struct {
	// whole is the one object that is kept whole, "" for all; of the others only the names matter.
	whole string
	// changed is called after each change, without the lock.
	changed func()

	mu      sync.RWMutex
	objects map[string]*metav1.PartialObjectMetadata // by name; all are of one namespace, or of none
	listed  bool
}

// mirrored is what a mirror follows.
type mirrored struct {
	resource  schema.GroupVersionResource
	namespace string
	tweak     func(*metav1.ListOptions)
	whole     string
}

// startMirror follows metadata until the context ends, and wakes at each event.
func startMirror(ctx context.Context, c metadata.Interface, what mirrored, wake func(), running *sync.WaitGroup) *mirror {
	m := &mirror{whole: what.whole, changed: wake, objects: map[string]*metav1.PartialObjectMetadata{}}
	resource := c.Resource(what.resource).Namespace(what.namespace)
	tweak := what.tweak
	if tweak == nil {
		tweak = func(*metav1.ListOptions) {}
	}
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			tweak(&o)
			return resource.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			tweak(&o)
			w, err := resource.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			return drained{w}, nil
		},
	}
	running.Go(func() { follow(ctx, lists, m) })
	return m
}

// synced reports whether the objects were listed.
func (m *mirror) synced() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.listed
}

// list are the objects, in no order. They must not be changed.
func (m *mirror) list() []*metav1.PartialObjectMetadata {
	m.mu.RLock()
	defer m.mu.RUnlock()
	out := make([]*metav1.PartialObjectMetadata, 0, len(m.objects))
	for _, o := range m.objects {
		out = append(out, o)
	}
	return out
}

// get is an object by its name; nil if there is none.
func (m *mirror) get(name string) *metav1.PartialObjectMetadata {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.objects[name]
}

// Add implements cache.ReflectorStore.
func (m *mirror) Add(o any) error { return m.Update(o) }

// Update implements cache.ReflectorStore.
func (m *mirror) Update(o any) error {
	object, err := m.kept(o)
	if err == nil {
		m.mu.Lock()
		m.objects[object.Name] = object
		m.mu.Unlock()
		m.changed()
	}
	return err
}

// Delete implements cache.ReflectorStore.
func (m *mirror) Delete(o any) error {
	object, err := m.kept(o)
	if err == nil {
		m.mu.Lock()
		delete(m.objects, object.Name)
		m.mu.Unlock()
		m.changed()
	}
	return err
}

// Replace implements cache.ReflectorStore.
func (m *mirror) Replace(list []any, _ string) error {
	objects := make(map[string]*metav1.PartialObjectMetadata, len(list))
	for _, o := range list {
		object, err := m.kept(o)
		if err != nil {
			return err
		}
		objects[object.Name] = object
	}
	m.mu.Lock()
	m.objects, m.listed = objects, true
	m.mu.Unlock()
	m.changed()
	return nil
}

// Resync implements cache.ReflectorStore.
func (m *mirror) Resync() error { return nil }

// kept is what is kept of an object: managed fields are most of it.
func (m *mirror) kept(o any) (*metav1.PartialObjectMetadata, error) {
	object, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return nil, fmt.Errorf("cannot keep %T: it is no metadata", o)
	}
	if m.whole != "" && m.whole != object.Name {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: object.Name, ResourceVersion: object.ResourceVersion}}, nil
	}
	object.ManagedFields = nil
	return object, nil
}

// drained ends a watch wholly: client-go filters the events of metadata in a goroutine that
// waits for ever to hand over one that came in when nobody listened any more.
type drained struct{ apiwatch.Interface }

// Stop implements watch.Interface.
func (d drained) Stop() {
	d.Interface.Stop()
	go func() {
		for range d.ResultChan() {
		}
	}()
}
