// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	// scanIdle is how often it is looked whether there is anything to do.
	scanIdle = time.Second
	// scanPause after a change of addresses, at first, and scanPausePer cluster of the fleet if that
	// is longer, and up to as long again: many are learned together, and all clusters are read again. Between two lists of the
	// kinds with findings, of which there are few, is scanPause however large the fleet.
	scanPause    = 5 * time.Second
	scanPausePer = 300 * time.Millisecond
	// unprovedFor is how long a cluster may not be proved before everything is watched.
	unprovedFor = 30 * time.Second
	// maxUnanswered kinds one after the other, and it is asked whether the cluster answers at all.
	maxUnanswered = 3
	// tellPause is between two accounts of what watches tell.
	tellPause = 200 * time.Millisecond
	// maxScanEvents are taken in before what they changed is told.
	maxScanEvents = 500
	// maxBetween are taken in between two objects of a list.
	maxBetween = 16
)

// gapForbidden is the reason why a kind is not known that the account may not read.
const gapForbidden = "forbidden"

// What every object is judged by, as gaps name it. No kind is called so.
const gapNamespaces, gapDiscovery = "namespaces", "discovery"

// scanner finds what is in one cluster that crosses. It runs beside the guard loop; nothing
// waits for it. Nothing of an innocent object is kept.
type scanner struct {
	loop   *loop
	reader *scanReader
	events chan scanEvent

	// What follows belongs to the goroutine.
	current    Scanning // the rules that the findings are of; without Judge while nothing is judged
	kinds      map[schema.GroupResource]*found
	versions   map[schema.GroupResource]string
	revisions  map[schema.GroupResource]string
	gaps       map[string]string
	namespaces map[string]map[string]string
	watches    map[schema.GroupResource]*running
	relist     map[schema.GroupResource]time.Time
	detailed   int
	completed  time.Time
	revision   string
	moved      bool // since it was decided what is watched: lists, or where something crosses
	everything bool // is watched
	told       time.Time
	untold     bool
	// looked is when it was looked while a list was read, and interrupted that the last one was because the
	// rules had changed.
	looked      time.Time
	interrupted bool
	// listing is the kind that is being listed, and since what watches told of its objects meanwhile: a
	// crossing, or nil.
	listing schema.GroupResource
	since   map[types.UID]*crossing

	nextRound time.Time
	addresses string        // seen last
	pause     time.Duration // after the next change of addresses
	listAt    time.Time     // because of addresses; zero if nothing changed
	listedAt  time.Time     // because of addresses, last
	changed   bool          // the addresses, since the kinds with findings were listed
	changedAt time.Time     // when these were listed because of addresses, last
	backoff   time.Duration
	retry     time.Duration // between two lists of some kinds that fail
	granted   time.Time
	grants    []ScanKind
	refusal   string
}

func newScanner(l *loop) *scanner {
	return &scanner{
		loop: l, events: make(chan scanEvent), kinds: map[schema.GroupResource]*found{}, versions: map[schema.GroupResource]string{},
		revisions: map[schema.GroupResource]string{}, gaps: map[string]string{}, watches: map[schema.GroupResource]*running{},
		relist: map[schema.GroupResource]time.Time{}, pause: scanPause,
	}
}

// run scans until the context ends.
func (s *scanner) run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for {
		if err := s.pass(ctx); errors.Is(err, errOutdated) {
			s.nextRound = time.Now() // by the rules of now, even if they are those of before again
		} else if err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).V(1).Info("Failing to scan", "error", brief(err))
			s.backoff = min(max(2*s.backoff, backoffFirst), backoffLast)
			s.nextRound = time.Now().Add(s.backoff)
		}
		s.follow(ctx, &watching)
		timer := time.NewTimer(scanIdle)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case e := <-s.events:
			s.take(e)
		case <-timer.C:
			s.tellNews()
		}
		timer.Stop()
	}
}

// pass lists what is due.
func (s *scanner) pass(ctx context.Context) error {
	c := s.loop.station.snapshot()
	if c.GuardedAs != "" { // its objects are found under the other name
		s.stop()
		s.loop.station.update(func(c *Cluster) { c.Scan = nil })
		return nil
	}
	// Nothing was written as the account yet, or nothing would be answered.
	if c.UID == "" || c.Guard.Revision == "" || c.Guard.Phase == Unreachable {
		s.current.Judge = nil // it holds every address that was published then
		return nil
	}
	scanning, ok := s.loop.station.fleet.scanning(c)
	if !ok {
		return nil
	}
	if s.reader == nil {
		reader, err := newScanReader(s.loop.link.account.config, s.loop.station.fleet.scans)
		if err != nil {
			return err
		}
		s.reader = reader
	}
	if s.loop.restored.Swap(false) {
		s.reopen()
	}
	return s.due(ctx, scanning)
}

