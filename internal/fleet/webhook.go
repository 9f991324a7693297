// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// webhookPause is the longest time between two looks at a webhook that does not act.
	webhookPause = 15 * time.Second
	// webhookWindow is how long a webhook may take to read a Guard before it counts as away.
	webhookWindow = 5 * time.Second
	// firstDistrust and longestDistrust are how long nothing is left to a webhook that decided wrongly.
	firstDistrust, longestDistrust = 30 * time.Second, 10 * time.Minute
	// surelyActs is how long after it was stored a Guard acts, whatever keeps it from being proved.
	surelyActs = 30 * time.Second
	// renewEvery times CanaryInterval the objects that are not watched are written again.
	renewEvery = 10
)

// errSilent is the result of a canary that is let through when the webhook does not answer.
var errSilent = errors.New("it does not answer")

// errStale is the result of a canary that was refused for another reason.
var errStale = errors.New("it decides by an old revision")

// errNeeded: a webhook is to be removed that Guards still leave free text to.
var errNeeded = errors.New("the policies do not read free text yet")

// webhookLoop holds the guard webhook of one cluster. It runs beside the guard loop: a
// webhook that does not answer takes seconds to say so, and the policies must not wait.
type webhookLoop struct {
	loop  *loop
	wakes chan struct{}
	mail  chan Desired // holds the latest

	// What follows belongs to the goroutine.
	desired *Desired
	records map[objectKey]record
	watch   *webhookWatch
	granted string // what was granted last
	pruned  bool   // nothing of another mode is left
	keyless bool   // no key is left
	passes  int
	// bundle that the configurations in the cluster trust, as far as we wrote them.
	bundle []byte
	// clean: nothing of a webhook is there.
	clean bool
	// needed: the policies may leave free text to the webhook, by Guards that stand in the cluster. readSince is since
	// when Guards are stored by which they do not.
	needed    bool
	readSince time.Time
	// gone is the configuration that decides, if it is not as it was left, whatever the watch has heard.
	gone objectKey
	// trustAt is when a webhook that decided wrongly may be left anything again, and penalty how long that took last.
	trustAt time.Time
	penalty time.Duration
	pause   time.Duration
}

func newWebhookLoop(l *loop) *webhookLoop {
	return &webhookLoop{loop: l, wakes: make(chan struct{}, 1), mail: make(chan Desired, 1), records: map[objectKey]record{}, needed: true}
}

// post hands over what is desired. Only the guard loop calls it.
func (w *webhookLoop) post(d Desired) {
	select {
	case <-w.mail:
	default:
	}
	w.mail <- d
}

func (w *webhookLoop) wake() {
	select {
	case w.wakes <- struct{}{}:
	default:
	}
}

