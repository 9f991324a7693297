// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// Finding is an object that is there and crosses.
type Finding struct {
	// APIVersion and Kind of the object; Resource is its plural.
	APIVersion, Kind, Resource string
	Namespace, Name            string
	UID                        types.UID
	Violations                 []Violation
	// Since is when it was first seen to cross.
	Since time.Time
}

// Violation is one way in which an object crosses.
type Violation struct {
	// Boundary that it crosses, and what that does to new objects.
	Boundary string
	Action   skottv1.Action
	// Draft: the enforced rule of the boundary does not forbid it, its draft would.
	Draft bool
	// Code of the reason, and Path of the field.
	Code, Path string
	// From and To are the Environments that data comes from and gets to.
	From, To string
	// Message is the text that the denial of the object would have.
	Message string
}

// Scan is what a cluster was found to hold.
type Scan struct {
	// Completed is when the last round ended in which everything that can be read was, by the
	// rules of Revision; zero if there was none yet.
	Completed time.Time
	Revision  string
	// Objects that were judged in it.
	Objects int
	// Counts are complete.
	Counts []FindingCount
	// Findings are the first of all, sorted by kind, namespace and name.
	Findings []Finding
	// Refusal is why kinds are forbidden, if that is known.
	Refusal string
	// Gaps are the kinds that could not be read, with the reason, sorted.
	Gaps []string
}

// FindingCount is how many objects of a kind cross a boundary.
type FindingCount struct {
	// Kind as KIND.GROUP, or KIND.
	Kind     string
	Boundary string
	Action   skottv1.Action
	// Draft: only the draft of the boundary forbids it.
	Draft bool
	// Environment is that of the place of the objects: the cluster's, or the namespace's.
	Environment string
	Objects     int
	// Since is when the first of them was seen.
	Since time.Time
}
