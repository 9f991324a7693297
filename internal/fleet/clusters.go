// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	kerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/controllers/clustercache"
	"sigs.k8s.io/cluster-api/util/secret"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

const (
	// connectAtOnce Clusters may be connected to at the same time: one that does not answer
	// holds its place for many seconds, and must not delay the others.
	connectAtOnce = 100
	labelAtOnce   = 10
	shutdownWait  = 15 * time.Second
)

// clusters labels the Clusters of one member, and starts and ends their guard loops.
type clusters struct {
	member *member
	client client.Client
	// live reads past the cache.
	live  client.Reader
	cache clustercache.ClusterCache
	// session outlives a manager that fails, and with it do the guard loops.
	session context.Context //nolint:containedctx // loops must not end with a Reconcile
}

// manage follows the Clusters of the member until the context ends.
func (m *member) manage(ctx, session context.Context, config *rest.Config) error {
	mgr, err := manager.New(config, managerOptions(ctx))
	if err != nil {
		return fmt.Errorf("cannot create a manager: %s", brief(err))
	}
	options := m.fleet.options
	cc, err := clustercache.SetupWithManager(ctx, mgr, clustercache.Options{
		SecretClient: mgr.GetAPIReader(),
		Client:       clustercache.ClientOptions{Timeout: options.Timeout, QPS: qps, Burst: burst, UserAgent: userAgent},
	}, controller.Options{MaxConcurrentReconciles: connectAtOnce, SkipNameValidation: ptr.To(true)})
	if err != nil {
		return fmt.Errorf("cannot set up the connections to Clusters: %w", err)
	}
	if c, ok := cc.(interface{ SetConnectionCreationRetryInterval(time.Duration) }); ok {
		c.SetConnectionCreationRetryInterval(options.ProbeInterval)
	}
	r := &clusters{member: m, client: mgr.GetClient(), live: mgr.GetAPIReader(), cache: cc, session: session}
	// ClusterCache blocks for ever when it has an event and nobody listens any more, and it
	// ends its caches only when told to. So listening ends after the manager has.
	listening, endListening := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if c, ok := cc.(interface{ Shutdown() }); ok {
			c.Shutdown()
		}
		endListening()
		m.closeIdle()
	}()
	if err := r.setUp(listening, mgr); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func managerOptions(ctx context.Context) manager.Options {
	return manager.Options{
		Scheme:                  scheme,
		Logger:                  ctrllog.FromContext(ctx),
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Cache:                   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Controller:              config.Controller{SkipNameValidation: ptr.To(true)},
		GracefulShutdownTimeout: ptr.To(shutdownWait),
	}
}

// setUp registers the controller: it hears of Clusters whose spec or labels change, of connections
// until listening ends, and of what the member asks for again.
func (r *clusters) setUp(listening context.Context, mgr manager.Manager) error {
	connected := r.cache.GetClusterSource("cluster", func(_ context.Context, o client.Object) []ctrl.Request {
		return []ctrl.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
	})
	err := builder.ControllerManagedBy(mgr).Named("cluster").
		For(&clusterv1.Cluster{}, builder.WithPredicates(predicate.Or(predicate.LabelChangedPredicate{}, predicate.GenerationChangedPredicate{}))).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			return connected.Start(listening, q)
		})).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			r.member.setEnqueue(func(name types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: name}) })
			return nil
		})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: labelAtOnce,
			ReconciliationTimeout:   r.member.fleet.options.Timeout,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffFirst, backoffLast),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("cannot set up the Cluster controller: %w", err)
	}
	return mgr.Add(manager.RunnableFunc(r.forgetMissing))
}

// forgetMissing takes stock: it removes the Clusters that went while nobody was watching,
// and knows of all others from then on.
func (r *clusters) forgetMissing(ctx context.Context) error {
	list := &clusterv1.ClusterList{}
	if err := r.client.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list clusters of %q: %w", r.member.name, err)
	}
	exist := make(map[types.NamespacedName]bool, len(list.Items))
	for i := range list.Items {
		cluster := &list.Items[i]
		exist[client.ObjectKeyFromObject(cluster)] = true
		s := r.member.station(client.ObjectKeyFromObject(cluster), cluster.CreationTimestamp.Time)
		s.update(func(c *Cluster) { c.Endpoint = endpointOf(cluster) })
	}
	r.member.forget(func(name types.NamespacedName) bool { return !exist[name] })
	r.member.update(func(m *Member) { m.ClustersListed = true })
	r.member.relabelAll() // one that went since it was listed is forgotten when it is looked at
	return nil
}

// Reconcile implements reconcile.Reconciler for one Cluster.
func (r *clusters) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cluster := &clusterv1.Cluster{}
	if err := r.client.Get(ctx, req.NamespacedName, cluster); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.member.forget(func(name types.NamespacedName) bool { return name == req.NamespacedName })
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("cannot get Cluster: %w", err)
	}
	s := r.member.station(req.NamespacedName, cluster.CreationTimestamp.Time)
	s.update(func(c *Cluster) { c.Endpoint = endpointOf(cluster) })
	again, connectErr := r.connect(ctx, s, cluster)
	relabel, labelErr := r.label(ctx, s, cluster)
	if again == 0 || relabel > 0 && relabel < again {
		again = relabel
	}
	return ctrl.Result{RequeueAfter: again}, kerrors.NewAggregate([]error{connectErr, labelErr})
}

