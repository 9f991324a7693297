// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
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
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/ledger"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// writers write DataLocations at the same time: a cluster that is new brings thousands.
	writers = 16
	// bulkSize is how many new addresses are published together.
	bulkSize = 200
	// auditInterval is how often the book is looked through when nothing happens.
	auditInterval = time.Hour
)

// learner writes what the fleet learned into the book. It has one key and is level-based: it
// compares all that is seen with all that is written.
type learner struct {
	*hub
	selector labels.Selector
	// table that learning was made from, with the key for Secrets, and what ManagementClusters
	// learn.
	table    *flow.Table
	key      *fingerprints
	learning fleet.Learning
	learns   map[string]extent
}

// setupLearner adds the controller that writes what was learned. Everything that may change the book
// asks for the same one request.
func setupLearner(mgr manager.Manager, h *hub) error {
	selector, err := labels.Parse(h.options.Selector)
	if err != nil {
		return fmt.Errorf("cannot parse the selector of ManagementClusters: %w", err)
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "book"}}}
	})
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	// What it writes itself is no news to it, unless somebody takes it away.
	others := builder.WithPredicates(predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return !isLearned(e.Object) },
		UpdateFunc:  func(e event.UpdateEvent) bool { return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() },
		DeleteFunc:  func(event.DeleteEvent) bool { return true },
		GenericFunc: func(event.GenericEvent) bool { return false },
	})
	return ctrl.NewControllerManagedBy(mgr).Named("learner").
		Watches(&skottv1.ManagementCluster{}, one, changed).
		Watches(&skottv1.Environment{}, one, changed).
		Watches(&skottv1.DataLocation{}, one, others).
		WatchesRawSource(h.learned.listen(one)).
		Complete(&learner{hub: h, selector: selector})
}

func isLearned(o client.Object) bool { return o.GetLabels()[skottv1.LabelOrigin] == originLearned }

// Reconcile makes the book say what is seen.
func (r *learner) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	p := r.published.Load()
	if p == nil {
		return ctrl.Result{}, nil // the bell rings when there is a policy
	}
	clusters, environments, locations := &skottv1.ManagementClusterList{}, &skottv1.EnvironmentList{}, &skottv1.DataLocationList{}
	for _, list := range []client.ObjectList{clusters, environments, locations} {
		if err := r.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return ctrl.Result{}, fmt.Errorf("cannot list %T: %w", list, err)
		}
	}
	r.teach(p.policy.Rules().Table(), clusters.Items)
	v := r.view(clusters.Items, environments.Items)
	changes := ledger.Plan(ledger.Input{
		Now: r.now(), Retention: r.options.Retention, Existing: locations.Items,
		Sightings: v.sightings(), Production: v.production, Absent: v.absence,
	})
	if len(changes.Blocked) > 0 {
		ctrl.LoggerFrom(ctx).Info("Learned addresses cannot be written, because others have written DataLocations of these names", "names", status.Names(changes.Blocked))
	}
	if err := r.write(ctx, changes, v); err != nil {
		r.recorder.Error(false)
		return ctrl.Result{}, err
	}
	again := auditInterval
	if !changes.Next.IsZero() {
		again = min(again, max(changes.Next.Sub(r.now()), settle))
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// extent is how much is learned from a ManagementCluster.
type extent struct{ objects, secrets bool }

// teach tells the fleet what to learn, when that is something else than before.
func (r *learner) teach(table *flow.Table, clusters []skottv1.ManagementCluster) {
	learns, key := map[string]extent{}, r.keys.Load()
	same := r.table == table && r.key == key && len(r.learns) == len(clusters)
	for i := range clusters {
		mc := &clusters[i]
		objects := mc.Learns() && mc.EnvironmentName() != ""
		learns[mc.Name] = extent{objects: objects, secrets: objects && reads(mc)}
		before, known := r.learns[mc.Name]
		same = same && known && before == learns[mc.Name]
	}
	if same {
		return
	}
	if r.table != table {
		r.table, r.learning = table, learning(table)
	}
	r.learns, r.key = learns, key
	everything, nothing := r.learning, fleet.Learning{Revision: "nothing"}
	secretsToo := withSecrets(everything, key, r.options.Namespace)
	r.fleet.Learn(func(c fleet.Cluster) (fleet.Learning, bool) {
		here, known := learns[c.ManagementCluster]
		switch {
		case here.secrets:
			return secretsToo, true
		case here.objects:
			return everything, true
		}
		return nothing, known
	})
}

// write makes the changes, creations first: they are what refuses.
func (r *learner) write(ctx context.Context, c ledger.Changes, v *fleetView) error {
	r.bulk.Store(len(c.Create) > bulkSize)
	statuses := make([]ledger.Change, len(c.Create), len(c.Create)+len(c.Update))
	err := parallel(len(c.Create), func(i int) error {
		d := c.Create[i]
		wanted := d.Status
		if err := r.Create(ctx, d, client.FieldOwner(skottv1.FieldOwner)); apierrors.IsAlreadyExists(err) {
			return nil // the cache is behind; what is to be said of it will be said when it is seen
		} else if err != nil {
			return fmt.Errorf("cannot write down a learned address in DataLocation %q: %w", d.Name, err)
		}
		statuses[i].Before, statuses[i].After = d, d.DeepCopy()
		statuses[i].After.Status = wanted
		// The rest of the status would be a third write.
		status.DataLocation(statuses[i].After, v.environments[d.Spec.EnvironmentRef.Name] != nil, nil, nil)
		return nil
	})
	r.bulk.Store(false)
	statuses = append(statuses, c.Update...)
	return errors.Join(err,
		parallel(len(statuses), func(i int) error {
			if statuses[i].Before == nil {
				return nil
			}
			return r.patchStatus(ctx, statuses[i].Before, statuses[i].After, false)
		}),
		parallel(len(c.Delete), func(i int) error {
			d := &skottv1.DataLocation{}
			d.Name = c.Delete[i].Name
			if err := r.Delete(ctx, d, client.Preconditions{UID: &c.Delete[i].UID}); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("cannot delete DataLocation %q: %w", d.Name, err)
			}
			return nil
		}))
}

