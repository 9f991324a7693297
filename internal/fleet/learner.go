// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	// learnPause gathers what wakes a learner: a CRD changes several times while it is new.
	learnPause = 200 * time.Millisecond
	// rediscover is how often the kinds of a cluster are looked at when no CRD changes:
	// aggregated API servers bring kinds too.
	rediscover = 2 * time.Minute
	// regrant is the least time between two grants of the rights, when they are refused.
	regrant = 30 * time.Second
)

// learner follows the objects of one cluster that addresses are learned from. Its goroutine
// decides what is followed; each kind is followed by a reflector of its own, so that one that
// is slow, or forbidden, delays no other.
type learner struct {
	station *station
	link    *link
	cancel  context.CancelFunc
	done    chan struct{}
	wakes   chan struct{}
	dynamic dynamic.Interface
	running sync.WaitGroup

	// What follows belongs to the goroutine.
	revision  string
	backoff   time.Duration
	crds      metadata.Getter
	following bool // the CRDs

	namespaces *sights

	mu sync.Mutex
	// granted is when the rights were granted last, and refusal why they could not be.
	granted  time.Time
	refusal  string
	gap      string // of what is to be learned
	complete bool
	unknown  map[string]bool
	kinds    map[schema.GroupResource]*follower
}

// follower follows the objects of one kind.
type follower struct {
	running
	kind    LearnKind
	version string
	sights  *sights
}

// startLearner follows the objects of a cluster until the context ends.
func startLearner(ctx context.Context, s *station, l *link) (*learner, error) {
	objects, err := dynamic.NewForConfig(l.account.config)
	if err != nil {
		return nil, fmt.Errorf("cannot learn: %s", brief(err))
	}
	names, err := metadata.NewForConfig(l.account.config)
	if err != nil {
		return nil, fmt.Errorf("cannot learn: %s", brief(err))
	}
	r := &learner{
		station: s, link: l, done: make(chan struct{}), wakes: make(chan struct{}, 1), dynamic: objects,
		kinds: map[schema.GroupResource]*follower{}, unknown: map[string]bool{},
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.namespaces = newSights(func() { r.report(); r.news() })
	r.follow(ctx, namespaceEnvironments(names), r.namespaces)
	r.crds = names.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	s.setLearner(r)
	go r.run(ctx)
	return r, nil
}

// end stops the learner and waits for it. What it had learned is not known any more.
func (r *learner) end() {
	if r == nil {
		return
	}
	if r.station.learning() == r {
		r.station.setLearner(nil)
	}
	r.cancel()
	<-r.done
	r.running.Wait()
	r.station.update(func(c *Cluster) { c.Learned, c.LearnGaps = false, nil })
}

// wakeUp is a store that keeps nothing.
type wakeUp func()

func (w wakeUp) Add(any) error               { w(); return nil }
func (w wakeUp) Update(any) error            { w(); return nil }
func (w wakeUp) Delete(any) error            { w(); return nil }
func (w wakeUp) Replace([]any, string) error { w(); return nil }
func (w wakeUp) Resync() error               { return nil }

// namespaceEnvironments follows every Namespace, with the Environment that it claims in place
// of an address. An object counts only when its Namespace is known, or what is in a Namespace
// of staging would be production's for a moment, and for half a year.
func namespaceEnvironments(c metadata.Interface) *cache.ListWatch {
	return metadataListWatch(c.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")), func(m *metav1.PartialObjectMetadata) []Found {
		return []Found{{Value: m.Labels[skottv1.LabelEnvironment]}}
	})
}

