// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// watch follows the metadata of Skott's objects in a cluster, and of the Namespaces that
// claim an Environment of their own. Each event only wakes the guard loop, which then
// compares: what it last wrote is known to it alone.
type watch struct {
	objects    map[string]cache.SharedIndexInformer // by kind
	namespaces cache.SharedIndexInformer
	// definitions are all CRDs by name: what the cluster serves follows from them.
	definitions cache.SharedIndexInformer
	running     sync.WaitGroup
	cancel      context.CancelFunc
}

// startWatch starts the informers; they end with the context, or by end.
func startWatch(ctx context.Context, config *rest.Config, wake func()) (*watch, error) {
	c, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot watch: %s", brief(err))
	}
	managed := func(o *metav1.ListOptions) { o.LabelSelector = skottv1.LabelManagedBy + "=" + skottv1.FieldOwner }
	w := &watch{objects: map[string]cache.SharedIndexInformer{}}
	ctx, w.cancel = context.WithCancel(ctx)
	start := func(resource schema.GroupVersionResource, tweak func(*metav1.ListOptions)) cache.SharedIndexInformer {
		return startInformer(ctx, c, informed{resource, metav1.NamespaceAll, tweak}, wake, &w.running)
	}
	admission := admissionv1.SchemeGroupVersion
	w.objects[kindPolicy.Kind] = start(admission.WithResource("validatingadmissionpolicies"), managed)
	w.objects[kindBinding.Kind] = start(admission.WithResource("validatingadmissionpolicybindings"), managed)
	w.objects[kindGuard.Kind] = start(skottv1.GroupVersion.WithResource("guards"), managed)
	w.objects[kindCRD.Kind] = start(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"),
		func(o *metav1.ListOptions) { o.FieldSelector = "metadata.name=" + guardCRDName })
	w.definitions = start(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"), nil)
	w.namespaces = start(corev1.SchemeGroupVersion.WithResource("namespaces"),
		func(o *metav1.ListOptions) { o.LabelSelector = skottv1.LabelEnvironment })
	return w, nil
}

// informed is what an informer follows.
type informed struct {
	resource  schema.GroupVersionResource
	namespace string
	tweak     func(*metav1.ListOptions)
}

// startInformer follows metadata until the context ends, and wakes at each event.
func startInformer(ctx context.Context, c metadata.Interface, what informed, wake func(), running *sync.WaitGroup) cache.SharedIndexInformer {
	resource := c.Resource(what.resource).Namespace(what.namespace)
	tweak := what.tweak
	if tweak == nil {
		tweak = func(*metav1.ListOptions) {}
	}
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			tweak(&o)
			return resource.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			tweak(&o)
			w, err := resource.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			return drained{w}, nil
		},
	}
	informer := cache.NewSharedIndexInformer(lists, &metav1.PartialObjectMetadata{}, 0, nil)
	_ = informer.SetTransform(func(o any) (any, error) { // managed fields are most of it
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			m.ManagedFields = nil
			if what.tweak == nil { // of all CRDs, only the names matter
				m.ObjectMeta = metav1.ObjectMeta{Name: m.Name, ResourceVersion: m.ResourceVersion}
			}
		}
		return o, nil
	})
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	})
	running.Go(func() { informer.RunWithContext(ctx) })
	return informer
}

// end stops every informer, and waits for that.
func (w *watch) end() {
	if w != nil {
		w.cancel()
		w.wait()
	}
}

// wait returns when every informer has ended.
func (w *watch) wait() {
	if w != nil {
		w.running.Wait()
	}
}

// suspects are the objects that seem not to be what was written. An informer may be behind,
// so each has to be read before anything is said about it. Objects of Skott that were not
// written by us are suspects too.
func (w *watch) suspects(records map[objectKey]record) map[objectKey]bool {
	found := map[objectKey]bool{}
	if w == nil {
		return found
	}
	for kind, informer := range w.objects {
		if !informer.HasSynced() {
			continue
		}
		for _, obj := range informer.GetStore().List() {
			m, ok := obj.(*metav1.PartialObjectMetadata)
			if !ok {
				continue
			}
			key := objectKey{kind, m.Name}
			if r, ok := records[key]; !ok || r.drifted(m) {
				found[key] = true
			}
		}
		for key := range records {
			if _, ok, _ := informer.GetStore().GetByKey(key.name); key.kind == kind && !ok {
				found[key] = true
			}
		}
	}
	return found
}

// environments are the Namespaces with an Environment of their own, and those of them whose
// pods are bound to some nodes by the admission plugin PodNodeSelector; nil until they are
// known.
func (w *watch) environments() (found map[string]string, ownNodes []string) {
	if w == nil || !w.namespaces.HasSynced() {
		return nil, nil
	}
	found = map[string]string{}
	for _, obj := range w.namespaces.GetStore().List() {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			found[m.Name] = m.Labels[skottv1.LabelEnvironment]
			if m.Annotations[nodeSelector] != "" {
				ownNodes = append(ownNodes, m.Name)
			}
		}
	}
	slices.Sort(ownNodes)
	return found, ownNodes
}

// nodeSelector is the annotation that binds the pods of a Namespace to nodes.
const nodeSelector = "scheduler.alpha.kubernetes.io/node-selector"

// groups are the API groups of the CRDs in the cluster.
func (w *watch) groups() []string {
	if w == nil || !w.definitions.HasSynced() {
		return nil
	}
	var found []string
	for _, name := range w.definitions.GetStore().ListKeys() {
		if _, group, ok := strings.Cut(name, "."); ok {
			found = append(found, group)
		}
	}
	return found
}

// drained ends a watch wholly: client-go filters the events of metadata in a goroutine that
// waits for ever to hand over one that came in when nobody listened any more.
type drained struct{ apiwatch.Interface }

// Stop implements watch.Interface.
func (d drained) Stop() {
	d.Interface.Stop()
	go func() {
		for range d.ResultChan() {
		}
	}()
}
