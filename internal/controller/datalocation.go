// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/status"
)

// dataLocations reports whether the addresses of a location count, and who else claims them.
type dataLocations struct {
	*hub
	// judged is the policy that every location was compared with.
	judged holder
}

// byAddress is the index of DataLocations by the canonical text of their addresses.
const byAddress = "address"

// setupDataLocation adds the controller that says of each location whether it counts. What is
// seen of one elsewhere asks for its rivals too.
func setupDataLocation(mgr manager.Manager, h *hub) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &skottv1.DataLocation{}, byAddress, func(o client.Object) []string {
		d, ok := o.(*skottv1.DataLocation)
		if !ok {
			return nil
		}
		return canonical(d)
	})
	if err != nil {
		return fmt.Errorf("cannot index DataLocations by address: %w", err)
	}
	r := &dataLocations{hub: h}
	return ctrl.NewControllerManagedBy(mgr).Named("datalocation").
		For(&skottv1.DataLocation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{}, predicate.Funcs{
			// Who learned it writes the status, and the bell tells when it does not fit.
			CreateFunc: func(e event.CreateEvent) bool { return !isLearned(e.Object) },
		})).
		Watches(&skottv1.DataLocation{}, handler.EnqueueRequestsFromMapFunc(r.rivals), builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: seenElsewhere,
		})).
		Watches(&skottv1.Environment{}, h.allLocations(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(h.bell.listen(handler.EnqueueRequestsFromMapFunc(r.stale))).
		Complete(r)
}

// canonical are the addresses of a location in canonical form.
func canonical(d *skottv1.DataLocation) []string {
	var out []string
	for _, a := range d.Spec.Addresses {
		if parsed, err := address.Parse(address.Type(a.Type), a.Value); err == nil {
			out = append(out, parsed.String())
		}
	}
	return out
}

// seenElsewhere reports whether an update changes what others say of a location: where it
// was seen first.
func seenElsewhere(e event.UpdateEvent) bool {
	before, ok := e.ObjectOld.(*skottv1.DataLocation)
	after, also := e.ObjectNew.(*skottv1.DataLocation)
	return ok && also && before.Status.Seen != after.Status.Seen
}

// rivals are the other locations with an address of this one.
func (r *dataLocations) rivals(ctx context.Context, o client.Object) []reconcile.Request {
	d, ok := o.(*skottv1.DataLocation)
	if !ok {
		return nil
	}
	var out []reconcile.Request
	for _, a := range canonical(d) {
		for _, other := range r.holders(ctx, a) {
			if other.Name != d.Name {
				out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: other.Name}})
			}
		}
	}
	return out
}

// holders are the locations with an address, in canonical form. They must not be changed.
func (h *hub) holders(ctx context.Context, text string) []skottv1.DataLocation {
	list := &skottv1.DataLocationList{}
	if err := h.List(ctx, list, client.MatchingFields{byAddress: text}, client.UnsafeDisableDeepCopy); err != nil {
		return nil // there is no cache to read; nothing is to be said
	}
	return list.Items
}

// stale are the locations whose status may not fit the policy that was published last. There
// may be tens of thousands that it does fit.
func (r *dataLocations) stale(ctx context.Context, _ client.Object) []reconcile.Request {
	p := r.published.Load()
	if p == nil || r.judged.Swap(p) == p {
		return nil
	}
	list := &skottv1.DataLocationList{}
	if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	contested := p.policy.Contested()
	var out []reconcile.Request
	for i := range list.Items {
		d := &list.Items[i]
		is := slices.ContainsFunc(d.Spec.Addresses, func(a skottv1.Address) bool {
			_, plain := contested[a.Value]
			return plain || len(contested) > 0 && !isLearned(d)
		})
		was := meta.FindStatusCondition(d.Status.Conditions, skottv1.ConditionContested)
		if is || was == nil || was.Status == metav1.ConditionTrue {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: d.Name}})
		}
	}
	return out
}

// Reconcile computes the status of a DataLocation.
func (r *dataLocations) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	d := &skottv1.DataLocation{}
	if err := r.Get(ctx, req.NamespacedName, d); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	err := r.Get(ctx, types.NamespacedName{Name: d.Spec.EnvironmentRef.Name}, &skottv1.Environment{})
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	before := d.DeepCopy()
	status.DataLocation(d, !apierrors.IsNotFound(err), r.rejected(d), r.contested(ctx, d))
	return ctrl.Result{}, r.patchStatus(ctx, before, d, unchanged(before.Status, d.Status))
}

// rejected are the addresses of a location that do not parse. The API server refuses them,
// unless it holds an older CRD.
func (r *dataLocations) rejected(d *skottv1.DataLocation) []string {
	var out []string
	for _, a := range d.Spec.Addresses {
		if _, err := address.Parse(address.Type(a.Type), a.Value); err != nil {
			out = append(out, err.Error())
		}
	}
	return out
}

// contested are the addresses that other places claim too, with those places and why.
func (r *dataLocations) contested(ctx context.Context, d *skottv1.DataLocation) map[string][]string {
	p := r.published.Load()
	if p == nil || d.Spec.Shared != nil && *d.Spec.Shared {
		return nil
	}
	out := map[string][]string{}
	for _, a := range d.Spec.Addresses {
		parsed, err := address.Parse(address.Type(a.Type), a.Value)
		if err != nil {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(p.policy.Contested()[parsed.String()]), func(place string) bool {
			return strings.HasPrefix(place, "@") || place == d.Spec.EnvironmentRef.Name
		})
		if len(others) > 0 {
			out[a.Value] = r.claims(ctx, parsed.String(), others)
		}
	}
	return out
}

// claims are places, each with the first thing that makes an address theirs.
func (h *hub) claims(ctx context.Context, text string, places []string) []string {
	holders := h.holders(ctx, text)
	sortByName(holders)
	out := slices.Clone(places)
	for i, place := range places {
		at := slices.IndexFunc(holders, func(d skottv1.DataLocation) bool {
			return d.Spec.EnvironmentRef.Name == place && (d.Status.Seen != "" || !isLearned(&d))
		})
		switch {
		case at < 0:
		case holders[at].Status.Seen != "":
			out[i] = fmt.Sprintf("%s: %s", place, holders[at].Status.Seen)
		default:
			out[i] = fmt.Sprintf("%s: DataLocation %s", place, holders[at].Name)
		}
	}
	return out
}