// due decides between everything, the kinds with findings, and those that have to be listed
// anew.
func (s *scanner) due(ctx context.Context, scanning Scanning) error {
	now := time.Now()
	fresh := s.revision == "" || s.current.Rules != scanning.Rules
	if s.current.Rules == scanning.Rules {
		s.current = scanning // and lets go of what was published before
	}
	if s.addresses != scanning.Addresses {
		s.addresses, s.changed = scanning.Addresses, true
		if now.Sub(s.listedAt) > 4*s.pause {
			s.pause = s.firstPause()
		}
		if s.listAt.IsZero() {
			s.listAt = now.Add(s.pause + rand.N(max(s.pause-scanPause, 0)+1)) // a large fleet is not read all at once
		}
	}
	addressed := !s.listAt.IsZero() && !now.Before(s.listAt)
	switch {
	case s.backoff > 0 && now.Before(s.nextRound):
		return nil
	case fresh || addressed || !now.Before(s.nextRound):
		if addressed {
			s.listedAt, s.pause = now, min(2*s.pause, s.loop.options().ScanInterval)
		}
		return s.round(ctx, scanning)
	}
	return s.some(ctx, scanning, now)
}

// firstPause is how long the first change of addresses waits for more.
func (s *scanner) firstPause() time.Duration {
	return max(scanPause, min(scanPausePer*time.Duration(s.loop.station.fleet.Size()), s.loop.options().ScanInterval))
}

// some lists the kinds that are to be listed anew, and after a change of addresses those with findings.
func (s *scanner) some(ctx context.Context, scanning Scanning, now time.Time) error {
	crossing := s.changed && now.Sub(s.changedAt) > scanPause
	if crossing {
		s.changed, s.changedAt = false, now
	}
	s.askAgain(ctx, scanning)
	if !crossing && len(s.relist) == 0 { // as every second in every cluster
		return nil
	}
	var some []ScanKind
	for _, k := range scanning.Kinds {
		at, again := s.relist[k.resource()]
		f := s.kinds[k.resource()]
		if again && !now.Before(at) || crossing && f != nil && len(f.crosses) > 0 {
			some = append(some, k)
		}
	}
	if len(some) == 0 {
		return nil
	}
	s.current = scanning
	for _, k := range some {
		s.relist[k.resource()] = now // until it was
	}
	err := s.prepare(ctx)
	if err == nil {
		err = s.list(ctx, some)
		s.tell()
	}
	if ctx.Err() != nil || errors.Is(err, errOutdated) {
		return err
	}
	s.postpone(ctx, some, err)
	return nil
}

// postpone has what is left of some kinds listed later. Nothing else is: what does not answer for a few must not
// make it read everything again and again.
func (s *scanner) postpone(ctx context.Context, some []ScanKind, err error) {
	if err == nil {
		s.retry = 0
		return
	}
	ctrllog.FromContext(ctx).V(1).Info("Failing to list again", "error", brief(err))
	s.retry = min(max(2*s.retry, backoffFirst), backoffLast)
	later := time.Now().Add(s.retry)
	for _, k := range some {
		if at, left := s.relist[k.resource()]; left && at.Before(later) {
			s.relist[k.resource()] = later
		}
	}
}

