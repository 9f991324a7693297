// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// scanIdle is how often it is looked whether there is anything to do.
	scanIdle = time.Second
	// scanPause after a change of addresses, at first: many are learned together. As long is
	// between two lists of the kinds with findings.
	scanPause = 5 * time.Second
	// unprovedFor is how long a cluster may not be proved before everything is watched.
	unprovedFor = 30 * time.Second
	// maxUnanswered kinds one after the other, and the cluster is away.
	maxUnanswered = 3
	// maxScanEvents are taken in before what they changed is told.
	maxScanEvents = 500
	// maxBetween are taken in between two objects of a list.
	maxBetween = 16
)

// gapForbidden is the reason why a kind is not known that the account may not read.
const gapForbidden = "forbidden"

// scanner finds what is in one cluster that crosses. It runs beside the guard loop; nothing
// waits for it. Nothing of an innocent object is kept.
type scanner struct {
	loop   *loop
	reader *scanReader
	events chan scanEvent

	// What follows belongs to the goroutine.
	current    Scanning // that the findings are of
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
	told       time.Time
	untold     bool
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
	granted   time.Time
	grants    string
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
		if err := s.pass(ctx); err != nil && ctx.Err() == nil {
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
		return nil
	}
	scanning, ok := s.loop.station.fleet.scanning(c)
	if !ok {
		return nil
	}
	if s.reader == nil {
		reader, err := newScanReader(s.loop.link.account.config)
		if err != nil {
			return err
		}
		s.reader = reader
	}
	return s.due(ctx, scanning)
}