// run works until the context ends.
func (w *webhookLoop) run(ctx context.Context) {
	defer func() { w.watch.stop() }()
	next := time.Duration(0)
	for {
		var due <-chan time.Time
		timer := time.NewTimer(next)
		if w.desired != nil {
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case d := <-w.mail:
			w.desired = &d
		case <-w.wakes:
		case <-due:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		if w.desired == nil {
			continue
		}
		next = w.pass(ctx)
		if pause(ctx, passPause) != nil { // nobody may keep it running hot
			return
		}
	}
}

// pass brings the webhook one step nearer to what is desired, and says when to look again.
func (w *webhookLoop) pass(ctx context.Context) time.Duration {
	d := *w.desired
	interval := w.loop.options().CanaryInterval
	if d.Revision == "" {
		return slow * interval // another name of the API server stands for it
	}
	w.leave(d)
	if d.Webhook == nil {
		w.hold("")
		if err := w.remove(ctx); errors.Is(err, errNeeded) {
			return webhookWindow / 10
		} else if err != nil && ctx.Err() == nil {
			ctrllog.FromContext(ctx).Error(err, "Failing to remove the guard webhook")
			w.enter(status.WebhookOff, "what is left of it could not be removed: "+brief(err))
			return webhookPause
		}
		w.enter(status.WebhookOff, "")
		return slow * interval
	}
	if w.closed() != d.Webhook.Digest { // another configuration is on its way
		w.hold("")
	}
	if err := w.publish(ctx, d); errors.Is(err, errSilent) {
		w.hold("")
		w.enter(status.WebhookAway, "it does not answer yet, and decides nothing")
		return w.later()
	} else if err != nil {
		if ctx.Err() == nil {
			w.missed(ctx, d, err)
			ctrllog.FromContext(ctx).V(1).Info("Failing to publish the guard webhook", "error", brief(err))
			w.enter(status.WebhookAway, "it cannot be published: "+brief(err))
		}
		return w.later()
	}
	if err := w.prove(ctx, d); err != nil {
		if w.superseded(d) {
			return passPause
		}
		if errors.Is(err, errAdmitted) || errors.Is(err, errStale) {
			w.distrust()
		}
		if ctx.Err() == nil {
			w.enter(status.WebhookAway, reasonOf(err))
			w.granted = "" // perhaps its rights were taken away
		}
		return w.later()
	}
	w.pause = 0
	if closes(d.Webhook.Configuration) && time.Now().After(w.trustAt) {
		w.hold(d.Webhook.Digest)
	}
	w.loop.station.update(func(c *Cluster) {
		c.Webhook.ProvedRevision = d.Revision
		c.Webhook.Enter(time.Now(), status.WebhookActs, "")
	})
	return interval
}

func (w *webhookLoop) closed() string { return w.loop.station.snapshot().Webhook.Closed }

// hold notes by which configuration the API server refuses what it cannot ask the webhook about, "" for none.
// Only then may policies leave anything to it.
func (w *webhookLoop) hold(digest string) {
	if w.closed() != digest {
		w.loop.station.update(func(c *Cluster) { c.Webhook.Closed = digest })
		w.loop.station.wake()
	}
}

// distrust leaves nothing to a webhook that decided wrongly, for longer each time.
func (w *webhookLoop) distrust() {
	w.hold("")
	if time.Since(w.trustAt) > longestDistrust {
		w.penalty = 0
	}
	w.penalty = min(max(2*w.penalty, firstDistrust), longestDistrust)
	w.trustAt = time.Now().Add(w.penalty)
}

// superseded reports whether a proof says nothing of the webhook: the Guards that it was of were replaced.
func (w *webhookLoop) superseded(d Desired) bool {
	guard := w.loop.station.snapshot().Guard
	return len(w.mail) > 0 || guard.Phase == Publishing || guard.Revision != d.Revision
}

// missed looks whether the configuration that decides is still as it was left, after something failed. An API
// server that does not answer has it as it had.
func (w *webhookLoop) missed(ctx context.Context, d Desired, failed error) {
	if apierrors.IsForbidden(failed) {
		w.granted = ""
	}
	name := d.Webhook.Configuration.Name
	live, err := getMetadata(ctx, w.operator(), kindWebhook, client.ObjectKey{Name: name})
	if err == nil && !w.records[objectKey{kindWebhook.Kind, name}].drifted(live) || err != nil && !answered(err) {
		return
	}
	w.hold("")
}

// closes reports whether a configuration refuses what the webhook is not asked about.
func closes(c *admissionv1.ValidatingWebhookConfiguration) bool {
	return slices.ContainsFunc(c.Webhooks, func(w admissionv1.ValidatingWebhook) bool {
		return w.FailurePolicy != nil && *w.FailurePolicy == admissionv1.Fail
	})
}

// leave notes whether Guards leave free text to the webhook. They do no longer when a revision is proved that
// does not, or was stored so long ago that it acts: a cluster that cannot be proved may have its webhook
// turned off as well.
func (w *webhookLoop) leave(d Desired) {
	if slices.ContainsFunc(d.Guards, func(g *skottv1.Guard) bool { return len(g.Spec.Cluster.TextNamespaces) > 0 }) {
		w.needed, w.readSince = true, time.Time{}
		return
	}
	if w.readSince.IsZero() {
		w.readSince = time.Now()
	}
	guard := w.loop.station.snapshot().Guard
	if guard.Phase == Enforced && guard.ProvedRevision == d.Revision || time.Since(w.readSince) > surelyActs {
		w.needed = false
	}
}

func (w *webhookLoop) later() time.Duration {
	w.pause = min(max(2*w.pause, backoffFirst), webhookPause)
	return w.pause
}

func (w *webhookLoop) enter(phase status.WebhookPhase, message string) {
	w.loop.station.update(func(c *Cluster) { c.Webhook.Enter(time.Now(), phase, message) })
}

// publish makes the cluster hold all of the webhook, but for the configuration that makes it
// decide: that is written when it has answered, and stays from then on.
func (w *webhookLoop) publish(ctx context.Context, d Desired) error {
	hook, namespace := d.Webhook, w.loop.options().Namespace
	w.clean = false
	if w.passes++; w.passes%renewEvery == 0 { // what is not watched is written again
		w.granted = ""
		delete(w.records, objectKey{"PodDisruptionBudget", guardAccount})
	}
	if err := w.grant(ctx, hook); err != nil {
		return err
	}
	if w.watch == nil {
		var err error
		if w.watch, err = startWebhookWatch(ctx, w.loop.link.account.config, namespace, w.wake); err != nil {
			return err
		}
	}
	bundle := hook.CABundle
	if names := hook.names(namespace); len(names) > 0 {
		var err error
		if bundle, err = w.certify(ctx, names); err != nil {
			return err
		}
	}
	if err := w.prune(ctx, hook, namespace); err != nil {
		return err
	}
	if err := w.handKey(ctx, hook, namespace); err != nil {
		return err
	}
	objects := append(hook.workload(namespace), hook.at(hook.Probe, namespace, bundle))
	live, err := getMetadata(ctx, w.operator(), kindWebhook, client.ObjectKey{Name: hook.Configuration.Name})
	if err != nil {
		return err
	}
	// One that was there is put back, whether the webhook answers or not: to delete it must not
	// open what its absence would close.
	key := objectKey{kindWebhook.Kind, hook.Configuration.Name}
	old, wrote := w.records[key]
	if w.gone = (objectKey{}); wrote && old.drifted(live) {
		w.gone = key
	}
	decides := live != nil || wrote
	if decides {
		objects = append(objects, hook.at(hook.Configuration, namespace, bundle))
	}
	for _, o := range objects {
		if err := w.write(ctx, o); err != nil {
			return err
		}
	}
	w.bundle = bundle
	if decides {
		return nil
	}
	if err := w.ask(ctx, hook.Answers, 0); errors.Is(err, errAdmitted) {
		return errSilent
	} else if err != nil {
		return err
	}
	ctrllog.FromContext(ctx).Info("The guard webhook answers: making it decide")
	return w.write(ctx, hook.at(hook.Configuration, namespace, bundle))
}

// handKey gives the webhook the key, or takes it away. No configuration needs it.
func (w *webhookLoop) handKey(ctx context.Context, hook *Webhook, namespace string) error {
	o := hook.key(namespace)
	if len(hook.Key) > 0 {
		w.keyless = false
		return w.write(ctx, o)
	}
	if w.keyless {
		return nil
	}
	delete(w.records, objectKey{"Secret", keySecret})
	if err := w.operator().Delete(ctx, o); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cannot delete Secret %q: %w", keySecret, err)
	}
	w.keyless = true
	return nil
}

