// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// The configurations, as they are found when nothing is desired any more.
const (
	webhookConfiguration = "skott-guard"
	webhookProbe         = "skott-guard-probe"
)

func configurationNamed(name string) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// removals are everything of a webhook in the order to delete it.
func removals(namespace string) []client.Object {
	return []client.Object{
		configurationNamed(webhookConfiguration),
		&appsv1.Deployment{ObjectMeta: namedIn(namespace, guardAccount)},
		&policyv1.PodDisruptionBudget{ObjectMeta: namedIn(namespace, guardAccount)},
		&corev1.Service{ObjectMeta: namedIn(namespace, guardAccount)},
		&corev1.Secret{ObjectMeta: namedIn(namespace, keySecret)},
		&corev1.Secret{ObjectMeta: namedIn(namespace, certificateSecret)},
		configurationNamed(webhookProbe),
	}
}

// certify makes the Secret hold a certificate that is valid for long enough, and returns
// what the API server must trust.
func (w *webhookLoop) certify(ctx context.Context, names []string) ([]byte, error) {
	options := w.loop.options()
	live := &corev1.Secret{}
	err := w.operator().Get(ctx, client.ObjectKey{Namespace: options.Namespace, Name: certificateSecret}, live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("cannot get Secret %q: %w", certificateSecret, err)
	}
	if err == nil && live.Type != corev1.SecretTypeTLS { // the type of a Secret cannot be changed
		err = apierrors.NewNotFound(corev1.Resource("secrets"), live.Name)
		if deleted := w.operator().Delete(ctx, live); client.IgnoreNotFound(deleted) != nil {
			return nil, fmt.Errorf("cannot delete Secret %q: %w", live.Name, deleted)
		}
	}
	_, wrote := w.records[objectKey{"Secret", certificateSecret}]
	lost := wrote && apierrors.IsNotFound(err)
	if apierrors.IsNotFound(err) {
		live.Data = map[string][]byte{keyAuthorities: w.bundle} // a webhook that has not seen it go serves on
	}
	data, err := renewed(live.Data, names, options.CertificateLife, w.bundle, time.Now())
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{ObjectMeta: namedIn(options.Namespace, certificateSecret), Type: corev1.SecretTypeTLS, Data: data}
	if err := w.write(ctx, secret); err != nil {
		return nil, err
	}
	if lost {
		options.Observer.Restored(w.loop.station.snapshot().Key(), "Secret", certificateSecret)
	}
	return bundleOf(data), nil
}

// webhookWatch follows the metadata of what makes the webhook act.
type webhookWatch struct {
	objects map[string]*mirror // by kind, of Secrets also by name
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startWebhookWatch follows what the webhook is made of, by metadata alone, and wakes the loop at every change.
func startWebhookWatch(ctx context.Context, config *rest.Config, namespace string, wake func()) (*webhookWatch, error) {
	c, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot watch: %s", brief(err))
	}
	w := &webhookWatch{objects: map[string]*mirror{}}
	ctx, w.cancel = context.WithCancel(ctx)
	managed := func(o *metav1.ListOptions) { o.LabelSelector = skottv1.LabelManagedBy + "=" + skottv1.FieldOwner }
	follow := func(kind string, resource schema.GroupVersionResource, namespace string, tweak func(*metav1.ListOptions)) {
		w.objects[kind] = startMirror(ctx, c, mirrored{resource: resource, namespace: namespace, tweak: tweak}, wake, &w.running)
	}
	follow(kindWebhook.Kind, admissionv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations"), metav1.NamespaceAll, managed)
	follow("Deployment", appsv1.SchemeGroupVersion.WithResource("deployments"), namespace, managed)
	follow("Service", corev1.SchemeGroupVersion.WithResource("services"), namespace, managed)
	for _, name := range []string{certificateSecret, keySecret} { // RBAC lets them be watched one by one
		follow("Secret/"+name, corev1.SchemeGroupVersion.WithResource("secrets"), namespace, func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		})
	}
	return w, nil
}

func (w *webhookWatch) stop() {
	if w != nil {
		w.cancel()
		w.running.Wait()
	}
}

// suspect reports whether an object seems not to be what was written.
func (w *webhookWatch) suspect(key objectKey, r record) bool {
	m := w.objects[key.kind]
	if m == nil {
		m = w.objects[key.kind+"/"+key.name]
	}
	if m == nil || !m.synced() {
		return false
	}
	return r.drifted(m.get(key.name))
}