// due decides between everything, the kinds with findings, and those that have to be listed
// anew.
func (s *scanner) due(ctx context.Context, scanning Scanning) error {
	now := time.Now()
	fresh := s.revision == "" || s.current.Rules != scanning.Rules
	if s.addresses != scanning.Addresses {
		s.addresses, s.changed = scanning.Addresses, true
		if now.Sub(s.listedAt) > 4*s.pause {
			s.pause = scanPause
		}
		if s.listAt.IsZero() {
			s.listAt = now.Add(s.pause)
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

// some lists the kinds that are to be listed anew, and after a change of addresses those with findings.
func (s *scanner) some(ctx context.Context, scanning Scanning, now time.Time) error {
	crossing := s.changed && now.Sub(s.changedAt) > scanPause
	if crossing {
		s.changed, s.changedAt = false, now
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
	s.grant(ctx, scanning)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	err := s.list(ctx, some)
	s.tell()
	return err
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
		return err
	}
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
	// Oldest first does not matter within a round: all are listed, or the round is not over.
	if err := s.list(ctx, list); err != nil {
		s.tell()
		return err
	}
	s.backoff = 0
	s.nextRound = time.Now().Add(s.loop.options().ScanInterval)
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
		return fmt.Errorf("cannot list namespaces: %w", err)
	}
	s.namespaces = namespaces
	return nil
}

// list lists some kinds anew. An error means that the cluster does not answer.
func (s *scanner) list(ctx context.Context, kinds []ScanKind) error {
	unanswered := 0
	for _, k := range kinds {
		resource := k.resource()
		err := s.listKind(ctx, k)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) { // it took too long between two pages
			err = s.listKind(ctx, k)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		delete(s.relist, resource)
		delete(s.gaps, k.Name())
		switch {
		case err == nil:
			unanswered = 0
			continue
		case apierrors.IsNotFound(err): // not served any more
			delete(s.kinds, resource)
			s.recount()
			continue
		case apierrors.IsForbidden(err):
			s.gaps[k.Name()] = gapForbidden
		case apierrors.IsUnauthorized(err):
			s.loop.link.account.doubt()
			return err
		default:
			s.gaps[k.Name()] = reasonOf(err)
		}
		s.relist[resource] = time.Now().Add(min(regrant, s.loop.options().ScanInterval))
		if answered(err) {
			unanswered = 0
		} else if unanswered++; unanswered == maxUnanswered || unanswered == len(kinds) {
			return err
		}
	}
	return nil
}

// listKind lists one kind, whose findings then are those of the list.
func (s *scanner) listKind(ctx context.Context, k ScanKind) error {
	resource := k.resource()
	version, ok := s.versions[resource]
	if !ok {
		return nil
	}
	old := s.kinds[resource]
	next := &found{kind: k, crosses: map[types.UID]crossing{}}
	known, detailed := 0, 0
	if old != nil {
		known = details(old)
	}
	s.listing, s.since = resource, map[types.UID]*crossing{}
	defer func() { s.listing, s.since = schema.GroupResource{}, nil }()
	revision, err := s.reader.list(ctx, resource.WithVersion(version), func(raw []byte) error {
		s.between()
		uid, one, crosses, err := s.judge(k, version, raw, old)
		if err != nil {
			return err
		}
		next.objects++
		if !crosses {
			return nil
		}
		if s.detailed-known+detailed >= maxFindings {
			one.finding = nil
		} else if _, twice := next.crosses[uid]; !twice {
			detailed++
		}
		next.crosses[uid] = one
		return nil
	})
	if err != nil {
		return err
	}
	for uid, one := range s.since {
		delete(next.crosses, uid)
		if one != nil {
			next.crosses[uid] = *one
		}
	}
	s.kinds[resource], s.revisions[resource] = next, revision
	s.recount()
	return nil
}

// between takes in what watches tell while a list is read, which may take a minute. What was found
// or corrected meanwhile is told once in a while.
func (s *scanner) between() {
	for range maxBetween {
		select {
		case e := <-s.events:
			s.event(e)
			s.untold = true
			continue
		default:
		}
		break
	}
	if s.untold && time.Since(s.told) > scanIdle {
		s.tell()
	}
}

func details(f *found) (n int) {
	for _, c := range f.crosses {
		if c.finding != nil {
			n++
		}
	}
	return n
}

// recount counts what is kept with texts, after kinds have come or gone.
func (s *scanner) recount() {
	s.detailed = 0
	for _, f := range s.kinds {
		s.detailed += details(f)
	}
}

// own are Skott's objects that say where clusters are: its own kinds, and its kubeconfigs.
func (s *scanner) own(k ScanKind, namespace string) bool {
	return k.Group == skottv1.GroupVersion.Group || k.Group == "" && k.Resource == "secrets" && namespace == s.loop.options().Namespace
}

// judge judges one object. When it was first seen to cross is known from before.
func (s *scanner) judge(k ScanKind, version string, raw []byte, before *found) (types.UID, crossing, bool, error) {
	m, err := readHead(raw)
	if err != nil {
		return "", crossing{}, false, fmt.Errorf("cannot read an object of %s: %w", k.Name(), err)
	}
	if s.own(k, m.Namespace) {
		return m.UID, crossing{}, false, nil
	}
	s.loop.station.fleet.judging <- struct{}{}
	environment, violations := s.current.Judge(ScanObject{
		Kind: k, Namespace: m.Namespace, Name: m.Name, NamespaceLabels: s.namespaces[m.Namespace], Raw: raw})
	<-s.loop.station.fleet.judging
	if len(violations) == 0 {
		return m.UID, crossing{}, false, nil
	}
	since := time.Now()
	if before != nil {
		if c, ok := before.crosses[m.UID]; ok {
			since = c.since
		}
	}
	return m.UID, newCrossing(environment, status.Finding{
		APIVersion: schema.GroupVersion{Group: k.Group, Version: version}.String(), Kind: k.Kind, Resource: k.Resource,
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, Violations: violations, Since: since}), true, nil
}

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
	s.tell()
}

func (s *scanner) event(e scanEvent) {
	resource := e.kind.resource()
	if e.lost {
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
	if known && old.finding != nil {
		s.detailed--
	}
	delete(f.crosses, uid)
	if s.listing == resource {
		s.since[uid] = nil
	}
	if e.deleted || !crosses {
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

// stop forgets everything.
func (s *scanner) stop() {
	for _, w := range s.watches {
		w.cancel()
	}
	*s = *newScanner(s.loop)
}

// tell puts what was found into the state of the cluster, once there is an account of all of it: what
// was known before a restart stays until then.
func (s *scanner) tell() {
	s.told, s.untold = time.Now(), false
	if s.completed.IsZero() {
		return
	}
	scan := summary(s.kinds)
	scan.Completed, scan.Revision = s.completed, s.revision
	for kind, gap := range s.gaps {
		if gap == gapForbidden && s.refusal != "" {
			gap += ": " + s.refusal
		}
		scan.Gaps = append(scan.Gaps, kind+": "+gap)
	}
	slices.Sort(scan.Gaps)
	s.loop.station.update(func(c *Cluster) {
		if c.Scan == nil || !reflect.DeepEqual(c.Scan, scan) {
			c.Scan = scan
		}
	})
}

// grant gives the account the right to read what is scanned, with the given credentials, once
// in a while. Where the operator itself runs the rights were installed with it.
func (s *scanner) grant(ctx context.Context, scanning Scanning) {
	what, every := fmt.Sprint(scanning.Kinds), max(regrant, s.loop.options().ScanInterval)
	if slices.Contains(slices.Collect(maps.Values(s.gaps)), gapForbidden) {
		every = regrant - scanIdle // it was taken away, or may be granted now
	}
	if s.loop.link.account.inCluster || what == s.grants && time.Since(s.granted) < every {
		return
	}
	s.grants, s.granted, s.refusal = what, time.Now(), ""
	for _, o := range scanObjects(s.loop.options().Namespace, scanning.Kinds) {
		u, err := toUnstructured(o)
		if err != nil {
			continue // none of ours
		}
		if _, err := applyObject(ctx, s.loop.link.admin, u); err != nil {
			s.refusal = fmt.Sprintf("%s %q could not be granted: %s", u.GetKind(), u.GetName(), brief(err))
			return
		}
	}
	if len(scanning.Kinds) > 0 {
		s.loop.link.account.awaitRight(ctx, scanning.Kinds[0].resource())
	}
}