// prune removes what runs the webhook in the cluster, where the platform runs it.
func (w *webhookLoop) prune(ctx context.Context, hook *Webhook, namespace string) error {
	if hook.URL == "" || w.pruned {
		w.pruned = hook.URL != ""
		return nil
	}
	for _, o := range (&Webhook{}).workload(namespace) {
		if err := w.operator().Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cannot delete %T %q: %w", o, o.GetName(), err)
		}
	}
	w.pruned = true
	return nil
}

// grant gives the accounts their rights, when that was not done or is in doubt.
func (w *webhookLoop) grant(ctx context.Context, hook *Webhook) error {
	what := fmt.Sprint(hook.Reads)
	if w.loop.link.account.inCluster || w.granted == what+"." {
		return nil // where the operator is installed they come with it
	}
	for _, o := range hook.grants(w.loop.options().Namespace) {
		u, err := toUnstructured(o)
		if err != nil {
			return err
		}
		if _, err := applyObject(ctx, w.loop.link.admin, u); err != nil {
			if live := w.loop.station.snapshot().Webhook; live.ProvedRevision != "" {
				break // given credentials may expire; what was granted stands
			}
			return err
		}
	}
	w.granted = what + "."
	return nil
}

// prove sends the canary that the webhook must deny now that it decides.
func (w *webhookLoop) prove(ctx context.Context, d Desired) error {
	for _, canary := range d.Webhook.Acts {
		if err := w.ask(ctx, canary, webhookWindow); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a canary until the webhook denies it, for as long as window.
func (w *webhookLoop) ask(ctx context.Context, canary Canary, window time.Duration) error {
	ends := time.Now().Add(window)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		start := time.Now()
		err := webhookDenied(send(ctx, w.loop.link.account.canary, canary), canary.Family, canary.Want)
		w.loop.options().Observer.Canary(w.loop.station.snapshot().Key(), canary.Family, err == nil, time.Since(start))
		if err == nil || time.Now().After(ends) {
			return err
		}
		if pause(ctx, wait) != nil {
			return ctx.Err()
		}
	}
}

// webhookDenied is nil when the answer to a canary is a denial by the webhook of that name
// whose text contains want.
func webhookDenied(answer error, name, want string) error {
	if answer == nil {
		return errAdmitted
	}
	var s apierrors.APIStatus
	if !errors.As(answer, &s) {
		return answer
	}
	_, text, ok := strings.Cut(s.Status().Message, `admission webhook "`+name+`" denied the request: `)
	if ok && strings.Contains(text, want) {
		return nil
	}
	if ok {
		return errStale
	}
	return answer
}

// reasonOf is the end of an error, where the cause stands and nothing that changes with
// every request.
func reasonOf(err error) string {
	text := brief(err)
	if i := strings.LastIndex(text, ": "); i >= 0 && strings.Contains(text, "failed calling webhook") {
		text = text[i+2:]
	}
	return text
}

// remove takes the webhook away: first what makes it decide. The probe goes last, because
// from it can be told whether anything is left.
func (w *webhookLoop) remove(ctx context.Context) error {
	if w.clean {
		return nil
	}
	live, err := getMetadata(ctx, w.operator(), kindWebhook, client.ObjectKey{Name: webhookProbe})
	if err == nil && live == nil || apierrors.IsForbidden(err) && len(w.records) == 0 {
		w.clean = true // without the rights there never was any
		return nil
	}
	if err != nil {
		return err
	}
	if w.needed {
		return errNeeded
	}
	namespace := w.loop.options().Namespace
	for _, o := range removals(namespace) {
		if err := w.operator().Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cannot delete %T %q: %w", o, o.GetName(), err)
		}
	}
	clear(w.records)
	w.watch.stop()
	w.watch, w.bundle, w.granted, w.clean = nil, nil, "", true
	if w.loop.link.account.inCluster {
		return nil
	}
	for _, o := range (&Webhook{Configuration: configurationNamed(webhookConfiguration), Probe: configurationNamed(webhookProbe)}).grants(namespace) {
		if err := w.loop.link.admin.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			// Rights to what is not there open nothing.
			ctrllog.FromContext(ctx).V(1).Info("Failing to remove a right", "name", o.GetName(), "error", brief(err))
		}
	}
	return nil
}

