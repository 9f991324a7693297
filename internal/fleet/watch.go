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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// watch follows the metadata of Skott's objects in a cluster, and of the Namespaces that
// claim an Environment of their own. Each event only wakes the guard loop, which then
// compares: what it last wrote is known to it alone.
type watch struct {
	objects    map[string]*mirror // by kind
	namespaces *mirror
	// definitions are all CRDs: what the cluster serves follows from their names.
	definitions *mirror
	running     sync.WaitGroup
	cancel      context.CancelFunc
}

// startWatch starts to follow; that ends with the context, or by end.
func startWatch(ctx context.Context, config *rest.Config, wake func()) (*watch, error) {
	c, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot watch: %s", brief(err))
	}
	managed := func(o *metav1.ListOptions) { o.LabelSelector = skottv1.LabelManagedBy + "=" + skottv1.FieldOwner }
	w := &watch{objects: map[string]*mirror{}}
	ctx, w.cancel = context.WithCancel(ctx)
	start := func(resource schema.GroupVersionResource, tweak func(*metav1.ListOptions)) *mirror {
		return startMirror(ctx, c, mirrored{resource: resource, namespace: metav1.NamespaceAll, tweak: tweak}, wake, &w.running)
	}
	admission := admissionv1.SchemeGroupVersion
	w.objects[kindPolicy.Kind] = start(admission.WithResource("validatingadmissionpolicies"), managed)
	w.objects[kindBinding.Kind] = start(admission.WithResource("validatingadmissionpolicybindings"), managed)
	w.objects[kindGuard.Kind] = start(skottv1.GroupVersion.WithResource("guards"), nil) // whatever their labels say
	w.definitions = startMirror(ctx, c, mirrored{
		resource: apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"), namespace: metav1.NamespaceAll, whole: guardCRDName,
	}, wake, &w.running)
	w.objects[kindCRD.Kind] = w.definitions
	w.namespaces = start(corev1.SchemeGroupVersion.WithResource("namespaces"),
		func(o *metav1.ListOptions) { o.LabelSelector = skottv1.LabelEnvironment })
	return w, nil
}

// end stops following, and waits for that.
func (w *watch) end() {
	if w != nil {
		w.cancel()
		w.wait()
	}
}

// wait returns when nothing is followed any more.
func (w *watch) wait() {
	if w != nil {
		w.running.Wait()
	}
}

// suspects are the objects that seem not to be what was written. A mirror may be behind,
// so each has to be read before anything is said about it. Objects of Skott that were not
// written by us are suspects too.
func (w *watch) suspects(records map[objectKey]record) map[objectKey]bool {
	found := map[objectKey]bool{}
	if w == nil {
		return found
	}
	for kind, m := range w.objects {
		if !m.synced() {
			continue
		}
		for _, live := range m.list() {
			key := objectKey{kind, live.Name}
			if r, ok := records[key]; ok && r.drifted(live) || !ok && (kind == kindGuard.Kind || carries(live.Labels, managed)) {
				found[key] = true
			}
		}
		for key := range records {
			if key.kind == kind && m.get(key.name) == nil {
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
	if w == nil || !w.namespaces.synced() {
		return nil, nil
	}
	found = map[string]string{}
	for _, m := range w.namespaces.list() {
		found[m.Name] = m.Labels[skottv1.LabelEnvironment]
		if m.Annotations[nodeSelector] != "" {
			ownNodes = append(ownNodes, m.Name)
		}
	}
	slices.Sort(ownNodes)
	return found, ownNodes
}

// nodeSelector is the annotation that binds the pods of a Namespace to nodes.
const nodeSelector = "scheduler.alpha.kubernetes.io/node-selector"

// groups are the API groups of the CRDs in the cluster.
func (w *watch) groups() []string {
	if w == nil || !w.definitions.synced() {
		return nil
	}
	var found []string
	for _, m := range w.definitions.list() {
		if _, group, ok := strings.Cut(m.Name, "."); ok {
			found = append(found, group)
		}
	}
	return found
}
