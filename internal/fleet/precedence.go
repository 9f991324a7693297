// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"sync"
	"time"
)

// precedence lets many clusters be written before the first of them is proved: a Guard acts
// when it is written, and the proofs of a thousand clusters take several times as long as
// their Guards.
type precedence struct {
	mu      sync.Mutex
	writers int
	none    chan struct{} // closed when there are no writers any more
}

// write begins something that goes first; the function that it returns ends it.
func (p *precedence) write() (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writers++; p.writers == 1 {
		p.none = make(chan struct{})
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.writers--; p.writers == 0 {
			close(p.none)
		}
	}
}

// yield waits until nobody writes, or there is something newer to write, and no longer than that: a cluster that
// is slow to be written must not keep the others from being proved.
func (p *precedence) yield(ctx context.Context, longest time.Duration, newer <-chan struct{}) {
	p.mu.Lock()
	none, writers := p.none, p.writers
	p.mu.Unlock()
	if writers == 0 {
		return
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-none:
	case <-newer:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lanes bound how many clusters are worked on at once. A thousand requests that are sent together each take as long
// as all of them, and everything else that the operator does takes as long beside them.
type lanes chan struct{}

const (
	lanesPerProcessor = 32
	// laneTime is how long a cluster has a lane: those that are slow must not keep the others waiting.
	laneTime = 250 * time.Millisecond
)

// enter waits for a lane; the function that it returns leaves it.
func (l lanes) enter(ctx context.Context) func() {
	select {
	case l <- struct{}{}:
	case <-ctx.Done():
		return func() {}
	}
	leave := sync.OnceFunc(func() { <-l })
	timer := time.AfterFunc(laneTime, leave)
	return func() {
		timer.Stop()
		leave()
	}
}

// enterLane waits for a lane, unless the cluster was never proved: what is not guarded yet goes first.
func (l *loop) enterLane(ctx context.Context) func() {
	if l.station.snapshot().Guard.ProvedRevision == "" {
		return func() {}
	}
	return l.station.fleet.lanes.enter(ctx)
}
