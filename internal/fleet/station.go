// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// station is one guarded cluster as the fleet knows it. It outlives the connection to it,
// so that what was once published and proved is not forgotten in an outage.
type station struct {
	fleet  *Fleet
	member *member
	// created orders several names of one API server.
	created time.Time
	// changed is called after a change of cluster, without locks.
	changed func()
	// wakes the guard loop; holds one wake-up for whoever reads it next.
	wakes chan struct{}

	mu      sync.Mutex
	cluster Cluster
	loop    *loop
	learner *learner
	// doubted: the next pass has to prove, due or not.
	doubted bool
	// labels of the Cluster that were written last.
	labels map[string]string
}

func newStation(m *member, cluster Cluster, created time.Time, changed func()) *station {
	cluster.Guard.Phase = Unknown
	return &station{
		fleet: m.fleet, member: m, created: created, changed: changed,
		wakes: make(chan struct{}, 1), cluster: cluster,
	}
}

func (s *station) snapshot() Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster
}

// update changes what is known of the cluster. Maps in it are replaced, never written to:
// snapshots share them.
func (s *station) update(change func(*Cluster)) {
	s.mu.Lock()
	before := s.cluster
	change(&s.cluster)
	same := reflect.DeepEqual(before, s.cluster)
	s.mu.Unlock()
	if !same {
		s.changed()
		s.fleet.options.Observer.Changed()
	}
}

// wake makes the guard loop look again.
func (s *station) wake() {
	select {
	case s.wakes <- struct{}{}:
	default:
	}
}

// doubt makes the guard loop prove again at once: there is reason to believe that the
// cluster does not answer.
func (s *station) doubt() {
	s.mu.Lock()
	s.doubted = true
	s.mu.Unlock()
	s.wake()
}

// takeDoubt says whether there was doubt, and ends it.
func (s *station) takeDoubt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	doubted := s.doubted
	s.doubted = false
	return doubted
}

// guarding says whether a guard loop runs, and with which configuration.
func (s *station) guarding() *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loop
}

// guard runs a loop, in place of the present one.
func (s *station) guard(ctx context.Context, l *loop) {
	s.halt()
	ctx, l.cancel = context.WithCancel(ctx)
	s.mu.Lock()
	s.loop = l
	s.mu.Unlock()
	go l.run(ctx)
}

// halt ends the guard loop and waits for it. The guard in the cluster stays.
func (s *station) halt() {
	s.mu.Lock()
	l := s.loop
	s.loop = nil
	s.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.done
	}
}

func (s *station) key() string { return s.snapshot().Key() }

// claim claims an API server for the cluster and returns who stands for it.
func (s *station) claim(uid types.UID) *station {
	c := s.snapshot()
	owner, moved := s.fleet.claims.put(uid, claim{key: c.Key(), station: s, member: c.Role != RoleWorkload, created: s.created})
	if moved {
		s.fleet.wakeAll()
	}
	return owner.station
}

// follow takes over the state of the cluster that stands for the same API server. That is
// only right when both are of the same Environment: else this one is not what is guarded.
func (s *station) follow(owner *station) {
	other := owner.snapshot()
	mine, theirs := s.member.currentTarget().Environment, owner.member.currentTarget().Environment
	s.update(func(c *Cluster) {
		c.GuardedAs = other.Key()
		if mine == theirs {
			c.Guard, c.Webhook = other.Guard, other.Webhook
		}
		if c.Webhook.Closed = ""; mine == theirs { // that is of the configuration of the other one
			return
		}
		c.Guard.Enter(time.Now(), NotGuardable, skottv1.ReasonDuplicateAPIServer, fmt.Sprintf(
			"the API server is guarded as %q, which belongs to Environment %q", other.Key(), theirs))
	})
}

// labelled records that the Cluster carries labels.
func (s *station) labelled(labels map[string]string) {
	s.mu.Lock()
	s.labels = labels
	s.mu.Unlock()
	s.update(func(c *Cluster) { c.Labelled = true })
}

func (s *station) lastLabels() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.labels
}
