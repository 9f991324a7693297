// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// mostly is the share of the clusters that has to be written before more is published, in percent. Those that do
// not answer are none of them, and those that answer late are few.
const mostly = 90

// delivery is what was published, and how many clusters were written it.
type delivery struct {
	desire     func(Cluster) (Desired, bool)
	generation int64
	written    atomic.Int64
	// superseded is closed when something else is published.
	superseded chan struct{}
}

// of is what a cluster must hold, if anything is known.
func (d *delivery) of(c Cluster) (Desired, bool) {
	if d == nil || d.desire == nil {
		return Desired{}, false
	}
	return d.desire(c)
}

// Delivered reports whether most clusters that answer were written what was published last. To
// publish more before that would write some of them twice, and others later.
func (f *Fleet) Delivered() bool {
	d := f.desire.Load()
	return d == nil || 100*d.written.Load() >= mostly*f.writable.Load()
}

// delivered counts a cluster that was written what was published, once.
func (l *loop) delivered(d *delivery) {
	l.counts(true)
	if l.generation != d.generation {
		l.generation = d.generation
		d.written.Add(1)
	}
}

// counts says whether the cluster is one of those that are waited for.
func (l *loop) counts(writable bool) {
	if l.writable == writable {
		return
	}
	if l.writable = writable; writable {
		l.station.fleet.writable.Add(1)
	} else {
		l.station.fleet.writable.Add(-1)
	}
}

// spread is an interval, or up to a quarter less: what a whole fleet began to do together, when the operator
// started, must not come together ever after.
func spread(interval time.Duration) time.Duration { return interval - rand.N(interval/4+1) }
