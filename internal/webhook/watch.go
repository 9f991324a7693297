// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

var scheme = newScheme()

func newScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(skottv1.AddToScheme(s))
	return s
}

// askTime is how long the API server may take to say what labels a namespace has that is
// not in the cache yet: less than it waits for the answer to its own question.
const askTime = time.Second

var namespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// watcher follows what the webhook reads in its cluster.
type watcher struct {
	guards, secret, key cache.SharedIndexInformer
	namespaces          cache.SharedIndexInformer
	live                metadata.Interface
	objects             dynamic.Interface
	log                 logr.Logger
}

// newWatcher prepares the informers. They feed guards and certificate once they run.
func newWatcher(options Options) (*watcher, error) {
	config := options.Config
	live, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot watch: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot read objects: %w", err)
	}
	guards, err := clientFor(config, skottv1.GroupVersion, "/apis")
	if err != nil {
		return nil, err
	}
	core, err := clientFor(config, corev1.SchemeGroupVersion, "/api")
	if err != nil {
		return nil, err
	}
	w := &watcher{live: live, objects: objects, log: options.Log}
	w.guards = cache.NewSharedIndexInformer(
		cache.NewListWatchFromClient(guards, "guards", metav1.NamespaceAll, fields.Everything()), &skottv1.Guard{}, 0, nil)
	secret := func(name string) cache.SharedIndexInformer {
		return cache.NewSharedIndexInformer(
			cache.NewListWatchFromClient(core, "secrets", options.Namespace, fields.OneTermEqualSelector("metadata.name", name)), &corev1.Secret{}, 0, nil)
	}
	w.secret, w.key = secret(options.CertificateSecret), secret(options.KeySecret)
	w.namespaces = metadatainformer.NewFilteredMetadataInformer(live, namespaceResource, metav1.NamespaceAll, 0, nil, nil).Informer()
	return w, w.namespaces.SetTransform(strip)
}

// strip leaves of a namespace what is read of it.
func strip(o any) (any, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		m.ManagedFields, m.Annotations = nil, nil
	}
	return o, nil
}

func clientFor(config *rest.Config, version schema.GroupVersion, path string) (*rest.RESTClient, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath = &version, path
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot watch %s: %w", version, err)
	}
	return client, nil
}

// run feeds guards and certificate until the context ends.
func (w *watcher) run(ctx context.Context, guards *Guards, certificate *Certificate) error {
	set := func(o any) {
		if g, ok := o.(*skottv1.Guard); ok {
			guards.Set(g)
			w.log.Info("Read a Guard", "name", g.Name, "revision", g.Spec.Revision, "acting", guards.Revision())
		}
	}
	fed, err := w.guards.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: set, UpdateFunc: func(_, o any) { set(o) },
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if g, ok := o.(*skottv1.Guard); ok {
				guards.Delete(g.Name)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("cannot watch Guards: %w", err)
	}
	load := func(o any) {
		if s, ok := o.(*corev1.Secret); ok {
			if err := certificate.Set(s); err != nil {
				w.log.Error(err, "Keeping the serving certificate there is")
			}
		}
	}
	if _, err := w.secret.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: load, UpdateFunc: func(_, o any) { load(o) }}); err != nil {
		return fmt.Errorf("cannot watch the certificate: %w", err)
	}
	if _, err := w.key.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { guards.SetKey(keyOf(o)) }, UpdateFunc: func(_, o any) { guards.SetKey(keyOf(o)) },
	}); err != nil {
		return fmt.Errorf("cannot watch the key of fingerprints: %w", err)
	}
	for _, i := range []cache.SharedIndexInformer{w.guards, w.secret, w.key, w.namespaces} {
		go i.RunWithContext(ctx)
	}
	if cache.WaitForCacheSync(ctx.Done(), fed.HasSynced, w.namespaces.HasSynced) {
		guards.Synced()
		w.log.Info("Read the Guards of the cluster", "acting", guards.Revision())
	}
	return nil
}

// keyOf is the key in a Secret, or nil. One that was deleted goes on being used until there is
// another, or the webhook starts anew.
func keyOf(o any) *address.Key {
	if s, ok := o.(*corev1.Secret); ok {
		return address.NewKey(s.Data[keyOfKey])
	}
	return nil
}

// keyOfKey is where the fleet puts the key of fingerprints.
const keyOfKey = "key"

// labels of a namespace. One that was made a moment ago is asked for: it may be of an
// Environment of its own.
func (w *watcher) labels(ctx context.Context, name string) (map[string]string, error) {
	if o, found, _ := w.namespaces.GetStore().GetByKey(name); found {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			return m.Labels, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m, err := w.live.Resource(namespaceResource).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil // the API server refuses the object itself
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get namespace %q: %w", name, err)
	}
	return m.Labels, nil
}

// lookup finds an object that another one names, in the first version of its kind that the
// cluster serves. One that is not there, or may not be read, is none.
func (w *watcher) lookup(ctx context.Context, kind *flow.Kind, namespace, name string) (map[string]any, error) {
	if name == "" || kind.Namespaced && namespace == "" || len(content.IsPathSegmentName(name))+len(content.IsPathSegmentName(namespace)) > 0 {
		return nil, nil // nothing can have that name
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	versions := kind.Versions
	if len(versions) == 0 {
		versions = []string{kind.Version()}
	}
	for _, version := range versions {
		of := w.objects.Resource(schema.GroupVersionResource{Group: kind.Group, Version: version, Resource: kind.Resource})
		var one dynamic.ResourceInterface = of
		if kind.Namespaced {
			one = of.Namespace(namespace)
		}
		switch object, err := one.Get(ctx, name, metav1.GetOptions{}); {
		case err == nil:
			return object.Object, nil
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
			return nil, nil
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("cannot get %s: %w", kind.Kind, err)
		}
	}
	return nil, nil
}
