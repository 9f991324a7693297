// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// environments reports what belongs to an Environment, and keeps it while it is used.
type environments struct {
	*hub
	comparisons map[string]*status.Comparison
}

// declared passes over learned locations, which keep no Environment and are told of by the
// bell when two Environments claim one.
var declared = predicate.NewPredicateFuncs(func(o client.Object) bool { return !isLearned(o) })

func setupEnvironment(mgr manager.Manager, h *hub) error {
	return ctrl.NewControllerManagedBy(mgr).Named("environment").
		For(&skottv1.Environment{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&skottv1.ManagementCluster{}, h.allEnvironments()).
		Watches(&skottv1.DataLocation{}, h.allEnvironments(), builder.WithPredicates(predicate.GenerationChangedPredicate{}, declared)).
		Watches(&skottv1.DataBoundary{}, h.allEnvironments(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(h.bell.listen(h.allEnvironments())).
		Complete(&environments{hub: h, comparisons: map[string]*status.Comparison{}})
}

// Reconcile computes the status of an Environment, and lets a deleted one go when nothing
// uses it any more.
func (r *environments) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	e := &skottv1.Environment{}
	if err := r.Get(ctx, req.NamespacedName, e); err != nil {
		delete(r.comparisons, req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	view, err := r.view(ctx, e)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !e.DeletionTimestamp.IsZero() && len(view.Users) == 0 {
		return ctrl.Result{}, r.release(ctx, e)
	}
	if err := r.hold(ctx, e); err != nil {
		return ctrl.Result{}, err
	}
	if r.comparisons[e.Name] == nil {
		r.comparisons[e.Name] = &status.Comparison{}
	}
	view.Comparison = r.comparisons[e.Name]
	before := e.DeepCopy()
	status.Environment(e, view)
	return ctrl.Result{}, r.patchStatus(ctx, before, e, unchanged(before.Status, e.Status))
}

// explained is of how many contested addresses a message says who claims them why.
const explained = 10

// view reads everything that speaks of an Environment.
func (r *environments) view(ctx context.Context, e *skottv1.Environment) (status.EnvironmentView, error) {
	view := status.EnvironmentView{Members: r.members(), Places: map[string]string{}, Stages: map[string]skottv1.Stage{}, Datacenters: map[string]string{}}
	clusters, locations, boundaries := &skottv1.ManagementClusterList{}, &skottv1.DataLocationList{}, &skottv1.DataBoundaryList{}
	environments := &skottv1.EnvironmentList{}
	for _, list := range []client.ObjectList{clusters, locations, boundaries, environments} {
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // none is changed
			return view, fmt.Errorf("cannot list %T: %w", list, err)
		}
	}
	view.Others = namesOf(environments.Items)
	for i := range environments.Items {
		view.Stages[environments.Items[i].Name] = environments.Items[i].Spec.Stage
	}
	for i := range clusters.Items {
		view.Places[clusters.Items[i].Name] = clusters.Items[i].EnvironmentName()
		view.Datacenters[clusters.Items[i].Name] = clusters.Items[i].Spec.Datacenter
		if mc := &clusters.Items[i]; mc.EnvironmentName() == e.Name {
			view.ManagementClusters = append(view.ManagementClusters, *mc)
			view.Users = append(view.Users, "ManagementCluster "+mc.Name)
		}
	}
	for i := range locations.Items {
		if d := &locations.Items[i]; d.Spec.EnvironmentRef.Name == e.Name && d.Labels[skottv1.LabelOrigin] != originLearned {
			view.Users = append(view.Users, "DataLocation "+d.Name)
		}
	}
	for i := range boundaries.Items {
		b := &boundaries.Items[i]
		view.Remembered = append(view.Remembered, b.Status.Breakdown...)
		for _, s := range []*skottv1.EnvironmentSelector{b.Spec.From, b.Spec.To} {
			if s != nil && slices.Contains(s.Environments, e.Name) {
				view.Users = append(view.Users, "DataBoundary "+b.Name)
			}
		}
	}
	if p := r.published.Load(); p != nil {
		view.Scans = r.survey(p)
		contested := p.policy.Contested()
		for _, address := range slices.Sorted(maps.Keys(contested)) {
			owners := contested[address]
			if !slices.Contains(owners, e.Name) {
				continue
			}
			if len(view.Contested) < explained {
				owners = r.claims(ctx, address, owners)
			}
			view.Contested = append(view.Contested, fmt.Sprintf("%s (%s)", address, strings.Join(owners, "; ")))
		}
	}
	return view, nil
}
