// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skott-dev/skott/internal/status"
)

func TestReported(t *testing.T) {
	scan := &status.Scan{}
	self := status.Cluster{ManagementCluster: "mc", Scan: scan}
	cluster := func(name string, scan *status.Scan, as string) status.Cluster {
		return status.Cluster{ManagementCluster: "mc", Namespace: "a", Name: name, Scan: scan, GuardedAs: as}
	}
	for name, c := range map[string]struct {
		wants, absent bool
		member        status.Member
		scans, keep   []string
	}{
		"NotWanted": {member: status.Member{Self: self, ClustersListed: true}},
		"Wanted":    {wants: true, member: status.Member{Self: self, ClustersListed: true, Clusters: []status.Cluster{cluster("x", scan, "")}}, scans: []string{"mc", "mc/a/x"}},
		"Unscanned": {wants: true, member: status.Member{Self: self, ClustersListed: true, Clusters: []status.Cluster{cluster("x", nil, "")}}, scans: []string{"mc"}, keep: []string{"mc/a/x"}},
		"Unlisted":  {wants: true, member: status.Member{Self: self}, scans: []string{"mc"}, keep: []string{"mc/"}},
		"Elsewhere": {wants: true, member: status.Member{Self: self, ClustersListed: true, Clusters: []status.Cluster{cluster("x", nil, "other")}}, scans: []string{"mc"}},
		"Absent":    {wants: true, absent: true, keep: []string{"mc", "mc/"}},
	} {
		t.Run(name, func(t *testing.T) {
			members := map[string]status.Member{"mc": c.member}
			if c.absent {
				members = nil
			}
			scans, keep := reported(map[string]bool{"mc": c.wants}, members)
			if diff := cmp.Diff(c.scans, slices.Sorted(maps.Keys(scans))); diff != "" {
				t.Errorf("scans (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.keep, slices.Sorted(maps.Keys(keep))); diff != "" {
				t.Errorf("keep (-want +got):\n%s", diff)
			}
		})
	}
}
