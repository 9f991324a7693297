// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// Reasons of a GuardState beside those of the API.
const (
	reasonWaitingForRevision   = "WaitingForRevision"
	reasonPoliciesNotServed    = "AdmissionPoliciesNotServed"
	reasonApplyNotServed       = "ServerSideApplyNotServed"
	reasonWaitingForCluster    = "WaitingForCluster"
	reasonWaitingForKubeconfig = "WaitingForKubeconfig"
)

const (
	backoffFirst = time.Second
	backoffLast  = time.Minute
	// passPause keeps a loop from running hot when somebody keeps undoing what it does.
	passPause = 100 * time.Millisecond
	// proofPause is the longest time between two proofs that fail: they are cheap, and an
	// API server that has just started denies everything for its own reasons at first.
	proofPause = 5 * time.Second
	// othersFirst is how long a proof waits at most, per cluster of the fleet, for Guards that are
	// being written elsewhere.
	othersFirst = 5 * time.Millisecond
	// slow times CanaryInterval is how often a cluster that cannot be guarded is looked at.
	slow = 5
)

// loop guards one API server. One goroutine runs it, and nothing of it is shared with
// another cluster, so that a slow API server delays only itself.
type loop struct {
	station *station
	link    *link
	// given is the connection of Cluster API that the loop's own was made from; nil for a
	// ManagementCluster itself, whose link does not end with the loop.
	given       *rest.Config
	fingerprint [sha256.Size]byte
	cancel      context.CancelFunc
	done        chan struct{}

	// What follows belongs to the goroutine.
	uid        types.UID
	capable    bool
	records    map[objectKey]record
	inspection inspection
	served     []string // API groups, as they were discovered at servedAt
	servedAt   time.Time
	applied    string // revision of which every object is in records
	distrust   bool   // a canary was not denied: every object has to be looked at, whatever watches say
	past       bool   // an object is older than the one that was written: the cluster was restored from a backup
	// pruned: nothing of Skott's is there that is not desired, as far as watches do not tell otherwise.
	pruned bool
	// verify is when what was found, and taken for what is desired, is written all the same; zero if nothing was.
	verify    time.Time
	watch     *watch
	learner   *learner
	proof     *proof // the one under way
	nextProof time.Time
	wholeDue  time.Time // when the next proof has to be of all policies
	// generation is what was written last of what was published, and writable that nothing failed since.
	generation int64
	writable   bool
	unproved   unproved
	acts       time.Time // by then everything that was written must act
	backoff    time.Duration
	// webhook follows what the loop has published; posted is the last of it.
	webhook *webhookLoop
	posted  posted
	// restored tells the scanner that the cluster was restored from a backup.
	restored atomic.Bool
}

// posted identifies what was handed to the webhook loop.
type posted struct {
	revision string
	webhook  *Webhook
}

func newLoop(s *station, l *link) *loop {
	loop := &loop{station: s, link: l, done: make(chan struct{}), records: map[objectKey]record{}}
	loop.webhook = newWebhookLoop(loop)
	return loop
}

func (l *loop) options() Options { return l.station.fleet.options }