// round lists everything.
func (s *scanner) round(ctx context.Context, scanning Scanning) error {
	began := time.Now()
	s.grant(ctx, scanning)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	kinds := make([]LearnKind, len(scanning.Kinds))
	for i, k := range scanning.Kinds {
		kinds[i] = k.learn()
	}
	served, err := s.loop.link.resources(kinds)
	if err != nil {
		return s.unread(gapDiscovery, err)
	}
	delete(s.gaps, gapDiscovery)
	// From here on everything is judged anew; what was known of a kind stays until it is listed.
	s.current, s.listAt, s.changed = scanning, time.Time{}, false
	wanted, names := map[schema.GroupResource]bool{}, map[string]bool{}
	var list []ScanKind
	for i, k := range scanning.Kinds {
		version, sure := served.version(kinds[i])
		switch {
		case version != "":
			s.versions[k.resource()] = version
			list = append(list, k)
		case !sure:
			s.gaps[k.Name()] = "its API group does not answer"
		}
		wanted[k.resource()], names[k.Name()] = version != "" || !sure, version != "" || !sure
	}
	maps.DeleteFunc(s.gaps, func(name, _ string) bool { return !names[name] })
	maps.DeleteFunc(s.kinds, func(r schema.GroupResource, _ *found) bool { return !wanted[r] })
	maps.DeleteFunc(s.versions, func(r schema.GroupResource, _ string) bool { return !wanted[r] })
	maps.DeleteFunc(s.relist, func(r schema.GroupResource, _ time.Time) bool { return !wanted[r] })
	s.recount()
	s.moved = true
	// Oldest first does not matter within a round: all are listed, or the round is not over.
	if err := s.list(ctx, list); err != nil {
		s.tell()
		return err
	}
	s.backoff, s.interrupted = 0, false
	s.nextRound = time.Now().Add(spread(s.loop.options().ScanInterval))
	s.completed, s.revision = time.Now(), scanning.Rules+"-"+scanning.Addresses
	s.tell()
	scan := s.loop.station.snapshot().Scan
	ctrllog.FromContext(ctx).V(1).Info("Scanned", "objects", scan.Objects, "gaps", len(scan.Gaps), "seconds", time.Since(began).Seconds())
	return nil
}

// prepare reads the labels of the namespaces, which say in whose place an object is.
func (s *scanner) prepare(ctx context.Context) error {
	namespaces := map[string]map[string]string{}
	_, err := s.reader.list(ctx, kindNamespace.GroupVersion().WithResource("namespaces"), func(raw []byte) error {
		m := &metav1.PartialObjectMetadata{}
		if err := json.Unmarshal(raw, m); err != nil {
			return err
		}
		if e := m.Labels[skottv1.LabelEnvironment]; e != "" {
			namespaces[m.Name] = map[string]string{skottv1.LabelEnvironment: e}
		}
		return nil
	})
	if err != nil {
		return s.unread(gapNamespaces, fmt.Errorf("cannot list namespaces: %w", err))
	}
	delete(s.gaps, gapNamespaces)
	s.namespaces = namespaces
	return nil
}

// reopen reads and follows everything anew: see loop.reopen. What was found is of the time after the backup.
func (s *scanner) reopen() {
	for _, w := range s.watches {
		w.cancel()
	}
	clear(s.watches)
	clear(s.revisions)
	s.moved, s.nextRound, s.backoff = true, time.Time{}, 0
}

// stop forgets everything.
func (s *scanner) stop() {
	for _, w := range s.watches {
		w.cancel()
	}
	*s = *newScanner(s.loop)
}

// askAgain asks for the rights once in a while where kinds may not be read, with one request. These are
// listed again when what was refused before is granted.
func (s *scanner) askAgain(ctx context.Context, scanning Scanning) {
	if !s.forbidden() {
		return
	}
	refused := s.refusal != ""
	if s.grant(ctx, scanning); !refused || s.refusal != "" {
		return
	}
	for _, k := range scanning.Kinds {
		if s.gaps[k.Name()] == gapForbidden {
			s.relist[k.resource()] = time.Now()
		}
	}
}

func (s *scanner) forbidden() bool {
	for _, gap := range s.gaps {
		if gap == gapForbidden {
			return true
		}
	}
	return false
}

// grant gives the account the right to read what is scanned, with the given credentials, once
// in a while. Where the operator itself runs the rights were installed with it.
func (s *scanner) grant(ctx context.Context, scanning Scanning) {
	every := max(regrant, s.loop.options().ScanInterval)
	if s.forbidden() {
		every = regrant - scanIdle // it was taken away, or may be granted now
	}
	if s.loop.link.account.inCluster || slices.EqualFunc(scanning.Kinds, s.grants, sameResource) && time.Since(s.granted) < every {
		return
	}
	s.grants, s.granted, s.refusal = scanning.Kinds, time.Now(), ""
	for _, o := range scanObjects(s.loop.options().Namespace, scanning.Kinds) {
		u, err := toUnstructured(o)
		if err != nil {
			continue // none of ours
		}
		if _, err := applyObject(ctx, s.loop.link.admin, u); err != nil {
			first, _, _ := strings.Cut(brief(err), "\n") // what follows are the rights, one a line
			s.refusal = fmt.Sprintf("%s %q could not be granted: %s", u.GetKind(), u.GetName(), strings.TrimSuffix(first, ":"))
			return
		}
	}
	if len(scanning.Kinds) > 0 {
		s.loop.link.account.awaitRight(ctx, scanning.Kinds[0].resource())
	}
}

func sameResource(a, b ScanKind) bool { return a.resource() == b.resource() }
