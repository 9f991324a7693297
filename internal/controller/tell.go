// SPDX-License-Identifier: Apache-2.0

package controller

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/internal/status"
)

// tell records Events on the object that people look at.
func (h *hub) tell(o client.Object, happenings []status.Happening) {
	for _, one := range happenings {
		kind := corev1.EventTypeNormal
		if one.Unwelcome {
			kind = corev1.EventTypeWarning
		}
		h.events.Eventf(o, related(one.Namespace, one.Name), kind, one.Reason, "Guard", "%s", one.Note)
	}
}

// tellChanges records what the conditions of an object say that has happened to it.
func (h *hub) tellChanges(before, after client.Object) {
	was, ok := before.(status.Object)
	is, also := after.(status.Object)
	if ok && also {
		h.tell(after, status.Happenings(was, is))
	}
}

// related is the Cluster that an Event is about, or nil if there is none: Events on one
// object, of one reason, are counted as one unless they are about different things.
func related(namespace, name string) runtime.Object {
	if name == "" {
		return nil
	}
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}
}
