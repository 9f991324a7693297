// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/status"
)

// managementClusters engages what ManagementClusters name, and reports what came of it.
type managementClusters struct {
	*hub
	selector labels.Selector
	// rolls remember which clusters were proved, by ManagementCluster.
	rolls map[string]*status.Roll
}

// setupManagementCluster adds the controller that engages clusters. A change of a Secret asks for the
// ManagementClusters that it leads to.
func setupManagementCluster(mgr manager.Manager, h *hub) error {
	selector, err := labels.Parse(h.options.Selector)
	if err != nil {
		return fmt.Errorf("cannot parse the selector of ManagementClusters: %w", err)
	}
	secrets := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, s client.Object) []reconcile.Request {
		list := &skottv1.ManagementClusterList{}
		if err := h.List(ctx, list); err != nil {
			return nil
		}
		var out []reconcile.Request
		for i := range list.Items {
			if ref := secretOf(&list.Items[i]); ref != nil && *ref == client.ObjectKeyFromObject(s) {
				out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: list.Items[i].Name}})
			}
		}
		return out
	})
	return ctrl.NewControllerManagedBy(mgr).Named("managementcluster").
		For(&skottv1.ManagementCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&skottv1.Environment{}, h.allManagementClusters(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesMetadata(&corev1.Secret{}, secrets).
		WatchesRawSource(h.bell.listen(h.allManagementClusters())).
		Complete(&managementClusters{hub: h, selector: selector, rolls: map[string]*status.Roll{}})
}

// Reconcile engages the cluster, or disengages it when it was deleted, and computes its
// status last.
func (r *managementClusters) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	mc := &skottv1.ManagementCluster{}
	if err := r.Get(ctx, req.NamespacedName, mc); err != nil {
		delete(r.rolls, req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !r.selector.Matches(labels.Set(mc.Labels)) {
		r.fleet.Disengage(mc.Name)
		return ctrl.Result{}, nil
	}
	if !mc.DeletionTimestamp.IsZero() {
		// The guards in its clusters stay and keep refusing: to lose sight of a cluster
		// is no reason to open it.
		r.fleet.Disengage(mc.Name)
		return ctrl.Result{}, r.release(ctx, mc)
	}
	if err := r.hold(ctx, mc); err != nil {
		return ctrl.Result{}, err
	}
	before := mc.DeepCopy()
	connection, err := r.engage(ctx, mc)
	if err != nil {
		return ctrl.Result{}, err
	}
	var member *status.Member
	if m, ok := r.fleet.Member(mc.Name); ok {
		member = &m
		err = r.record(ctx, mc, m)
	}
	status.ManagementCluster(mc, connection, member, r.current)
	status.DenialsCollected(mc, member, r.denials.view())
	if member != nil {
		mc.Status.Ungoverned = status.UngovernedKinds(member, r.governs)
		if r.rolls[mc.Name] == nil {
			r.rolls[mc.Name] = &status.Roll{}
		}
		r.tell(mc, r.rolls[mc.Name].Happenings(member, r.current, meta.IsStatusConditionTrue(before.Status.Conditions, skottv1.ConditionGuarded)))
	}
	return ctrl.Result{RequeueAfter: r.again(mc)}, errors.Join(err, r.patchStatus(ctx, before, mc, unchanged(before.Status, mc.Status)))
}

// again is when the Secret is read anew if nothing wakes the reconciler before: one that is
// wrong may be put right, and one outside the operator's namespace, where Secrets are not
// watched, may be rotated while all seems well. Zero is never.
func (r *managementClusters) again(mc *skottv1.ManagementCluster) time.Duration {
	ref := secretOf(mc)
	watched := ref == nil || ref.Namespace == r.options.Namespace
	if watched && meta.IsStatusConditionTrue(mc.Status.Conditions, skottv1.ConditionReachable) {
		if mc.Spec.Audit != nil {
			return auditLook // silence wakes nobody
		}
		return 0
	}
	return retryInterval
}

// engage resolves the connection and hands it to the fleet. A connection that cannot be
// used leaves an engagement as it is: what is guarded stays so.
func (r *managementClusters) engage(ctx context.Context, mc *skottv1.ManagementCluster) (status.Connection, error) {
	environment := &skottv1.Environment{}
	missing := false
	if name := mc.EnvironmentName(); name != "" {
		err := r.Get(ctx, types.NamespacedName{Name: name}, environment)
		if client.IgnoreNotFound(err) != nil {
			return status.Connection{}, err
		}
		missing = apierrors.IsNotFound(err)
	}
	connection := status.Connection{EnvironmentMissing: missing}
	config, problem := r.config(ctx, mc)
	if problem != nil {
		connection.Reason, connection.Message = problem.reason, problem.message
		return connection, nil
	}
	err := r.fleet.Engage(ctx, fleet.Target{
		Name: mc.Name, Created: mc.CreationTimestamp.Time, Environment: mc.EnvironmentName(), Stage: string(environment.Spec.Stage),
		Datacenter: mc.Spec.Datacenter, Role: mc.Spec.Role, Config: config, InCluster: mc.Spec.Connection.InCluster != nil,
		NoReports: reportPlace(mc) != skottv1.ReportsInCluster,
	})
	if err != nil {
		connection.Reason, connection.Message = skottv1.ReasonConnectionNotSupported, err.Error()
	}
	return connection, nil
}

// secretOf is the Secret that a ManagementCluster is reached by, or nil.
func secretOf(mc *skottv1.ManagementCluster) *types.NamespacedName {
	switch c := mc.Spec.Connection; {
	case c.KubeconfigSecretRef != nil:
		return &types.NamespacedName{Namespace: c.KubeconfigSecretRef.Namespace, Name: c.KubeconfigSecretRef.Name}
	case c.ArgoCDClusterSecretRef != nil:
		return &types.NamespacedName{Namespace: c.ArgoCDClusterSecretRef.Namespace, Name: c.ArgoCDClusterSecretRef.Name}
	}
	return nil
}

// governs reports whether a kind is in the table in use.
func (h *hub) governs(group, resource string) bool {
	table := flow.Builtin()
	if p := h.published.Load(); p != nil {
		table = p.policy.Rules().Table()
	}
	return table.Lookup(group, resource) != nil
}
