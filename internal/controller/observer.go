// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// observer turns what happens in the fleet into events, metrics and rings of the bell.
type observer struct{ *hub }

// Restored implements fleet.Observer.
func (o *observer) Restored(cluster, kind, name string) {
	o.recorder.Restored(kind)
	o.event(cluster, corev1.EventTypeWarning, "Restored", fmt.Sprintf("%s %q was changed or deleted in cluster %q, and was put back", kind, name, cluster))
}

// CanaryAdmitted implements fleet.Observer.
func (o *observer) CanaryAdmitted(cluster, family string) {
	o.recorder.CanaryAdmitted(family)
	o.event(cluster, corev1.EventTypeWarning, skottv1.ReasonCanaryAdmitted, fmt.Sprintf("cluster %q let the live proof of %q through: its guard is off", cluster, family))
}

// Canary implements fleet.Observer.
func (o *observer) Canary(_, family string, denied bool, took time.Duration) {
	o.recorder.Decision("canary", map[bool]string{true: "deny", false: "allow"}[denied], family, took)
}

// Changed implements fleet.Observer.
func (o *observer) Changed() { o.bell.ring() }

// event records what happened on the ManagementCluster that the cluster belongs to.
func (o *observer) event(cluster, kind, reason, note string) {
	name, below, _ := strings.Cut(cluster, "/")
	mc := &skottv1.ManagementCluster{}
	if err := o.Get(context.Background(), types.NamespacedName{Name: name}, mc); err != nil {
		return // the ManagementCluster is gone, and with it whoever would read the event
	}
	namespace, name, _ := strings.Cut(below, "/")
	o.events.Eventf(mc, related(namespace, name), kind, reason, "Guard", "%s", note)
}
