// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// argoCD labels the cluster Secrets of Argo CD that point to a cluster of the fleet, so that
// an ApplicationSet can select clusters by Environment and wait for their guard.
type argoCD struct{ *hub }

// argoCDInterval is how often the Secrets are looked at when nothing else happens: they are
// not watched, because only a Role in Argo CD's own namespace allows to read them.
const argoCDInterval = 15 * time.Second

// argoCDSecret selects the cluster Secrets.
var argoCDSecret = client.MatchingLabels{"argocd.argoproj.io/secret-type": "cluster"}

func setupArgoCD(mgr manager.Manager, h *hub) error {
	if h.options.ArgoCDNamespace == "" {
		return nil
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "secrets"}}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("argocd").
		Watches(&skottv1.ManagementCluster{}, one).
		WatchesRawSource(h.bell.listen(one)).
		Complete(&argoCD{h})
}

// Reconcile labels every cluster Secret.
func (r *argoCD) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	secrets := &corev1.SecretList{}
	err := r.reader.List(ctx, secrets, client.InNamespace(r.options.ArgoCDNamespace), argoCDSecret)
	if apierrors.IsForbidden(err) {
		return ctrl.Result{RequeueAfter: 10 * time.Minute}, nil // the component config/argocd is not installed
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("cannot list the cluster Secrets of Argo CD: %w", err)
	}
	known := r.labelsByEndpoint()
	for i := range secrets.Items {
		s := &secrets.Items[i]
		want, ok := known[endpointOf(string(s.Data["server"]))]
		if !ok || hasLabels(s.Labels, want) {
			continue
		}
		if err := r.label(ctx, s, want); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: argoCDInterval}, nil
}

func (r *argoCD) label(ctx context.Context, s *corev1.Secret, want map[string]string) error {
	apply := &unstructured.Unstructured{}
	apply.SetAPIVersion("v1")
	apply.SetKind("Secret")
	apply.SetNamespace(s.Namespace)
	apply.SetName(s.Name)
	apply.SetLabels(want)
	err := r.Apply(ctx, client.ApplyConfigurationFromUnstructured(apply), client.FieldOwner(skottv1.FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("cannot label Secret %q of Argo CD: %w", s.Name, err)
	}
	return nil
}

// labelsByEndpoint are the labels of every cluster of the fleet, by host:port.
func (r *argoCD) labelsByEndpoint() map[string]map[string]string {
	out := map[string]map[string]string{}
	p := r.published.Load()
	if p == nil {
		return out
	}
	for _, m := range r.fleet.State() {
		for _, c := range append([]status.Cluster{m.Self}, m.Clusters...) {
			g, ok := p.guarded(c)
			if !ok || c.Endpoint == "" || m.Duplicate != "" || strings.HasPrefix(g.Environment, "@") {
				continue
			}
			out[endpointOf(c.Endpoint)] = map[string]string{
				skottv1.LabelEnvironment: g.Environment, skottv1.LabelStage: g.Stage, skottv1.LabelDatacenter: g.Datacenter,
				skottv1.LabelManagementCluster: g.ManagementCluster,
				skottv1.LabelGuarded:           map[bool]string{true: "true", false: "false"}[c.Guard.Phase == status.Enforced && r.current(c)],
			}
		}
	}
	return out
}

// endpointOf is host:port of a server URL.
func endpointOf(server string) string {
	host := strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(server), "https://"), "/")
	if !strings.Contains(host, ":") {
		host += ":443"
	}
	return host
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}
