// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// graces remember until when deleted boundaries act, by how much time has passed for this process. The time of a
// deletion is by the clock of an API server: of another machine, and either may jump.
type graces struct {
	mu sync.Mutex
	// ends is zero for a boundary that was not deleted when it was last seen.
	ends map[types.UID]time.Time
}

// end is when a boundary stops acting; false unless it was deleted. One that this process has seen before acts for
// all of its grace from when it is first seen deleted, another for what its deletion left of it.
func (g *graces) end(b *skottv1.DataBoundary, grace time.Duration, now time.Time) (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ends == nil {
		g.ends = map[types.UID]time.Time{}
	}
	ends, seen := g.ends[b.UID]
	switch {
	case b.DeletionTimestamp.IsZero():
		g.ends[b.UID] = time.Time{}
		return time.Time{}, false
	case !ends.IsZero():
		return ends, true
	}
	left := grace
	if !seen {
		left = min(max(b.DeletionTimestamp.Add(grace).Sub(now), 0), grace)
	}
	g.ends[b.UID] = now.Add(left)
	return g.ends[b.UID], true
}

// forget drops boundaries that are gone.
func (g *graces) forget(there []skottv1.DataBoundary) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ends) <= len(there) {
		return
	}
	kept := make(map[types.UID]time.Time, len(there))
	for i := range there {
		if ends, seen := g.ends[there[i].UID]; seen {
			kept[there[i].UID] = ends
		}
	}
	g.ends = kept
}

// forever is how long a boundary acts that was not deleted.
const forever = 365 * 24 * time.Hour

// actsFor is how long a boundary still acts.
func (h *hub) actsFor(b *skottv1.DataBoundary) time.Duration {
	now := h.now()
	if ends, deleted := h.graces.end(b, h.options.BoundaryGrace, now); deleted {
		return ends.Sub(now)
	}
	return forever
}