// metadataListWatch follows objects by their metadata.
func metadataListWatch(c metadata.Getter, find func(*metav1.PartialObjectMetadata) []Found) *cache.ListWatch {
	look := func(m *metav1.PartialObjectMetadata) glimpse {
		return glimpse{ObjectMeta: metav1.ObjectMeta{Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}, found: find(m)}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := c.List(ctx, options)
			if err != nil {
				return nil, err
			}
			out := &glimpses{Items: make([]glimpse, len(list.Items))}
			out.ResourceVersion, out.Continue = list.ResourceVersion, list.Continue
			for i := range list.Items {
				out.Items[i] = look(&list.Items[i])
			}
			return out, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
			w, err := c.Watch(ctx, options)
			if err != nil {
				return nil, err
			}
			return apiwatch.Filter(w, func(event apiwatch.Event) (apiwatch.Event, bool) {
				m, ok := event.Object.(*metav1.PartialObjectMetadata)
				if !ok || event.Type == apiwatch.Error {
					return event, true
				}
				g := look(m)
				if event.Type == apiwatch.Bookmark {
					g.Annotations = m.Annotations
				}
				event.Object = &g
				return event, true
			}), nil
		},
	}
}

// follow fills a store until the context ends.
func (r *learner) follow(ctx context.Context, lw *cache.ListWatch, store cache.ReflectorStore) {
	r.running.Go(func() { follow(ctx, lw, store) })
}

func follow(ctx context.Context, lw *cache.ListWatch, store cache.ReflectorStore) {
	reflector := cache.NewReflectorWithOptions(lw, nil, store, cache.ReflectorOptions{Name: userAgent})
	reflector.WatchListPageSize = pageSize
	reflector.RunWithContext(ctx)
}

// wake makes the learner look at the kinds again.
func (r *learner) wake() {
	select {
	case r.wakes <- struct{}{}:
	default:
	}
}

// news is called when anything was learned, or lost from sight.
func (r *learner) news() {
	if learned := r.station.fleet.options.Learned; learned != nil {
		learned()
	}
}

