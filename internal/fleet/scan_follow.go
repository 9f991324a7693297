// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"sync"
	"time"
)

// take takes in what watches tell.
func (s *scanner) take(e scanEvent) {
	for n := 0; ; n++ {
		s.event(e)
		if n == maxScanEvents {
			break
		}
		select {
		case e = <-s.events:
			continue
		default:
		}
		break
	}
	s.tellNews()
}

// event takes one in. Most are of innocent objects, and change nothing.
func (s *scanner) event(e scanEvent) {
	resource := e.kind.resource()
	if e.revision != "" && s.watches[resource] != nil {
		s.revisions[resource] = e.revision
	}
	if !e.lost && e.raw == nil {
		return
	}
	if e.lost || s.current.Judge == nil {
		s.moved = true
		if w := s.watches[resource]; w != nil {
			w.cancel()
			delete(s.watches, resource)
		}
		delete(s.revisions, resource)
		s.relist[resource] = time.Now().Add(scanIdle)
		return
	}
	f, version := s.kinds[resource], s.versions[resource]
	if f == nil {
		return
	}
	uid, one, crosses, err := s.judge(e.kind, version, e.raw, f)
	if err != nil {
		return // it was read once already
	}
	old, known := f.crosses[uid]
	crosses = crosses && !e.deleted
	s.moved = s.moved || known != crosses
	s.untold = s.untold || known || crosses
	if known && old.finding != nil {
		s.detailed--
	}
	delete(f.crosses, uid)
	if s.listing == resource {
		s.since[uid] = nil
	}
	if !crosses {
		return
	}
	if s.detailed >= maxFindings {
		one.finding = nil
	} else {
		s.detailed++
	}
	f.crosses[uid] = one
	if s.listing == resource {
		s.since[uid] = &one
	}
}

// follow watches the kinds in which something may change unseen by admission.
func (s *scanner) follow(ctx context.Context, all *sync.WaitGroup) {
	if s.revision == "" || ctx.Err() != nil {
		return
	}
	guard := s.loop.station.snapshot().Guard
	everything := s.current.Open || guard.Phase != Enforced && time.Since(guard.Since) > unprovedFor
	if !s.moved && everything == s.everything {
		return
	}
	s.moved, s.everything = false, everything
	for resource, f := range s.kinds {
		revision := s.revisions[resource]
		if s.watches[resource] != nil || !everything && len(f.crosses) == 0 {
			continue
		}
		if revision == "" { // it was watched before, and what happened since is not known
			if _, again := s.relist[resource]; !again {
				s.relist[resource] = time.Now()
			}
			continue
		}
		kind, version, events := f.kind, s.versions[resource], s.events
		w := &running{done: make(chan struct{})}
		watching, cancel := context.WithCancel(ctx)
		w.cancel = cancel
		s.watches[resource] = w
		all.Go(func() {
			defer close(w.done)
			s.reader.watch(watching, kind, version, revision, func(e scanEvent) {
				select {
				case events <- e:
				case <-watching.Done():
				}
			})
		})
	}
	for resource, w := range s.watches {
		if f := s.kinds[resource]; f == nil || !everything && len(f.crosses) == 0 {
			w.cancel()
			delete(s.watches, resource)
			// A later watch would have missed what was in between.
			delete(s.revisions, resource)
		}
	}
}
