// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// What is said of a cluster follows it, and is said no more when it is gone.
func TestClusters(t *testing.T) {
	clock := time.Unix(1_000_000, 0)
	registry := prometheus.NewPedanticRegistry()
	m := New(registry)
	m.age.now, m.book.now = func() time.Time { return clock }, func() time.Time { return clock }
	proved := clock.Add(-30 * time.Second)
	steps := []struct {
		reason   string
		after    time.Duration
		clusters []Cluster
		want     string
	}{
		{"one that is well, and one that was never reached", 0, []Cluster{
			{Name: "a", Environment: "staging", Phase: "Enforced", Enforced: true, Proved: proved, Learns: true, Complete: true, Webhook: true, WebhookActs: true},
			{Name: "b", Environment: "staging", Phase: "Unreachable", Learns: true},
		}, `
skott_address_book_age_seconds{cluster="a"} 0
skott_address_book_age_seconds{cluster="b"} 0
skott_cluster_phase{cluster="a",environment="staging",phase="Enforced"} 1
skott_cluster_phase{cluster="b",environment="staging",phase="Unreachable"} 1
skott_clusters{enforced="false",environment="staging"} 1
skott_clusters{enforced="true",environment="staging"} 1
skott_learning_gaps{cluster="a"} 0
skott_learning_gaps{cluster="b"} 0
skott_policy_age_seconds{cluster="a"} 30
skott_webhook_acts{cluster="a"} 1
`},
		{"ages grow where nothing is known any more, from when it was", time.Minute, []Cluster{
			{Name: "a", Environment: "staging", Phase: "Unreachable", Proved: proved, Learns: true, Gaps: 2, Webhook: true},
			{Name: "b", Environment: "staging", Phase: "Unreachable", Learns: true},
		}, `
skott_address_book_age_seconds{cluster="a"} 0
skott_address_book_age_seconds{cluster="b"} 60
skott_cluster_phase{cluster="a",environment="staging",phase="Unreachable"} 1
skott_cluster_phase{cluster="b",environment="staging",phase="Unreachable"} 1
skott_clusters{enforced="false",environment="staging"} 2
skott_learning_gaps{cluster="a"} 2
skott_learning_gaps{cluster="b"} 0
skott_policy_age_seconds{cluster="a"} 90
skott_webhook_acts{cluster="a"} 0
`},
		{"one that nothing is learned from has no age, one that is complete again begins anew, and one that is gone has nothing", time.Minute, []Cluster{
			{Name: "a", Environment: "staging", Phase: "Enforced", Enforced: true, Proved: proved, Learns: true, Complete: true},
			{Name: "c", Environment: "production", Phase: "NotGuardable"},
		}, `
skott_address_book_age_seconds{cluster="a"} 0
skott_cluster_phase{cluster="a",environment="staging",phase="Enforced"} 1
skott_cluster_phase{cluster="c",environment="production",phase="NotGuardable"} 1
skott_clusters{enforced="false",environment="production"} 1
skott_clusters{enforced="true",environment="staging"} 1
skott_learning_gaps{cluster="a"} 0
skott_policy_age_seconds{cluster="a"} 150
`},
	}
	for _, s := range steps {
		clock = clock.Add(s.after)
		m.Clusters(s.clusters)
		if diff := cmp.Diff(s.want, said(t, registry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.reason, diff)
		}
	}
}

// said are the gauges that have a cluster or count clusters, as the text format has them, sorted.
func said(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString("\n")
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetGauge() == nil {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			fmt.Fprintf(&out, "%s{%s} %v\n", f.GetName(), strings.Join(labels, ","), m.GetGauge().GetValue())
		}
	}
	return out.String()
}
