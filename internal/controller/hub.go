// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/config/crd"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/status"
)

// Options of the operator.
type Options struct {
	// Namespace of the operator, whose Secrets are watched.
	Namespace string
	// ArgoCDNamespace holds Argo CD's cluster Secrets, which are labelled; "" for none.
	ArgoCDNamespace string
	// BoundaryGrace is how long a deleted DataBoundary keeps acting.
	BoundaryGrace time.Duration
	// CanaryInterval between two proofs of an unchanged cluster.
	CanaryInterval time.Duration
	// ProbeInterval between two looks whether a Management Cluster answers.
	ProbeInterval time.Duration
	// SurveyInterval between two looks at the security measures of a cluster.
	SurveyInterval time.Duration
	// ScanInterval between two rounds over all that a cluster holds.
	ScanInterval time.Duration
	// Retention is how long a learned address stays after it was last seen.
	Retention time.Duration
	// GuardImage is the image of the guard webhook that is deployed into guarded clusters; ""
	// if it was given none.
	GuardImage string
	// AuditAddress to take audit events on; "" or "0" for none. AuditCertificates is the folder
	// of its tls.crt and tls.key.
	AuditAddress, AuditCertificates string
	// DecisionLog is the file of the decision record, "" for none, and DecisionLogSize the
	// bytes at which another is begun.
	DecisionLog     string
	DecisionLogSize int64
	// Selector chooses the ManagementClusters of this instance; empty for all.
	Selector string
}

// retryInterval is how long a ManagementCluster that is not reached, or whose Secret is not
// watched, waits before the Secret is read again, when nothing wakes it earlier.
const retryInterval = 15 * time.Second

// settle is how long observations of the fleet are gathered before they are acted on.
const settle = 200 * time.Millisecond

// settlePer cluster they are gathered at least: to look at all costs more the more there are,
// and in a large fleet something is always observed.
const settlePer = 2 * time.Millisecond

// hub is what all reconcilers share.
type hub struct {
	client.Client
	// reader reads Secrets, which are not cached: whoever reads memory finds none.
	reader   client.Reader
	options  Options
	fleet    *fleet.Fleet
	recorder *metrics.Recorder
	events   events.EventRecorder
	now      func() time.Time
	bell     *bell
	// learned rings when the fleet learned something.
	learned *bell
	// bulk: so many learned addresses are being written that each alone need not be published.
	bulk atomic.Bool
	// keys are the fingerprints' key, once it is needed; keyRetry belongs to the publisher.
	keys     atomic.Pointer[fingerprints]
	keyRetry time.Time
	// denials is who takes audit events.
	denials *denials
	// graces of deleted boundaries.
	graces graces
	// published is the policy that the fleet works by.
	published holder
}

// Setup adds every reconciler of the operator to mgr.
func Setup(mgr manager.Manager, options Options, recorder *metrics.Recorder) error {
	guardCRD, err := crd.Guard()
	if err != nil {
		return fmt.Errorf("cannot read the CRD of Guard: %w", err)
	}
	h := &hub{
		Client: mgr.GetClient(), reader: mgr.GetAPIReader(), options: options, recorder: recorder,
		events: mgr.GetEventRecorder(skottv1.FieldOwner), now: time.Now, bell: &bell{}, learned: &bell{},
	}
	h.fleet = fleet.New(fleet.Options{
		Namespace: options.Namespace, GuardCRD: guardCRD, CanaryInterval: options.CanaryInterval,
		ProbeInterval: options.ProbeInterval, SurveyInterval: options.SurveyInterval, ScanInterval: options.ScanInterval, Observer: &observer{h},
		Inspect: flow.Suspicions, Governs: func(group, resource string) bool { return flow.Builtin().Lookup(group, resource) != nil }, Learned: h.learned.ring,
	})
	if err := mgr.Add(h); err != nil {
		return err
	}
	if err := mgr.Add(&past{reader: h.reader, interval: cmp.Or(options.ProbeInterval, 10*time.Second)}); err != nil {
		return err
	}
	for _, setup := range []func(manager.Manager, *hub) error{
		setupDenials, setupPublisher, setupManagementCluster, setupEnvironment, setupDataLocation, setupDataBoundary, setupMovementKind, setupLearner, setupArgoCD, setupCentral,
	} {
		if err := setup(mgr, h); err != nil {
			return err
		}
	}
	return nil
}

// Start implements manager.Runnable: it rings the bell for what the fleet observes, and
// disengages everything in the end.
func (h *hub) Start(ctx context.Context) error {
	defer h.fleet.Close()
	go h.learned.run(ctx, func() time.Duration { return settle })
	h.bell.run(ctx, h.settling)
	return nil
}

