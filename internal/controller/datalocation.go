// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/status"
)

// dataLocations reports whether the addresses of a location count, and who else claims them.
type dataLocations struct{ *hub }

func setupDataLocation(mgr manager.Manager, h *hub) error {
	return ctrl.NewControllerManagedBy(mgr).Named("datalocation").
		For(&skottv1.DataLocation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&skottv1.Environment{}, h.allLocations(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(h.bell.listen(h.allLocations())).
		Complete(&dataLocations{h})
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
	status.DataLocation(d, !apierrors.IsNotFound(err), r.rejected(d), r.contested(d))
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

// contested are the addresses that other places claim too, with those places.
func (r *dataLocations) contested(d *skottv1.DataLocation) map[string][]string {
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
			out[a.Value] = others
		}
	}
	return out
}
