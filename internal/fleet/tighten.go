// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// closing changes nothing of a policy but what becomes of a request that it cannot judge.
var closing = []byte(`{"spec":{"failurePolicy":"` + string(admissionv1.Fail) + `"}}`)

// tighten makes what stands in the cluster fail closed, if it is to, before anything else of a
// publication is written. While no boundary denies, policies fail open. From the first that does
// they must not: nowhere may a Guard that denies stand beside a policy that lets pass what it
// cannot judge. All else is written the other way round, Guards first, because a policy that
// acts without what it reads refuses everything, and one of a new release may read what only
// the new Guard says; so that here a policy that is not there is left alone, and of one that is
// nothing is changed but its failure policy. The way back needs no step of its own: first the
// Guards do not deny any more, then the policies fail open.
//
// A write that fails holds nothing up. Without a Guard that denies every crossing would pass,
// and beside a policy that fails open only what it cannot judge; publish comes to the policy
// again, and is not over before it is as desired.
//
// What is found to be as desired is not read again. The window is what publish says of it.
func (l *loop) tighten(ctx context.Context, d Desired, objects []item, suspects map[objectKey]bool) (window time.Duration) {
	l.tightenWebhook(d)
	for _, o := range objects {
		old, known := l.records[o.key]
		if o.key.kind != kindPolicy.Kind || failsOpen(o.object) || known && old.hash == o.hash && !suspects[o.key] {
			continue
		}
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(kindPolicy)
		err := l.link.account.operator.Get(ctx, client.ObjectKey{Name: o.key.name}, live)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err == nil && failsOpen(live):
			err = l.link.account.patient.Patch(ctx, live, client.RawPatch(types.MergePatchType, closing), client.FieldOwner(skottv1.FieldOwner))
			window = max(window, proofAfterPolicy) + proofPerPolicy
		case err == nil && stands(o.object, live, contentOf(o.object)):
			l.remember(o, live)
			window = max(window, proofAfterPolicy) + proofPerPolicy // it may have been written just before this process began
		}
		if err != nil {
			ctrllog.FromContext(ctx).Info("Failing to make a policy fail closed before the Guards deny", "name", o.key.name, "error", brief(err))
			return window
		}
	}
	return window
}

// tightenWebhook does the same for the guard webhook, whose loop writes it meanwhile. Its canary stays the
// old one: the Guard of the new one is not there yet.
func (l *loop) tightenWebhook(d Desired) {
	if l.posted.webhook == nil || d.Webhook == nil || !l.posted.webhook.failsOpen() || d.Webhook.failsOpen() {
		return
	}
	closed := *l.posted.webhook
	closed.Configuration = d.Webhook.Configuration
	l.posted.webhook = &closed
	l.webhook.post(Desired{Revision: l.posted.revision, Webhook: &closed})
}

// failsOpen reports whether a policy lets pass what it cannot judge.
func failsOpen(policy *unstructured.Unstructured) bool {
	said, _, _ := unstructured.NestedString(policy.Object, "spec", "failurePolicy")
	return said == string(admissionv1.Ignore)
}

// failsOpen reports whether nothing is refused while the webhook is away.
func (w *Webhook) failsOpen() bool {
	return !slices.ContainsFunc(w.Configuration.Webhooks, func(h admissionv1.ValidatingWebhook) bool {
		return h.FailurePolicy == nil || *h.FailurePolicy == admissionv1.Fail
	})
}