// run guards the cluster until the context ends, and returns when everything beside it has ended too:
// the webhook, the survey, the reports, the scan and the learner.
func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	var beside sync.WaitGroup
	beside.Go(func() { l.webhook.run(ctx) })
	beside.Go(func() { (&surveyor{loop: l}).run(ctx) })
	beside.Go(func() { (&reporter{loop: l}).run(ctx) })
	beside.Go(func() { newScanner(l).run(ctx) })
	defer func() {
		l.counts(false)
		l.learner.end()
		beside.Wait()
		l.watch.wait()
		if l.given != nil {
			l.link.close()
		}
	}()
	for {
		next, err := l.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = l.failed(ctx, err)
		}
		if pause(ctx, l.rest()) != nil {
			return
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.station.wakes:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// rest is the pause after a pass. A Guard acts within milliseconds, so the first looks for
// a denial follow closely.
func (l *loop) rest() time.Duration {
	if l.proof == nil {
		return passPause
	}
	return min(passPause, 5*time.Millisecond<<min(l.proof.tries, 5))
}

// pass brings the cluster one step nearer to what is desired, and says when to look again
// if nothing wakes the loop before.
func (l *loop) pass(ctx context.Context) (time.Duration, error) {
	if next, err := l.admit(ctx); err != nil || next > 0 {
		return next, err
	}
	if l.learner == nil {
		learner, err := startLearner(ctx, l.station, l.link)
		if err != nil {
			return 0, err
		}
		l.learner = learner
	}
	if err := l.observe(ctx); err != nil {
		return 0, err
	}
	published := l.station.fleet.desire.Load()
	desired, ok := published.of(l.station.snapshot())
	if !ok {
		l.counts(false)
		l.enter(Unknown, reasonWaitingForRevision, "nothing was computed for the cluster yet")
		return l.options().CanaryInterval, nil
	}
	window, err := l.publish(ctx, desired)
	if ends := time.Now().Add(window); ends.After(l.acts) {
		l.acts = ends // also of what was written before it failed
	}
	if err != nil {
		return 0, err
	}
	l.delivered(published)
	if now := (posted{desired.Revision, desired.Webhook}); !reflect.DeepEqual(l.posted, now) {
		l.posted = now
		l.webhook.post(desired)
	}
	doubted := l.station.takeDoubt()
	if doubted {
		l.wholeDue = time.Time{}
	}
	switch left := time.Until(l.nextProof); {
	case window > 0:
		fleet := l.station.fleet
		fleet.writing.yield(ctx, min(othersFirst*time.Duration(fleet.Size()), proofGrace/3), published.superseded)
		l.proof = newProof(desired, l.canaries(desired, doubted), time.Until(l.acts))
	case l.proof != nil: // go on with it
	case !doubted && left > 0:
		return left, nil
	default:
		l.proof = newProof(desired, l.canaries(desired, doubted), proofOtherwise)
	}
	return l.prove(ctx)
}

// observe sees what of the cluster decides what it must hold: the Namespaces of an
// Environment of their own, and the API groups that it serves.
func (l *loop) observe(ctx context.Context) error {
	if l.served == nil || time.Since(l.servedAt) > l.options().CanaryInterval {
		list := &metav1.APIGroupList{}
		if err := discover(ctx, l.link.asked(), "/apis", list); err != nil {
			return err
		}
		l.served, l.servedAt = []string{}, time.Now()
		for _, g := range list.Groups {
			l.served = append(l.served, g.Name)
		}
	}
	groups := append(l.watch.groups(), l.served...)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	found, ownNodes := l.watch.environments()
	l.station.update(func(c *Cluster) {
		c.Groups = groups
		if found != nil {
			c.Namespaces, c.OwnNodes = found, ownNodes
		}
	})
	more, err := l.inspect(ctx)
	if more {
		l.station.wake()
	}
	return err
}

// admit finds out which API server this is, whether it is this loop's to guard, and
// whether it can be guarded. A duration means: not now.
func (l *loop) admit(ctx context.Context) (time.Duration, error) {
	if l.uid == "" {
		uid, err := l.link.clusterUID(ctx)
		if err != nil {
			return 0, err
		}
		l.uid = uid
	}
	l.station.update(func(c *Cluster) {
		if c.UID != "" && c.UID != l.uid {
			*c = c.Another()
		}
		c.UID = l.uid
	})
	if owner := l.station.claim(l.uid); owner != l.station {
		l.applied, l.posted = "", posted{}
		l.counts(false)
		l.learner.end() // who stands for it learns from it
		l.learner = nil
		l.webhook.post(Desired{})
		l.station.follow(owner)
		return l.options().ProbeInterval, nil
	}
	l.station.update(func(c *Cluster) { c.GuardedAs = "" })
	if !l.capable {
		if err := l.link.servesPolicies(ctx); apierrors.IsNotFound(err) {
			l.enter(NotGuardable, reasonPoliciesNotServed, "the API server does not serve validatingadmissionpolicies of admissionregistration.k8s.io/v1")
			return slow * l.options().CanaryInterval, nil
		} else if err != nil {
			return 0, err
		}
		l.capable = true
	}
	return 0, l.link.account.ensure(ctx, l.station.snapshot().Role != RoleWorkload)
}

// servesPolicies is NotFound when the API server cannot hold admission policies.
func (l *link) servesPolicies(ctx context.Context) error {
	resources := &metav1.APIResourceList{}
	if err := discover(ctx, l.asked(), "/apis/"+kindPolicy.GroupVersion().String(), resources); err != nil {
		return err
	}
	for _, r := range resources.APIResources {
		if r.Kind == kindPolicy.Kind {
			return nil
		}
	}
	return apierrors.NewNotFound(kindPolicy.GroupVersion().WithResource("validatingadmissionpolicies").GroupResource(), "")
}

// publish makes the cluster hold what is desired. It says how long what it wrote may take to
// act, zero if it wrote nothing.
func (l *loop) publish(ctx context.Context, d Desired) (window time.Duration, err error) {
	suspects := l.watch.suspects(l.records)
	if l.distrust {
		for key := range l.records {
			suspects[key] = true
		}
	}
	if !l.verify.IsZero() && time.Now().After(l.verify) {
		l.verify, l.applied, l.unproved.policies = time.Time{}, "", true
		for key, r := range l.records {
			if key.kind == kindGuard.Kind {
				r.hash, r.version = [sha256.Size]byte{}, ""
				l.records[key] = r
			}
		}
	}
	fresh := l.applied != d.Revision
	if !fresh && len(suspects) == 0 {
		return 0, nil
	}
	objects, err := d.items(l.options().GuardCRD, &l.station.fleet.encodings)
	if err != nil {
		return 0, err
	}
	if fresh {
		defer l.station.fleet.writing.write()()
		defer l.enterLane(ctx)()
		l.applied = "" // until all of it is there
		l.enter(Publishing, skottv1.ReasonPublishing, fmt.Sprintf("revision %q is under way", d.Revision))
		window = max(proofAfterWrite, l.tighten(ctx, d, objects, suspects))
	}
	wanted := make(map[objectKey]bool, len(objects))
	for i, o := range objects {
		if fresh && o.guard != nil && (i == 0 || objects[i-1].guard == nil) {
			if err := l.bridge(ctx, objects); err != nil {
				return window, err
			}
		}
		key := o.key
		wanted[key] = true
		changed, err := l.write(ctx, o, suspects[key])
		if err != nil {
			return window, err
		}
		switch {
		case changed && key.kind == kindPolicy.Kind:
			window = max(window, proofAfterPolicy) + proofPerPolicy
		case changed && key.kind == kindBinding.Kind:
			window = max(window, proofAfterPolicy)
		case changed:
			window = max(window, proofAfterWrite)
		}
	}
	known := len(l.records)
	maps.DeleteFunc(l.records, func(k objectKey, _ record) bool { return !wanted[k] })
	maps.DeleteFunc(suspects, func(k objectKey, _ bool) bool { return wanted[k] })
	l.pruned = l.pruned && len(l.records) == known && len(suspects) == 0
	if !l.pruned {
		if err := prune(ctx, l.link.account.operator, l.records); err != nil {
			return window, err
		}
		l.pruned = true
	}
	if l.past {
		l.reopen()
	}
	if l.watch == nil { // now that the kind Guard is served
		if l.watch, err = startWatch(ctx, l.link.account.config, l.station.wake); err != nil {
			return window, err
		}
	}
	l.distrust = false
	if fresh {
		l.applied = d.Revision
		l.station.update(func(c *Cluster) {
			c.Guard.Revision = d.Revision
			c.Guard.Enter(time.Now(), Published, skottv1.ReasonPublished, fmt.Sprintf("revision %q is not proved yet", d.Revision))
		})
	}
	return window, nil
}

// reopen follows the cluster anew. It was restored from a backup: what watched it before waits for resource versions that
// are yet to come, and does not hear of anything until then.
func (l *loop) reopen() {
	l.past, l.pruned = false, false
	l.restored.Store(true)
	l.watch.end()
	l.watch = nil
	l.learner.end()
	l.learner = nil
	l.station.wake()
}

// write applies one object unless it is there already.
func (l *loop) write(ctx context.Context, o item, suspect bool) (bool, error) {
	key := o.key
	old, known := l.records[key]
	known = known && old.hash == o.hash
	if known {
		if !suspect {
			return false, nil
		}
		kind, name := o.reference()
		live, err := getMetadata(ctx, l.link.account.operator, kind, name)
		if err != nil || !old.drifted(live) {
			return false, err
		}
		l.past = l.past || live != nil && live.UID == old.uid && live.Generation < old.generation
		if l.station.claim(l.uid) != l.station {
			return false, nil // an older name took the API server over, and wrote its own
		}
		l.enter(Publishing, skottv1.ReasonPublishing, fmt.Sprintf("%s %q was changed or deleted, and is put back", key.kind, key.name))
	}
	last := old
	if known || suspect {
		last = record{} // somebody else has been at it
	}
	writer := l.link.account.operator
	if key.kind == kindPolicy.Kind {
		writer = l.link.account.patient
	}
	live, err := o.apply(ctx, writer, last)
	if err != nil {
		return false, err
	}
	if crd, ok := live.(*unstructured.Unstructured); ok && key.kind == kindCRD.Kind {
		if err := l.awaitEstablished(ctx, crd); err != nil {
			return false, err
		}
		if err := l.awaitDiscovery(ctx, crd); err != nil {
			return false, err
		}
		if old.uid != live.GetUID() { // every Guard went with the old one
			l.forget(kindGuard.Kind)
		}
	}
	l.remember(o, live)
	if l.unproved.add(key); known {
		l.unproved.policies = true // a canary of what acted before proves nothing
		ctrllog.FromContext(ctx).Info("Restored an object that was changed or deleted", "kind", key.kind, "name", key.name)
		l.options().Observer.Restored(l.station.snapshot().Key(), key.kind, key.name)
	}
	return true, nil
}

// forget what was written of a kind.
func (l *loop) forget(kind string) {
	maps.DeleteFunc(l.records, func(k objectKey, _ record) bool { return k.kind == kind })
}

// remember records what stands in the cluster.
func (l *loop) remember(o item, live client.Object) {
	l.records[o.key] = record{hash: o.hash, uid: live.GetUID(), generation: live.GetGeneration(), labels: o.labels,
		version: live.GetResourceVersion(), head: o.head, shared: weak.Make(o.shared)}
}

// awaitEstablished waits until the kind of a CRD is served.
func (l *loop) awaitEstablished(ctx context.Context, crd *unstructured.Unstructured) error {
	if established(crd) {
		return nil
	}
	live := crd.DeepCopy()
	err := wait.PollUntilContextTimeout(ctx, passPause, l.options().Timeout, false, func(ctx context.Context) (bool, error) {
		err := l.link.account.operator.Get(ctx, client.ObjectKeyFromObject(crd), live)
		return err == nil && established(live), err
	})
	if err != nil {
		return fmt.Errorf("cannot wait for CustomResourceDefinition %q: %w", crd.GetName(), err)
	}
	return nil
}

// failed records an error and says when to try again.
func (l *loop) failed(ctx context.Context, err error) time.Duration {
	ctrllog.FromContext(ctx).V(1).Info("Failing to guard", "error", brief(err))
	reason, message := classify(err)
	switch {
	case apierrors.IsUnsupportedMediaType(err):
		l.capable = false
		l.enter(NotGuardable, reasonApplyNotServed, "the API server does not serve server-side apply")
		return slow * l.options().CanaryInterval
	case !answered(err):
		if apierrors.IsUnauthorized(err) {
			l.link.account.doubt()
		}
		l.enter(Unreachable, reason, message)
	default:
		if apierrors.IsForbidden(err) {
			l.link.account.doubt()
		} else {
			reason = skottv1.ReasonPublishing
		}
		l.enter(Publishing, reason, brief(err))
	}
	l.proof, l.nextProof, l.wholeDue = nil, time.Time{}, time.Time{}
	l.counts(false)
	return l.delay()
}

// delay is the time to the next try, longer each time.
func (l *loop) delay() time.Duration {
	l.backoff = min(max(2*l.backoff, backoffFirst), backoffLast)
	return l.backoff
}

func (l *loop) enter(phase Phase, reason, message string) {
	l.station.update(func(c *Cluster) { c.Guard.Enter(time.Now(), phase, reason, message) })
}
