// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

func TestNews(t *testing.T) {
	survey := func(names ...string) status.Survey {
		scan := &status.Scan{Completed: time.Now()}
		for _, name := range names {
			kind, boundary, _ := strings.Cut(name, "@")
			scan.Findings = append(scan.Findings, status.Finding{APIVersion: "v1", Kind: strings.TrimRight(kind, "0123456789"), UID: types.UID(name),
				Violations: []status.Violation{{Boundary: boundary, Draft: true}, {Boundary: boundary, Message: name}}})
		}
		return status.Survey{Clusters: []status.Scanned{{Cluster: status.Cluster{ManagementCluster: "mc", Scan: scan}}, {Cluster: status.Cluster{ManagementCluster: "unscanned"}}}}
	}
	pods := []skottv1.ViolationCount{{Cluster: "mc", Kind: "Pod"}}
	state := told{}
	for i, c := range []struct {
		before []skottv1.ViolationCount
		survey status.Survey
		want   []string
	}{
		{pods, survey("Pod1@b", "Service1@b", "Service2@other"), []string{"Service1@b"}}, // after a restart
		{pods, survey("Pod1@b", "Service1@b"), nil},
		{pods, survey("Pod1@b", "Pod2@b"), []string{"Pod2@b"}},
		{pods, survey("Pod2@b", "Service1@b"), []string{"Service1@b"}}, // it was corrected, and is there again
	} {
		var got []string
		for _, n := range state.news("b", c.before, c.survey) {
			got = append(got, n.message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	var many []string
	for i := range 5 * maxTold {
		many = append(many, fmt.Sprintf("Pod%d@b", i))
	}
	if n := len(told{}.news("b", nil, survey(many...))); n != maxTold {
		t.Errorf("%d of %d are told", n, len(many))
	}
	if text := short(strings.Repeat("å", 1000)); len(text) > 750 || !utf8.ValidString(text) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}
