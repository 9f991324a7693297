// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// dataBoundaries reports how far a boundary is in force, and lets a deleted one go only
// when it was withdrawn.
type dataBoundaries struct {
	*hub
	// told is what was told to cross, by boundary.
	told map[string]told
}

func setupDataBoundary(mgr manager.Manager, h *hub) error {
	return ctrl.NewControllerManagedBy(mgr).Named("databoundary").
		For(&skottv1.DataBoundary{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&skottv1.Environment{}, h.allBoundaries(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(h.bell.listen(h.allBoundaries())).
		Complete(&dataBoundaries{hub: h, told: map[string]told{}})
}

// Reconcile computes the status of a DataBoundary.
func (r *dataBoundaries) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &skottv1.DataBoundary{}
	if err := r.Get(ctx, req.NamespacedName, b); err != nil {
		delete(r.told, req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.hold(ctx, b); err != nil {
		return ctrl.Result{}, err
	}
	p := r.published.Load()
	if p == nil {
		return ctrl.Result{}, nil // the bell rings when there is a policy
	}
	left := r.actsFor(b)
	clusters := r.clusters(p)
	if left <= 0 && withdrawn(p, b.Name, clusters) {
		r.events.Eventf(b, nil, corev1.EventTypeWarning, "Withdrawn", "Delete", "DataBoundary %q was deleted and is withdrawn from every cluster that could be reached", b.Name)
		return ctrl.Result{}, r.release(ctx, b)
	}
	before := b.DeepCopy()
	view := r.view(p, b, clusters)
	view.Scans = concerning(r.survey(p), view)
	if !equality.Semantic.DeepEqual(p.boundaries[b.Name], &b.Spec) { // it was changed, and is not published yet
		for i := range view.Scans.Clusters {
			view.Scans.Clusters[i].Outdated = true
		}
	}
	result := ctrl.Result{}
	if !b.DeletionTimestamp.IsZero() {
		view.RemovedAt, _ = r.graces.end(b, r.options.BoundaryGrace, r.now())
		result.RequeueAfter = max(left, time.Second)
	}
	status.DataBoundary(b, view)
	r.tell(b, before.Status.Breakdown, view.Scans)
	return result, r.patchStatus(ctx, before, b, unchanged(before.Status, b.Status))
}

// clusters are all clusters of the fleet that are guarded for themselves.
func (h *hub) clusters(p *publication) []status.Cluster {
	var out []status.Cluster
	engaged := h.members()
	for _, name := range slices.Sorted(maps.Keys(p.clusters)) {
		m, ok := engaged[name]
		if !ok { // never connected: not proved, and not to be forgotten
			out = append(out, status.Cluster{ManagementCluster: name, Guard: status.GuardState{Phase: status.Unreachable, Reason: skottv1.ReasonWaitingForConnection}})
			continue
		}
		if m.Duplicate != "" {
			continue
		}
		for _, c := range append([]status.Cluster{m.Self}, m.Clusters...) {
			if _, known := p.guarded(c); known && c.GuardedAs == "" {
				out = append(out, c)
			}
		}
	}
	return out
}

// withdrawn reports whether every cluster that answers holds a revision without the boundary.
func withdrawn(p *publication, name string, clusters []status.Cluster) bool {
	if p.policy.Knows(name) {
		return false
	}
	return !slices.ContainsFunc(clusters, func(c status.Cluster) bool {
		return c.Guard.Phase != status.Unreachable && c.Guard.Phase != status.NotGuardable && c.Guard.Revision != p.desired(c)
	})
}

// view is what the status of a boundary is judged by: the clusters of its two sides, as they are now.
func (r *dataBoundaries) view(p *publication, b *skottv1.DataBoundary, clusters []status.Cluster) status.BoundaryView {
	selection := p.policy.Selects(b.Name)
	view := status.BoundaryView{From: selection.From, To: selection.To, Missing: selection.Missing, Desired: p.desired, Revision: p.revision}
	for _, c := range clusters {
		g, _ := p.guarded(c)
		if strings.HasPrefix(g.Environment, "@") || slices.Contains(selection.From, g.Environment) || slices.Contains(selection.To, g.Environment) {
			view.Clusters = append(view.Clusters, c)
		}
	}
	for _, place := range selection.From {
		view.Addresses += p.policy.Addresses(place)
	}
	for address, places := range p.policy.Contested() {
		in := func(side []string) bool {
			return slices.ContainsFunc(places, func(place string) bool { return slices.Contains(side, place) })
		}
		if in(selection.From) && in(selection.To) {
			view.Contested = append(view.Contested, address)
		}
	}
	return view
}
