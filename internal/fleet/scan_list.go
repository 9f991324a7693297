// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// errOutdated ends a list by rules that are not those of now.
var errOutdated = errors.New("the rules have changed")

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
		if errors.Is(err, errOutdated) {
			return err
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
			s.moved = true
			continue
		case apierrors.IsForbidden(err):
			s.gaps[k.Name()] = gapForbidden
		case apierrors.IsUnauthorized(err):
			s.loop.link.account.doubt()
			s.gaps[k.Name()], s.relist[resource] = reasonOf(err), time.Now()
			return err
		default:
			s.gaps[k.Name()] = reasonOf(err)
		}
		if !apierrors.IsForbidden(err) || s.refusal == "" { // or it is known why, and asked for
			s.relist[resource] = time.Now().Add(min(2*regrant, s.loop.options().ScanInterval))
		}
		if answered(err) {
			unanswered = 0
		} else if unanswered++; unanswered == maxUnanswered {
			if s.prepare(ctx) != nil {
				return err
			}
			unanswered = 0 // these kinds do not answer, and the cluster does
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
	old, reached := s.kinds[resource], s.revisions[resource]
	next := &found{kind: k, crosses: map[types.UID]crossing{}}
	known, detailed := 0, 0
	if old != nil {
		known = details(old)
	}
	s.listing, s.since = resource, map[types.UID]*crossing{}
	defer func() { s.listing, s.since = schema.GroupResource{}, nil }()
	revision, err := s.reader.list(ctx, resource.WithVersion(version), func(raw []byte) error {
		if err := s.between(); err != nil {
			return err
		}
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
	if w := s.watches[resource]; w != nil && older(revision, reached) { // the cluster was restored from a backup: see reopen
		w.cancel()
		delete(s.watches, resource)
	}
	s.kinds[resource], s.revisions[resource], s.moved = next, revision, true
	s.recount()
	return nil
}

// between takes in what watches tell while a list is read, which may take a minute. What was found
// or corrected meanwhile is told once in a while. Where the rules have changed meanwhile, what is
// read says nothing of them: but once between two rounds, or they might never end.
func (s *scanner) between() error {
	for range maxBetween {
		select {
		case e := <-s.events:
			s.event(e)
			continue
		default:
		}
		break
	}
	if time.Since(s.looked) < scanIdle {
		return nil
	}
	s.looked = time.Now()
	s.tellNews()
	scanning, known := s.loop.station.fleet.scanning(s.loop.station.snapshot())
	if known && !s.interrupted && scanning.Rules != s.current.Rules {
		s.interrupted = true
		return errOutdated
	}
	return nil
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
