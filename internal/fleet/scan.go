// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// maxFindings objects of a cluster are kept with their texts; the rest is only counted.
	maxFindings = 1000
	// maxFindingViolations of one object are kept.
	maxFindingViolations = 16
)

// Scanning says how the objects of a cluster are judged. The fleet does not change it.
type Scanning struct {
	// Rules must change whenever Kinds or Judge do, for another reason than an address.
	Rules string
	// Addresses must change whenever the addresses do that Judge goes by.
	Addresses string
	// Open: objects that cross can appear although the guard acts, because some boundary does
	// not deny, or has a draft.
	Open bool
	// Kinds to scan.
	Kinds []ScanKind
	// Judge says what an object does that is there, and the Environment of its place. It is
	// called from many goroutines, and must neither change nor keep the object.
	Judge func(ScanObject) (environment string, violations []status.Violation)
}

// ScanKind is a resource whose objects are judged.
type ScanKind struct {
	Group, Resource, Kind string
	// Versions that are known, preferred first.
	Versions []string
}

// Name is KIND.GROUP, or KIND for the core group.
func (k ScanKind) Name() string { return k.learn().Name() }

func (k ScanKind) learn() LearnKind {
	return LearnKind{Group: k.Group, Resource: k.Resource, Kind: k.Kind, Versions: k.Versions}
}

func (k ScanKind) resource() schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.Resource}
}

// ScanObject is an object that is there.
type ScanObject struct {
	// Kind as it was asked for, and where the object is; Namespace is "" beside namespaces.
	Kind            ScanKind
	Namespace, Name string
	// NamespaceLabels: of the labels of its namespace, the one that decides.
	NamespaceLabels map[string]string
	// Raw is its JSON.
	Raw []byte
}

// Scan replaces the function that says how a cluster is scanned; false while that is not
// known. The function is called from many goroutines and should only look up.
func (f *Fleet) Scan(scan func(Cluster) (Scanning, bool)) {
	f.scan.Store(&scan)
}

func (f *Fleet) scanning(c Cluster) (Scanning, bool) {
	scan := f.scan.Load()
	if scan == nil || *scan == nil {
		return Scanning{}, false
	}
	return (*scan)(c)
}

// found are the objects of one kind that cross.
type found struct {
	kind ScanKind
	// objects that were judged.
	objects int
	crosses map[types.UID]crossing
}

// crossing is one object that crosses.
type crossing struct {
	environment string
	since       time.Time
	// counts are what it counts for: boundary, action and draft.
	counts []counted
	// finding is nil for what is beyond maxFindings.
	finding *status.Finding
}

type counted struct {
	boundary string
	action   skottv1.Action
	draft    bool
}

// newCrossing is what is kept of an object that crosses.
func newCrossing(environment string, f status.Finding) crossing {
	c := crossing{environment: environment, since: f.Since}
	for _, v := range f.Violations {
		one := counted{v.Boundary, v.Action, v.Draft}
		if !slices.Contains(c.counts, one) {
			c.counts = append(c.counts, one)
		}
	}
	f.Violations = f.Violations[:min(len(f.Violations), maxFindingViolations)]
	c.finding = &f
	return c
}

// summary is the account of everything that was found, without when.
func summary(all map[schema.GroupResource]*found) *status.Scan {
	out := &status.Scan{}
	counts := map[status.FindingCount]*status.FindingCount{} // keys have no Objects and no Since
	for _, f := range all {
		out.Objects += f.objects
		for _, c := range f.crosses {
			if c.finding != nil {
				out.Findings = append(out.Findings, *c.finding)
			}
			for _, one := range c.counts {
				key := status.FindingCount{Kind: f.kind.Name(), Boundary: one.boundary, Action: one.action, Draft: one.draft, Environment: c.environment}
				n := counts[key]
				if n == nil {
					first := key
					first.Since = c.since
					n = &first
					counts[key] = n
				}
				n.Objects++
				if c.since.Before(n.Since) {
					n.Since = c.since
				}
			}
		}
	}
	for n := range maps.Values(counts) {
		out.Counts = append(out.Counts, *n)
	}
	slices.SortFunc(out.Counts, compareCounts)
	slices.SortFunc(out.Findings, compareFindings)
	out.Findings = out.Findings[:min(len(out.Findings), maxFindings)] // a few more may have come while a kind was listed
	return out
}

func compareCounts(a, b status.FindingCount) int {
	drafts := 0
	if a.Draft != b.Draft {
		drafts = 1
		if b.Draft {
			drafts = -1
		}
	}
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Boundary, b.Boundary), strings.Compare(string(a.Action), string(b.Action)),
		drafts, strings.Compare(a.Environment, b.Environment))
}

func compareFindings(a, b status.Finding) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.APIVersion, b.APIVersion), strings.Compare(a.Namespace, b.Namespace),
		strings.Compare(a.Name, b.Name), strings.Compare(string(a.UID), string(b.UID)))
}
