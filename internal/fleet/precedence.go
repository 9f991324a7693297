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

// yield waits until nobody writes, and no longer than that: a cluster that is slow to be
// written must not keep the others from being proved.
func (p *precedence) yield(ctx context.Context, longest time.Duration) {
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
	case <-timer.C:
	case <-ctx.Done():
	}
}
