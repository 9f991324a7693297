// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// A book that is split into several Guards is written one Guard after the other. An address that
// moves from one to another (a new wildcard brings its hosts together) must at no moment be in
// none: a crossing would be let through. So whatever gains from another Guard is written first under
// a name of its own, where it acts until all stand as they are to be, and is then deleted with what
// else is not desired. In two Guards an address decides as in one.

// passing marks the name of a Guard that stands for another one meanwhile.
const passing = "-next"

// changing is a Guard of the cluster that is to be another one.
type changing struct {
	item
	// base is what stands there, nil if that is not known.
	base *encoding
	// there: the Guard exists.
	there bool
}

// bridge writes the Guards that gain from others, before those lose anything.
func (l *loop) bridge(ctx context.Context, objects []item) error {
	found, err := l.found(ctx, objects)
	if err != nil {
		return err
	}
	byAction := map[skottv1.Action][]changing{}
	for _, o := range objects {
		old, known := l.records[o.key]
		if o.guard == nil || known && old.hash == o.hash {
			continue
		}
		c := changing{item: o, there: known || found[o.guard.Name]}
		if known && old.head == o.head {
			c.base = old.shared.Value()
		}
		byAction[o.guard.Spec.Action] = append(byAction[o.guard.Spec.Action], c)
	}
	for _, parts := range byAction {
		for i, c := range parts {
			others := slices.Delete(slices.Clone(parts), i, i+1)
			if slices.ContainsFunc(others, func(other changing) bool { return other.loses(c.guard) }) {
				if err := l.gain(ctx, c); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// loses reports whether an address that stands in the Guard may move to another one.
func (c changing) loses(to *skottv1.Guard) bool {
	switch {
	case !c.there:
		return false
	case c.base == nil:
		return true
	}
	return slices.ContainsFunc(c.shared.from(c.base).leaves, func(address string) bool { _, gains := to.Spec.Addresses[address]; return gains })
}

// gain makes what a Guard is to say act, and takes away nothing of what stands there.
func (l *loop) gain(ctx context.Context, c changing) error {
	if !c.there {
		_, err := l.write(ctx, c.item, false)
		return err
	}
	l.pruned, l.unproved.policies = false, true // it has the canary of what is written under its own name later
	g := *c.guard
	g.Name += passing
	c.guard = &g
	body, err := c.body("")
	if err != nil {
		return err
	}
	if _, err := c.send(ctx, l.link.account.operator, types.ApplyPatchType, body); err != nil {
		return fmt.Errorf("cannot apply Guard %q: %w", g.Name, err)
	}
	return nil
}

// found are the names of the Guards of a cluster to which this process has written none yet. One
// that is marked as what is desired, and that nobody else has written to, is taken for it, and
// written all the same when there is time: who writes in Skott's name is not seen.
func (l *loop) found(ctx context.Context, objects []item) (map[string]bool, error) {
	for key := range l.records {
		if key.kind == kindGuard.Kind {
			return nil, nil
		}
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kindGuard)
	if err := l.link.account.operator.List(ctx, list); err != nil {
		return nil, fmt.Errorf("cannot list Guards: %w", err)
	}
	out := map[string]bool{}
	for i := range list.Items {
		live := &list.Items[i]
		out[live.Name] = true
		at := slices.IndexFunc(objects, func(o item) bool { return o.guard != nil && o.guard.Name == live.Name })
		if at >= 0 && objects[at].marked(live) {
			l.remember(objects[at], live)
			after := renewEvery * l.options().CanaryInterval
			l.verify = time.Now().Add(after/2 + rand.N(after/2)) // not all clusters at once
		}
	}
	return out, nil
}

// marked reports whether a Guard says of itself that it is what is desired, and nobody but Skott has
// written into its spec since.
func (i item) marked(live *metav1.PartialObjectMetadata) bool {
	others := func(e metav1.ManagedFieldsEntry) bool { return e.Manager != skottv1.FieldOwner && ofSpec(e) }
	return live.DeletionTimestamp == nil && live.Annotations[skottv1.AnnotationContent] == i.content() && carries(live.Labels, i.labels) &&
		len(live.ManagedFields) > 0 && !slices.ContainsFunc(live.ManagedFields, others)
}
