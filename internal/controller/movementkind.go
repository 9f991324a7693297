// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/status"
)

// movementKinds reports whether a kind of a user is in use.
type movementKinds struct{ *hub }

func setupMovementKind(mgr manager.Manager, h *hub) error {
	return ctrl.NewControllerManagedBy(mgr).Named("movementkind").
		For(&skottv1.MovementKind{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(&movementKinds{h})
}

// Reconcile computes the status of a MovementKind.
func (r *movementKinds) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	k := &skottv1.MovementKind{}
	if err := r.Get(ctx, req.NamespacedName, k); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := k.DeepCopy()
	_, errs := flow.Builtin().Merge([]skottv1.MovementKindSpec{k.Spec})
	status.MovementKind(k, errs[0])
	return ctrl.Result{}, r.patchStatus(ctx, before, k, unchanged(before.Status, k.Status))
}
