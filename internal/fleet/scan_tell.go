// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// unread tells that nothing can be judged for lack of something, or what was found last would stand as if it were
// known to be so still. An account that was refused is made anew.
func (s *scanner) unread(what string, err error) error {
	s.gaps[what] = reasonOf(err)
	if apierrors.IsForbidden(err) {
		s.gaps[what] = gapForbidden
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		s.loop.link.account.doubt()
		s.loop.station.wake()
	}
	s.tell()
	return err
}

// tellNews tells what was taken in, a few times a second at most: it looks at all that crosses.
func (s *scanner) tellNews() {
	if s.untold && time.Since(s.told) > tellPause {
		s.tell()
	}
}

// tell puts what was found into the state of the cluster, once there is an account of all of it: what
// was known before a restart, or found over another connection, stays until then, with what cannot be read now.
func (s *scanner) tell() {
	s.told, s.untold = time.Now(), false
	gaps, refusal := s.unknown(), ""
	if s.forbidden() {
		refusal = s.refusal
	}
	if s.completed.IsZero() {
		s.loop.station.update(func(c *Cluster) {
			if c.Scan != nil && len(gaps) > 0 {
				before := *c.Scan // snapshots share the old one
				before.Gaps, before.Refusal = gaps, refusal
				c.Scan = &before
			}
		})
		return
	}
	scan := summary(s.kinds)
	scan.Completed, scan.Revision, scan.Gaps, scan.Refusal = s.completed, s.revision, gaps, refusal
	s.loop.station.update(func(c *Cluster) {
		if c.Scan == nil || !reflect.DeepEqual(c.Scan, scan) {
			c.Scan = scan
		}
	})
}

// unknown is what cannot be read, with the reason, sorted.
func (s *scanner) unknown() (out []string) {
	for what, gap := range s.gaps {
		out = append(out, what+": "+gap)
	}
	slices.Sort(out)
	return out
}
