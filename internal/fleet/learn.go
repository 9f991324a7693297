// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"slices"
)

// Learning says what is learned from the objects of a cluster. The fleet does not change it.
type Learning struct {
	// Revision must change whenever Kinds do.
	Revision string
	// Kinds to learn from; none to learn nothing.
	Kinds []LearnKind
	// Gap is what cannot be learned, and why, for other reasons than the cluster's; or "".
	Gap string
}

// LearnKind is a resource whose objects name addresses of the Environment they are in.
type LearnKind struct {
	Group, Resource, Kind string
	// Versions that Extract knows, preferred first.
	Versions []string
	// Revision must change whenever Extract would find something else.
	Revision string
	// Extract finds the addresses in an object, decoded JSON, and the namespace that decides
	// whose they are; "" for the cluster. It is called from many goroutines, and must neither
	// change nor keep the object.
	Extract func(object map[string]any) (namespace string, found []Found)
}

// Name is KIND.GROUP, or KIND for the core group.
func (k LearnKind) Name() string {
	if k.Group == "" {
		return k.Kind
	}
	return k.Kind + "." + k.Group
}

// Found is an address in a field of an object.
type Found struct{ Type, Value, Path string }

// Sighted is an object in which addresses were found.
type Sighted struct {
	// Kind is the Name of its LearnKind.
	Kind, Namespace, Name string
	// Environment that the Namespace of the object claims, "" for that of the cluster.
	Environment string
	// Found in its fields.
	Found []Found
}

// Learned is what is known of the addresses in one cluster. While the cluster does not
// answer, that is what was known when it did.
type Learned struct {
	// Cluster as it was last seen, and the Objects in it that name addresses.
	Cluster Cluster
	Objects []Sighted
	// complete: kinds that are not followed are not there.
	complete bool
	// unknown are kinds that are perhaps there, and were not listed yet.
	unknown map[string]bool
}

// Knows reports whether an object of a kind (its Name) that is not among the Objects names
// no address, or does not exist.
func (l Learned) Knows(kind string) bool { return l.complete && !l.unknown[kind] }

// Learn replaces the function that says what is learned from a cluster; false while that is
// not known. The function is called from many goroutines and should only look up.
func (f *Fleet) Learn(learn func(Cluster) (Learning, bool)) {
	f.learn.Store(&learn)
	for _, m := range f.all() {
		for _, s := range m.stations() {
			if l := s.learning(); l != nil {
				l.wake()
			}
		}
	}
}

func (f *Fleet) learning(c Cluster) (Learning, bool) {
	learn := f.learn.Load()
	if learn == nil || *learn == nil {
		return Learning{}, false
	}
	return (*learn)(c)
}

// Learned is what was learned from every cluster that was reached, sorted by its Key. A
// cluster that is guarded under another name is not among them.
func (f *Fleet) Learned() []Learned {
	var out []Learned
	for _, m := range f.all() {
		for _, s := range m.stations() {
			if l := s.learning(); l != nil {
				out = append(out, l.snapshot())
			}
		}
	}
	slices.SortFunc(out, func(a, b Learned) int { return cmp.Compare(a.Cluster.Key(), b.Cluster.Key()) })
	return out
}

// learning is the learner of the station, if one runs.
func (s *station) learning() *learner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learner
}

func (s *station) setLearner(l *learner) {
	s.mu.Lock()
	s.learner = l
	s.mu.Unlock()
}
