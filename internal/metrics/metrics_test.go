// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestScans(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := New(registry)
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	m.scanAge.now = func() time.Time { return now }
	crossing := ViolationCount{Boundary: "b", Environment: "staging", Objects: 2}
	draft := crossing
	draft.Draft = true
	m.Scans([]ScanCount{{Cluster: "gone", Completed: now, Violations: []ViolationCount{crossing}}})
	m.Scans([]ScanCount{
		{Cluster: "a", Completed: now.Add(-time.Minute), Objects: 7, Violations: []ViolationCount{crossing, crossing, draft}},
		{Cluster: "never", Objects: 1},
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, sample := range f.GetMetric() {
			if sample.GetGauge() == nil {
				continue // errors are counted from 0
			}
			text := f.GetName()
			for _, l := range sample.GetLabel() {
				text += " " + l.GetName() + "=" + l.GetValue()
			}
			got = append(got, fmt.Sprint(text, " ", sample.GetGauge().GetValue()))
		}
	}
	want := []string{
		"skott_scan_age_seconds cluster=a 60",
		"skott_scan_objects cluster=a 7",
		"skott_scan_objects cluster=never 1",
		"skott_violations boundary=b cluster=a draft=false environment=staging 4",
		"skott_violations boundary=b cluster=a draft=true environment=staging 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
