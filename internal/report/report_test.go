// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

func finding(kind, namespace string, violations ...status.Violation) status.Finding {
	return status.Finding{APIVersion: "v1", Kind: kind, Resource: "services", Namespace: namespace, Name: "db", UID: "0A-1",
		Violations: violations, Since: time.Unix(1_700_000_000, 5)}
}

var crossing = status.Violation{Boundary: "customer-data", Action: skottv1.ActionDeny, Code: "D101", Path: "spec.externalName",
	From: "production", To: "staging", Message: "D101: no"}

func TestOf(t *testing.T) {
	draft, unnamed, audit := crossing, finding("Service", "shop", crossing), crossing
	draft.Draft, unnamed.UID, audit.Action = true, "", skottv1.ActionAudit
	for name, c := range map[string]struct {
		reason  string
		api     API
		finding status.Finding
		want    []string
	}{
		"Namespaced": {"in the namespace of the object", OpenReports, finding("Service", "shop", crossing),
			[]string{"openreports.io/v1alpha1 Report shop/skott-0a-1 high"}},
		"Cluster": {"beside a cluster-scoped one", OpenReports, finding("PersistentVolume", "", audit),
			[]string{"openreports.io/v1alpha1 ClusterReport /skott-0a-1 medium"}},
		"Older": {"in the older group", PolicyReports, finding("Service", "shop", crossing, draft),
			[]string{"wgpolicyk8s.io/v1alpha2 PolicyReport shop/skott-0a-1 high"}},
		"OlderCluster": {"in the older group", PolicyReports, finding("PersistentVolume", "", crossing),
			[]string{"wgpolicyk8s.io/v1alpha2 ClusterPolicyReport /skott-0a-1 high"}},
		"Several":  {"one report, a result for each violation", OpenReports, finding("Service", "shop", crossing, audit), []string{"openreports.io/v1alpha1 Report shop/skott-0a-1 high medium"}},
		"Draft":    {"nothing forbids it yet", OpenReports, finding("Service", "shop", draft), nil},
		"Innocent": {"no violation", OpenReports, finding("Service", "shop"), nil},
		"NoUID":    {"nothing can own it", OpenReports, unnamed, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, u := range Of(c.api, []status.Finding{c.finding}) {
				text := fmt.Sprintf("%s %s %s/%s", u.GetAPIVersion(), u.GetKind(), u.GetNamespace(), u.GetName())
				for _, result := range u.Object["results"].([]any) {
					text += " " + result.(map[string]any)["severity"].(string)
				}
				got = append(got, text)
				if o := u.GetOwnerReferences(); len(o) != 1 || o[0].UID != c.finding.UID || u.GetLabels()[skottv1.LabelManagedBy] != skottv1.FieldOwner {
					t.Errorf("%v, %v", o, u.GetLabels())
				}
				_ = u.DeepCopy() // panics on a value that is none of JSON
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestOfIsBounded(t *testing.T) {
	long := crossing
	long.Message, long.Path = strings.Repeat("å", maxText), "a\xff"+strings.Repeat("b", 2*maxText)
	f := finding("Service", "shop")
	for range 10 * maxResults {
		f.Violations = append(f.Violations, long)
	}
	var many []status.Finding
	for i := range Max + 10 {
		f.UID = types.UID(fmt.Sprint(i))
		many = append(many, f)
		f.Violations = []status.Violation{crossing}
	}
	reports := Of(OpenReports, many)
	content, err := json.Marshal(reports[0].Object)
	if err != nil || len(reports) != Max || len(content) > 1<<20 || strings.Contains(string(content), `\ufffd`) {
		t.Errorf("%d reports of %d bytes: %v", len(reports), len(content), err)
	}
}

func TestKeepTimes(t *testing.T) {
	of := func(since time.Time, paths ...string) *unstructured.Unstructured {
		f := finding("Service", "shop")
		f.Since = since
		for _, path := range paths {
			v := crossing
			v.Path = path
			f.Violations = append(f.Violations, v)
		}
		return Of(OpenReports, []status.Finding{f})[0]
	}
	early, late := time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	broken := of(early, "a")
	broken.Object["results"] = []any{"x", nil, map[string]any{"policy": 1}, map[string]any{"policy": "customer-data", "timestamp": "now"}}
	for name, c := range map[string]struct {
		reason string
		there  *unstructured.Unstructured
		want   []int64
	}{
		"Same":    {"found again by another process", of(early, "a", "b"), []int64{early.Unix(), early.Unix()}},
		"New":     {"what was not there before is new", of(early, "b"), []int64{late.Unix(), early.Unix()}},
		"Future":  {"no clock that was wrong is believed", of(late.Add(time.Hour), "a", "b"), []int64{late.Unix(), late.Unix()}},
		"Nothing": {"no results", &unstructured.Unstructured{Object: map[string]any{}}, []int64{late.Unix(), late.Unix()}},
		"Broken":  {"written by somebody else", broken, []int64{late.Unix(), late.Unix()}},
	} {
		t.Run(name, func(t *testing.T) {
			u := of(late, "a", "b")
			KeepTimes(u, c.there)
			var got []int64
			each(u, func(_ [3]string, result map[string]any) {
				seconds, _ := secondsOf(result)
				got = append(got, seconds)
			})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestCentralNames(t *testing.T) {
	f := []status.Finding{finding("Service", "shop", crossing)}
	names := map[string]bool{}
	for _, cluster := range []string{"mc", "mc/a/x", "mc/x/a", strings.Repeat("m", 63) + "/" + strings.Repeat("n", 63) + "/x"} {
		u := Central(OpenReports, "skott-system", cluster, f)[0]
		names[u.GetName()] = true
		managementCluster, _, _ := strings.Cut(cluster, "/")
		if u.GetLabels()[skottv1.LabelManagementCluster] != managementCluster || !strings.HasPrefix(u.GetName(), managementCluster+"-") || len(u.GetName()) > 253 {
			t.Errorf("%s: %s, %v", cluster, u.GetName(), u.GetLabels())
		}
	}
	if len(names) != 4 {
		t.Errorf("objects of the same UID in several clusters are told apart: %v", names)
	}
}