func (w *webhookLoop) operator() client.Client { return w.loop.link.account.operator }

// write applies one object unless it is there as it was left.
func (w *webhookLoop) write(ctx context.Context, o client.Object) error {
	u, err := toUnstructured(o)
	if err != nil {
		return err
	}
	key := keyOf(u)
	hash, err := hashOf(u)
	if err != nil {
		return err
	}
	old, known := w.records[key]
	known = known && old.hash == hash
	if known && !w.watch.suspect(key, old) && key != w.gone {
		return nil
	}
	var before *metav1.PartialObjectMetadata
	if known {
		if before, err = getMetadata(ctx, w.operator(), u.GroupVersionKind(), client.ObjectKeyFromObject(u)); err != nil {
			return err
		}
	}
	live, err := applyObject(ctx, w.operator(), u)
	if err != nil {
		return err
	}
	w.records[key] = record{hash: hash, uid: live.GetUID(), generation: live.GetGeneration(), labels: u.GetLabels(), version: live.GetResourceVersion()}
	if known && w.records[key].drifted(before) {
		ctrllog.FromContext(ctx).Info("Restored an object that was changed or deleted", "kind", key.kind, "name", key.name)
		w.loop.options().Observer.Restored(w.loop.station.snapshot().Key(), key.kind, key.name)
	}
	return nil
}
