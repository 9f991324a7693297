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