// parallel does n things, some at a time, and returns the first error. One that fails keeps
// no other from being done.
func parallel(n int, do func(int) error) error {
	var (
		next  atomic.Int64
		once  sync.Once
		first error
		all   sync.WaitGroup
	)
	for range min(n, writers) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	all.Wait()
	return first
}

// fleetView is what is known of the fleet at one moment.
type fleetView struct {
	clusters     map[string]*skottv1.ManagementCluster
	environments map[string]*skottv1.Environment
	members      map[string]status.Member
	learned      map[string]fleet.Learned // by key of the cluster
	mine         func(*skottv1.ManagementCluster) bool
}

// view is what is known now, by name or key, for one pass.
func (r *learner) view(clusters []skottv1.ManagementCluster, environments []skottv1.Environment) *fleetView {
	v := &fleetView{
		clusters: map[string]*skottv1.ManagementCluster{}, environments: map[string]*skottv1.Environment{},
		members: r.members(), learned: map[string]fleet.Learned{},
		mine: func(mc *skottv1.ManagementCluster) bool { return r.selector.Matches(labels.Set(mc.Labels)) },
	}
	for i := range clusters {
		v.clusters[clusters[i].Name] = &clusters[i]
	}
	for i := range environments {
		v.environments[environments[i].Name] = &environments[i]
	}
	for _, l := range r.fleet.Learned() {
		v.learned[l.Cluster.Key()] = l
	}
	return v
}

// production reports whether what belongs to an Environment may not leave it. What does not
// exist counts as production, as it does in the policies.
func (v *fleetView) production(environment string) bool {
	e := v.environments[environment]
	return e == nil || e.EffectiveClass() == skottv1.ClassProduction
}

// owner is the Environment of an object: that of the cluster, unless its Namespace says
// otherwise and may, which is only ever downwards in trust.
func (v *fleetView) owner(cluster, namespace string) string {
	if namespace != "" && !v.production(namespace) {
		return namespace
	}
	return cluster
}

// sightings are all addresses that are seen.
func (v *fleetView) sightings() []ledger.Sighting {
	n := 0
	for _, l := range v.learned {
		n += len(l.Objects)
	}
	out := make([]ledger.Sighting, 0, n)
	for _, l := range v.learned {
		mc := v.clusters[l.Cluster.ManagementCluster]
		if mc == nil || !mc.Learns() || mc.EnvironmentName() == "" || l.Cluster.GuardedAs != "" {
			continue
		}
		cluster := ""
		if l.Cluster.Name != "" {
			cluster = l.Cluster.Namespace + "/" + l.Cluster.Name
		}
		for i := range l.Objects {
			o := &l.Objects[i]
			environment := v.owner(mc.EnvironmentName(), o.Environment)
			for _, f := range o.Found {
				out = append(out, ledger.Sighting{Environment: environment, Type: address.Type(f.Type), Text: f.Value, Origin: skottv1.Origin{
					ManagementCluster: mc.Name, Cluster: cluster, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Path: f.Path}})
			}
		}
	}
	return out
}

// absence says what it means that an origin is not seen.
func (v *fleetView) absence(o skottv1.Origin) ledger.Absence {
	mc := v.clusters[o.ManagementCluster]
	switch {
	case mc == nil:
		return ledger.Gone
	case !v.mine(mc):
		return ledger.Foreign
	case !mc.Learns() || mc.EnvironmentName() == "":
		return ledger.Gone
	}
	m, engaged := v.members[mc.Name]
	if !engaged || m.Duplicate != "" {
		return ledger.Unknown
	}
	c := m.Self
	if o.Cluster != "" {
		var found bool
		if c, found = clusterOf(m, o.Cluster); !found {
			if m.ClustersListed {
				return ledger.Gone
			}
			return ledger.Unknown
		}
	}
	key := c.Key()
	if c.GuardedAs != "" {
		key = c.GuardedAs // under which its objects are seen
	}
	if l, ok := v.learned[key]; ok && l.Knows(o.Kind) {
		return ledger.Gone
	}
	return ledger.Unknown
}

// clusterOf finds a Cluster, NAMESPACE/NAME, of a member.
func clusterOf(m status.Member, cluster string) (status.Cluster, bool) {
	namespace, name, _ := strings.Cut(cluster, "/")
	for _, c := range m.Clusters {
		if c.Namespace == namespace && c.Name == name {
			return c, true
		}
	}
	return status.Cluster{}, false
}