// run learns until the context ends: at once when woken, else every rediscover, and after an error
// with a delay that doubles from backoffFirst to backoffLast.
func (r *learner) run(ctx context.Context) {
	defer close(r.done)
	defer r.stopAll()
	for {
		next := rediscover
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).V(1).Info("Failing to learn", "error", brief(err))
			r.backoff = min(max(2*r.backoff, backoffFirst), backoffLast)
			next = r.backoff
		} else {
			r.backoff = 0
		}
		r.report()
		if pause(ctx, learnPause) != nil {
			return
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-r.wakes:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pass makes every kind that the cluster serves be followed, in a version that is served.
func (r *learner) pass(ctx context.Context) error {
	learning, ok := r.station.fleet.learning(r.station.snapshot())
	if !ok {
		return nil
	}
	granted := r.grant(ctx, learning)
	if !r.following {
		r.following = true
		r.follow(ctx, metadataListWatch(r.crds, func(*metav1.PartialObjectMetadata) []Found { return nil }), wakeUp(r.wake))
	}
	served := &resources{}
	if len(learning.Kinds) > 0 {
		var err error
		if served, err = r.link.resources(learning.Kinds); err != nil {
			return err
		}
	}
	wanted, unknown := map[schema.GroupResource]bool{}, map[string]bool{}
	for _, kind := range learning.Kinds {
		resource := schema.GroupResource{Group: kind.Group, Resource: kind.Resource}
		version, sure := served.version(kind)
		switch {
		case version != "":
			wanted[resource] = true
			if granted {
				r.retry(resource)
			}
			r.ensure(ctx, resource, kind, version)
		case !sure:
			wanted[resource] = true // if it was followed, it goes on
			unknown[kind.Name()] = true
		}
	}
	r.mu.Lock()
	var gone []*follower
	for resource, f := range r.kinds {
		if !wanted[resource] {
			gone = append(gone, f)
			delete(r.kinds, resource)
		}
	}
	r.unknown, r.complete, r.gap = unknown, true, learning.Gap
	r.mu.Unlock()
	for _, f := range gone {
		f.stop()
	}
	if len(gone) > 0 || r.revision != learning.Revision {
		r.news()
	}
	r.revision = learning.Revision
	return nil
}

// retry ends a follower that was refused, since the rights were granted anew: by itself it
// would ask again after up to a minute.
func (r *learner) retry(resource schema.GroupResource) {
	r.mu.Lock()
	f := r.kinds[resource]
	r.mu.Unlock()
	if f == nil {
		return
	}
	if _, problem := f.sights.state(); problem != "" {
		f.stop()
		f.version = "" // so that it is followed anew
	}
}

// ensure follows a kind in a version. What is known of it stays until the new one is listed.
func (r *learner) ensure(ctx context.Context, resource schema.GroupResource, kind LearnKind, version string) {
	r.mu.Lock()
	old := r.kinds[resource]
	r.mu.Unlock()
	f := &follower{kind: kind, version: version}
	switch {
	case old == nil:
		f.sights = newSights(func() { r.report(); r.news() })
	case old.version == version && old.kind.Revision == kind.Revision:
		return
	default:
		old.stop()
		f.sights = old.sights
		f.sights.stale()
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.done = make(chan struct{})
	r.mu.Lock()
	r.kinds[resource] = f
	r.mu.Unlock()
	objects := r.dynamic.Resource(resource.WithVersion(version))
	go func() {
		defer close(f.done)
		follow(ctx, kind.listWatch(objects, func(err error) { r.failed(f, err) }), f.sights)
	}()
}

// failed hears of every request of a follower that was refused.
func (r *learner) failed(f *follower, err error) {
	switch {
	case apierrors.IsForbidden(err):
		f.sights.fail("forbidden")
		if r.mayRegrant() {
			r.wake() // the rights may have been taken away
		}
	case apierrors.IsNotFound(err):
		r.wake() // the kind is not served any more
	case apierrors.IsUnauthorized(err):
		r.link.account.doubt()
	}
}

func (f *follower) stop() {
	f.cancel()
	<-f.done
}

func (r *learner) stopAll() {
	r.mu.Lock()
	followers := slices.Collect(maps.Values(r.kinds))
	r.mu.Unlock()
	for _, f := range followers { // without the lock, which what they do last may need
		f.stop()
	}
}

// report puts what is in the way of learning into the state of the cluster.
func (r *learner) report() {
	learned, _ := r.namespaces.state()
	r.mu.Lock()
	learned = learned && r.complete
	var gaps []string
	if r.refusal != "" {
		gaps = append(gaps, r.refusal)
	}
	if r.gap != "" {
		gaps = append(gaps, r.gap)
	}
	for _, f := range r.kinds {
		listed, problem := f.sights.state()
		if problem != "" {
			gaps = append(gaps, f.kind.Name()+": "+problem)
		}
		learned = learned && listed
	}
	for kind := range r.unknown {
		gaps = append(gaps, kind+": its API group does not answer")
	}
	r.mu.Unlock()
	slices.Sort(gaps)
	r.station.update(func(c *Cluster) { c.Learned, c.LearnGaps = learned && len(gaps) == 0, gaps })
}

// snapshot is what is known now.
func (r *learner) snapshot() Learned {
	r.mu.Lock()
	out := Learned{complete: r.complete, unknown: map[string]bool{}}
	maps.Copy(out.unknown, r.unknown)
	followers := slices.Collect(maps.Values(r.kinds))
	r.mu.Unlock()
	out.Cluster = r.station.snapshot()
	listed, _ := r.namespaces.state()
	out.complete = out.complete && listed
	if !listed {
		return out
	}
	environments := map[string]string{}
	r.namespaces.each(func(name types.NamespacedName, s sight) { environments[name.Name] = s.found[0].Value })
	for _, f := range followers {
		if listed, problem := f.sights.state(); !listed || problem != "" {
			out.unknown[f.kind.Name()] = true
		}
		f.sights.each(func(name types.NamespacedName, s sight) {
			environment, known := environments[s.owner]
			if name.Namespace != "" && !known {
				out.unknown[f.kind.Name()] = true // the Namespace is new, and will be known in a moment
				return
			}
			out.Objects = append(out.Objects, Sighted{
				Kind: f.kind.Name(), Namespace: name.Namespace, Name: name.Name, Environment: environment, Found: s.found})
		})
	}
	return out
}