// settling is how long what happens is gathered.
func (h *hub) settling() time.Duration {
	return max(settle, settlePer*time.Duration(h.fleet.Size()))
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader engages.
func (h *hub) NeedLeaderElection() bool { return true }

// patchStatus writes the status of an object if it differs from before, and tells what happened.
func (h *hub) patchStatus(ctx context.Context, before, after client.Object, same bool) error {
	if same {
		return nil
	}
	if err := h.Status().Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("cannot write the status of %T %q: %w", after, after.GetName(), err))
	}
	h.tellChanges(before, after)
	return nil
}

func unchanged(before, after any) bool { return equality.Semantic.DeepEqual(before, after) }

// clone copies an object; the copy of an object is one.
func clone(o client.Object) client.Object {
	c, _ := o.DeepCopyObject().(client.Object)
	return c
}

// hold adds the finalizer to an object that is not being deleted.
func (h *hub) hold(ctx context.Context, o client.Object) error {
	held := clone(o)
	if !o.GetDeletionTimestamp().IsZero() || !controllerutil.AddFinalizer(o, skottv1.Finalizer) {
		return nil
	}
	if err := h.Patch(ctx, o, client.MergeFrom(held)); err != nil {
		return fmt.Errorf("cannot add the finalizer of %q: %w", o.GetName(), err)
	}
	return nil
}

// release removes the finalizer.
func (h *hub) release(ctx context.Context, o client.Object) error {
	held := clone(o)
	if !controllerutil.RemoveFinalizer(o, skottv1.Finalizer) {
		return nil
	}
	if err := h.Patch(ctx, o, client.MergeFrom(held)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("cannot remove the finalizer of %q: %w", o.GetName(), err))
	}
	return nil
}

// members are the observed ManagementClusters by name.
func (h *hub) members() map[string]status.Member {
	out := map[string]status.Member{}
	for _, m := range h.fleet.State() {
		out[m.Name] = m
	}
	return out
}

// all enqueues every object of a list.
func all[T client.ObjectList](c client.Reader, newList func() T, items func(T) []string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
		list := newList()
		if err := c.List(ctx, list); err != nil {
			return nil
		}
		var out []reconcile.Request
		for _, name := range items(list) {
			out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
		return out
	})
}

func (h *hub) allEnvironments() handler.EventHandler {
	return all(h, func() *skottv1.EnvironmentList { return &skottv1.EnvironmentList{} }, func(l *skottv1.EnvironmentList) []string { return namesOf(l.Items) })
}

func (h *hub) allManagementClusters() handler.EventHandler {
	return all(h, func() *skottv1.ManagementClusterList { return &skottv1.ManagementClusterList{} }, func(l *skottv1.ManagementClusterList) []string { return namesOf(l.Items) })
}

func (h *hub) allLocations() handler.EventHandler {
	return all(h, func() *skottv1.DataLocationList { return &skottv1.DataLocationList{} }, func(l *skottv1.DataLocationList) []string { return namesOf(l.Items) })
}

func (h *hub) allBoundaries() handler.EventHandler {
	return all(h, func() *skottv1.DataBoundaryList { return &skottv1.DataBoundaryList{} }, func(l *skottv1.DataBoundaryList) []string { return namesOf(l.Items) })
}

// named is a pointer to an object.
type named[T any] interface {
	*T
	GetName() string
}

func namesOf[T any, P named[T]](items []T) []string {
	out := make([]string, len(items))
	for i := range items {
		out[i] = P(&items[i]).GetName()
	}
	return out
}

// bell wakes reconcilers when something was observed, or published. Rings that come close
// together count as one.
type bell struct {
	mu      sync.Mutex
	rung    bool
	waiting []chan event.GenericEvent
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rung = true
}

// run passes rings on, after a pause each, until the context ends.
func (b *bell) run(ctx context.Context, pause func() time.Duration) {
	timer := time.NewTimer(pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			b.pass()
			timer.Reset(pause())
		}
	}
}

// pass tells everybody who listens, once however often it was rung since.
func (b *bell) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.rung {
		return
	}
	b.rung = false
	for _, ch := range b.waiting {
		select {
		case ch <- event.GenericEvent{Object: &corev1.Secret{}}: // what it is does not matter: the handler lists
		default: // one is on its way already
		}
	}
}

// listen is a source of events that enqueues what the handler lists when the bell rings.
func (b *bell) listen(h handler.EventHandler) source.Source {
	b.mu.Lock()
	defer b.mu.Unlock()
	ch := make(chan event.GenericEvent, 1)
	b.waiting = append(b.waiting, ch)
	return source.Channel(ch, h)
}
