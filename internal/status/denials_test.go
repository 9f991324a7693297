// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

func TestDenialsCollected(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	member := &Member{Self: Cluster{ManagementCluster: "mc"}, Clusters: []Cluster{
		{ManagementCluster: "mc", Namespace: "ns", Name: "one"},
		{ManagementCluster: "mc", Namespace: "ns", Name: "same", GuardedAs: "mc"},
		{ManagementCluster: "mc", Namespace: "ns", Name: "never", Guard: GuardState{Phase: NotGuardable}},
	}}
	at := func(self, one time.Duration) map[string]time.Time {
		return map[string]time.Time{"mc": now.Add(-self), "mc/ns/one": now.Add(-one)}
	}
	source := &skottv1.Audit{}
	for name, c := range map[string]struct {
		audit  *skottv1.Audit
		member *Member
		view   AuditView
		status metav1.ConditionStatus
		want   string
	}{
		"NoSource":     {nil, member, AuditView{}, "False", "NoAuditSource: spec.audit is not set"},
		"NotListening": {source, member, AuditView{Fault: "no certificate"}, "False", "NotListening: the operator takes no audit events: no certificate"},
		"Never":        {source, member, AuditView{}, "False", "NothingReceived: no denials lately from 2 of 2 clusters, of live proofs neither: mc, mc/ns/one"},
		"One":          {source, member, AuditView{Received: at(0, time.Hour)}, "False", "NothingReceived: no denials lately from 1 of 2 clusters, of live proofs neither: mc/ns/one"},
		"All":          {source, member, AuditView{Received: at(0, time.Second)}, "True", "Receiving: denials of 2 clusters arrive, the last after 2026-01-02T03:00:00Z"},
		"NotReached":   {source, nil, AuditView{Received: at(0, 0)}, "True", "Receiving: denials of 1 clusters"},
	} {
		t.Run(name, func(t *testing.T) {
			mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc"}, Spec: skottv1.ManagementClusterSpec{Audit: c.audit}}
			c.view.Now, c.view.Patience = now, time.Minute
			DenialsCollected(mc, c.member, c.view)
			got := mc.Status.Conditions[0]
			if said := got.Reason + ": " + got.Message; got.Status != c.status || !strings.HasPrefix(said, c.want) {
				t.Errorf("%s %s, want %s %s", got.Status, said, c.status, c.want)
			}
		})
	}
}