func endpointOf(cluster *clusterv1.Cluster) string {
	e := cluster.Spec.ControlPlaneEndpoint
	if e.Host == "" {
		return ""
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// connect runs the guard loop with the connection that Cluster API has, and says when to
// look again if it has none.
func (r *clusters) connect(ctx context.Context, s *station, cluster *clusterv1.Cluster) (time.Duration, error) {
	key := client.ObjectKeyFromObject(cluster)
	given, err := r.cache.GetRESTConfig(ctx, key)
	if errors.Is(err, clustercache.ErrClusterNotConnected) {
		return r.member.fleet.options.ProbeInterval, r.disconnected(ctx, s, key)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot get the connection: %w", err)
	}
	s.update(func(c *Cluster) { c.HasKubeconfig = true })
	want := fingerprint(given)
	if present := s.guarding(); present != nil && present.fingerprint == want {
		return 0, nil
	}
	l, err := newLink(given, false, r.member.fleet.options)
	if err != nil {
		s.update(func(c *Cluster) { c.Guard.Enter(time.Now(), Unreachable, skottv1.ReasonInvalidKubeconfig, brief(err)) })
		return r.member.fleet.options.ProbeInterval, nil //nolint:nilerr // it is in the state, and trying again changes nothing
	}
	started := newLoop(s, l)
	started.given, started.fingerprint = given, want
	log := ctrllog.FromContext(r.session).WithValues("cluster", key)
	s.guard(ctrllog.IntoContext(r.session, log), started)
	return 0, nil
}

// disconnected says why there is no connection. A guard loop that runs has its own, and
// finds out for itself.
func (r *clusters) disconnected(ctx context.Context, s *station, key client.ObjectKey) error {
	found, err := getMetadata(ctx, r.live, corev1.SchemeGroupVersion.WithKind("Secret"),
		client.ObjectKey{Namespace: key.Namespace, Name: secret.Name(key.Name, secret.Kubeconfig)})
	if err != nil {
		return err
	}
	s.update(func(c *Cluster) { c.HasKubeconfig = found != nil })
	if s.guarding() != nil {
		s.doubt()
		return nil
	}
	tried := r.cache.GetHealthCheckingState(ctx, key).ConsecutiveFailures > 0
	s.update(func(c *Cluster) {
		switch {
		case found == nil:
			c.Guard.Enter(time.Now(), Unknown, reasonWaitingForKubeconfig, "Cluster API has not written the kubeconfig yet")
		case tried:
			c.Guard.Enter(time.Now(), Unreachable, skottv1.ReasonUnreachable, "the API server does not answer, or refuses the kubeconfig of the Cluster")
		default:
			c.Guard.Enter(time.Now(), Unknown, reasonWaitingForCluster, "Cluster API has not provisioned the cluster yet")
		}
	})
	return nil
}

// label puts the labels on the Cluster, and says when time alone changes them.
func (r *clusters) label(ctx context.Context, s *station, cluster *clusterv1.Cluster) (time.Duration, error) {
	guarded, again := r.guarded(s, cluster)
	want := labelsFor(r.member.currentTarget(), guarded)
	if carries(cluster.Labels, want) {
		s.labelled(want)
		return again, nil
	}
	restored := maps.Equal(s.lastLabels(), want)
	if restored { // or the cache is behind
		live, err := getMetadata(ctx, r.live, clusterv1.GroupVersion.WithKind("Cluster"), client.ObjectKeyFromObject(cluster))
		if err != nil || live == nil || carries(live.Labels, want) {
			return again, err
		}
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(clusterv1.GroupVersion.WithKind("Cluster"))
	u.SetNamespace(cluster.Namespace)
	u.SetName(cluster.Name)
	u.SetUID(cluster.UID) // never creates a Cluster that was just deleted
	u.SetLabels(want)
	err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.ForceOwnership, client.FieldOwner(skottv1.FieldOwner))
	if err != nil {
		s.update(func(c *Cluster) { c.Labelled = false })
		return again, fmt.Errorf("cannot label Cluster: %w", err)
	}
	s.labelled(want)
	if restored {
		r.member.fleet.options.Observer.Restored(s.key(), "Cluster", cluster.Name)
	}
	return again, nil
}

// guarded is what the label should say. After a restart nothing is proved yet; what the
// earlier process wrote stands for as long as a proof may take.
func (r *clusters) guarded(s *station, cluster *clusterv1.Cluster) (bool, time.Duration) {
	now, state, started := time.Now(), s.snapshot().Guard, r.member.fleet.started
	fresh := state.ProvedRevision == "" && (state.Phase == Unknown || state.Phase == Publishing || state.Phase == Published)
	if left := started.Add(proofGrace).Sub(now); fresh && left > 0 && cluster.CreationTimestamp.Time.Before(started) {
		return cluster.Labels[skottv1.LabelGuarded] == "true", left
	}
	return guardedNow(state, now)
}
