// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
)

var stagingCluster = status.Cluster{ManagementCluster: "mc-staging", Groups: []string{"apps"}}

// publicationOf is what is published of boundaries between production and staging, with further addresses of production.
func publicationOf(further int, boundaries ...skottv1.DataBoundary) *publication {
	location := func(environment string, values ...string) skottv1.DataLocation {
		d := skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: environment}, Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: environment}}}
		for _, v := range values {
			d.Spec.Addresses = append(d.Spec.Addresses, skottv1.Address{Type: "Host", Value: v})
		}
		return d
	}
	production := []string{"*.db.prod.example"}
	for i := range further {
		production = append(production, fmt.Sprintf("host-%d.prod.example", i))
	}
	s := policy.Snapshot{Rules: policy.BuiltinRules(), Environments: []skottv1.Environment{
		{ObjectMeta: metav1.ObjectMeta{Name: "production"}, Spec: skottv1.EnvironmentSpec{Stage: "production"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "staging"}, Spec: skottv1.EnvironmentSpec{Stage: "staging", CustomerNamespaces: []string{"cust-*"}}},
	}, Boundaries: boundaries, Locations: []skottv1.DataLocation{location("production", production...), location("staging", "*.db.stage.example")}}
	p := &publication{policy: policy.New(s), rules: rulesDigest(s), revision: "1", scanKinds: scanKinds(s.Rules.Table()),
		clusters: map[string]skottv1.GuardedCluster{"mc-staging": {Name: "mc-staging", ManagementCluster: "mc-staging", Environment: "staging", Role: "Management"}}}
	if boundaries, drafts := drafted(s.Boundaries); len(drafts) > 0 {
		p.draft, p.drafts = p.policy.WithBoundaries(boundaries, s.Environments), drafts
	}
	return p
}

func bounded(name string, action skottv1.Action, draft *skottv1.BoundaryRule) skottv1.DataBoundary {
	return skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{Action: action}, Draft: draft}}
}

func configMapOf(text string) fleet.ScanObject {
	raw, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "shop"}, "data": map[string]any{"text": text}})
	return fleet.ScanObject{Kind: fleet.ScanKind{Resource: "configmaps", Kind: "ConfigMap"}, Namespace: "shop", Name: "c", Raw: raw}
}

func TestJudge(t *testing.T) {
	crossing, innocent := configMapOf("postgres://orders.db.prod.example/x"), configMapOf("postgres://orders.db.stage.example/x")
	reverse := &skottv1.BoundaryRule{Action: skottv1.ActionDeny, From: &skottv1.EnvironmentSelector{Environments: []string{"staging"}}, To: &skottv1.EnvironmentSelector{Environments: []string{"production"}}}
	for name, c := range map[string]struct {
		boundaries []skottv1.DataBoundary
		object     fleet.ScanObject
		want       []string
		open       bool
	}{
		"Denied":                    {[]skottv1.DataBoundary{bounded("b", "Deny", nil)}, crossing, []string{"b Deny false"}, false},
		"Innocent":                  {[]skottv1.DataBoundary{bounded("b", "Deny", nil)}, innocent, nil, false},
		"Audited":                   {[]skottv1.DataBoundary{bounded("b", "Audit", nil)}, crossing, []string{"b Audit false"}, true},
		"A draft denies more":       {[]skottv1.DataBoundary{bounded("b", "Audit", &skottv1.BoundaryRule{Action: "Deny"})}, crossing, []string{"b Audit false", "b Deny true"}, true},
		"A draft warns":             {[]skottv1.DataBoundary{bounded("b", "Audit", &skottv1.BoundaryRule{Action: "Warn"})}, crossing, []string{"b Audit false", "b Warn true"}, true},
		"It is denied already":      {[]skottv1.DataBoundary{bounded("a", "Deny", nil), bounded("b", "Audit", &skottv1.BoundaryRule{Action: "Deny"})}, crossing, []string{"a Deny false"}, true},
		"A draft of something else": {[]skottv1.DataBoundary{bounded("b", "Audit", reverse)}, crossing, []string{"b Audit false"}, true},
		"Others have no draft":      {[]skottv1.DataBoundary{bounded("a", "Audit", nil), {ObjectMeta: metav1.ObjectMeta{Name: "b"}, Spec: skottv1.DataBoundarySpec{BoundaryRule: *reverse, Draft: reverse}}}, crossing, []string{"a Audit false"}, true},
		"No boundary":               {nil, crossing, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			scanning, known := publicationOf(0, c.boundaries...).scan(stagingCluster)
			if !known || scanning.Open != c.open {
				t.Fatalf("known %t, open %t", known, scanning.Open)
			}
			place, violations := scanning.Judge(c.object)
			var got []string
			for _, v := range violations {
				got = append(got, fmt.Sprintf("%s %s %t", v.Boundary, v.Action, v.Draft))
				if v.From != "production" || v.To != "staging" || place != "staging" || !strings.Contains(v.Message, "orders.db.prod.example") {
					t.Errorf("%+v in %q", v, place)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What may not be created where it is was not created rightly when it is there already.
func TestJudgeFindsWhatIsMisplaced(t *testing.T) {
	cluster := func(namespace string, labels map[string]any, variable string) fleet.ScanObject {
		topology := map[string]any{"variables": []any{map[string]any{"name": "x", "value": variable}}}
		return fleet.ScanObject{Kind: fleet.ScanKind{Group: "cluster.x-k8s.io", Resource: "clusters", Kind: "Cluster"}, Namespace: namespace, Name: "c", Raw: marshalled(t, map[string]any{
			"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": map[string]any{"name": "c", "namespace": namespace, "labels": labels}, "spec": map[string]any{"topology": topology}})}
	}
	namespace := func(labels map[string]any) fleet.ScanObject {
		return fleet.ScanObject{Kind: fleet.ScanKind{Resource: "namespaces", Kind: "Namespace"}, Name: "shop", Raw: marshalled(t, map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop", "labels": labels}})}
	}
	label := func(key, value string) map[string]any { return map[string]any{key: value} }
	deny, audit := []skottv1.DataBoundary{bounded("b", "Deny", nil)}, []skottv1.DataBoundary{bounded("b", "Audit", nil)}
	for name, c := range map[string]struct {
		boundaries []skottv1.DataBoundary
		object     fleet.ScanObject
		want       []string
	}{
		"A customer's Cluster":               {deny, cluster("cust-acme", nil, ""), []string{"SKOTT-D402 b Deny ->staging"}},
		"It carries labels of ours":          {deny, cluster("cust-acme", label("skott.dev/guarded", "true"), ""), []string{"SKOTT-D402 b Deny ->staging"}},
		"It says where data is too":          {deny, cluster("cust-acme", nil, "orders.db.prod.example"), []string{"SKOTT-D402 b Deny ->staging", "SKOTT-D101 b Deny production->staging"}},
		"Its boundary only watches":          {audit, cluster("cust-acme", nil, ""), []string{"SKOTT-D402 b Deny ->staging"}},
		"There is no boundary":               {nil, cluster("cust-acme", nil, ""), []string{"SKOTT-D402  Deny ->staging"}},
		"Labelled with production":           {deny, cluster("shop", label("skott.dev/environment", "production"), ""), []string{"SKOTT-D401 b Deny production->staging"}},
		"Of a stage of production":           {deny, cluster("shop", label("skott.dev/stage", "production"), ""), []string{"SKOTT-D401 b Deny ->staging"}},
		"A Cluster with labels of ours":      {deny, cluster("shop", label("skott.dev/guarded", "true"), ""), nil},
		"A Cluster":                          {deny, cluster("shop", label("skott.dev/environment", "staging"), ""), nil},
		"A namespace claims production":      {deny, namespace(label("skott.dev/environment", "production")), []string{"SKOTT-D403 b Deny production->staging"}},
		"A namespace claims what is nowhere": {deny, namespace(label("skott.dev/environment", "moon")), []string{"SKOTT-D403  Deny moon->staging"}},
		"A namespace of its cluster":         {deny, namespace(label("skott.dev/environment", "staging")), nil},
		"A namespace with another label":     {deny, namespace(label("skott.dev/x", "y")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			scanning, _ := publicationOf(0, c.boundaries...).scan(stagingCluster)
			place, violations := scanning.Judge(c.object)
			var got []string
			for _, v := range violations {
				got = append(got, fmt.Sprintf("%s %s %s %s->%s", v.Code, v.Boundary, v.Action, v.From, v.To))
				if v.Path == "" || !strings.Contains(v.Message, v.Code) || place != "staging" {
					t.Errorf("%+v in %q", v, place)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScanningChangesWithTheRules(t *testing.T) {
	of := func(p *publication, c status.Cluster) fleet.Scanning {
		s, _ := p.scan(c)
		return s
	}
	base := of(publicationOf(0, bounded("b", "Deny", nil)), stagingCluster)
	more := of(publicationOf(1, bounded("b", "Deny", nil)), stagingCluster)
	if base.Rules != more.Rules {
		t.Error("an address is no rule")
	}
	grown := stagingCluster
	grown.Groups = []string{"apps", "velero.io"}
	for name, other := range map[string]fleet.Scanning{
		"action": of(publicationOf(0, bounded("b", "Audit", nil)), stagingCluster),
		"draft":  of(publicationOf(0, bounded("b", "Deny", &skottv1.BoundaryRule{Action: "Deny"})), stagingCluster),
		"groups": of(publicationOf(0, bounded("b", "Deny", nil)), grown),
	} {
		if other.Rules == base.Rules {
			t.Errorf("another %s is another rule", name)
		}
	}
	if len(base.Kinds) < 400 || slices.ContainsFunc(base.Kinds, func(k fleet.ScanKind) bool { return k.Resource == "secrets" && k.Group == "" || k.Group == "skott.dev" }) {
		t.Errorf("%d kinds, or Secrets among them", len(base.Kinds))
	}
}

// BenchmarkJudge is what a scan does with each object of a guarded cluster, from its bytes. Objects a second are of one
// core, decoding included.
func BenchmarkJudge(b *testing.B) {
	env := make([]map[string]any, 24)
	for i := range env {
		env[i] = map[string]any{"name": fmt.Sprintf("UPSTREAM_%d", i), "value": fmt.Sprintf("https://service-%d.apps.stage.example:8443/api", i)}
	}
	fields := map[string]any{}
	for i := range 60 {
		fields[fmt.Sprintf("f:field-%d", i)] = map[string]any{"f:nested": map[string]any{}}
	}
	meta := map[string]any{"name": "web", "namespace": "shop", "uid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "labels": map[string]any{"app": "web"},
		"managedFields": []any{map[string]any{"manager": "kubectl", "fieldsV1": fields}}}
	pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": map[string]any{"containers": []any{
		map[string]any{"name": "web", "image": "registry.stage.example/shop/web:1.4", "env": env}}}}
	namespace := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop", "labels": map[string]any{"kubernetes.io/metadata.name": "shop"}}}
	crossing := configMapOf("postgres://orders.db.prod.example/x")
	for _, size := range []int{10, 1_000, 10_000} {
		scanning, _ := publicationOf(size, bounded("b", "Audit", nil)).scan(stagingCluster)
		for name, o := range map[string]fleet.ScanObject{
			"pod":       {Kind: fleet.ScanKind{Resource: "pods"}, Namespace: "shop", Name: "web", Raw: marshalled(b, pod)},
			"namespace": {Kind: fleet.ScanKind{Resource: "namespaces"}, Name: "shop", Raw: marshalled(b, namespace)},
			"crossing":  crossing,
		} {
			b.Run(fmt.Sprintf("%s/bytes=%d/addresses=%d", name, len(o.Raw), size), func(b *testing.B) {
				b.ReportAllocs()
				before := processorTime(b)
				for b.Loop() {
					scanning.Judge(o)
				}
				b.ReportMetric(float64(b.N)/(processorTime(b)-before).Seconds(), "objects/core-s")
			})
		}
	}
}

// processorTime that was used so far, garbage collection included. On a shared machine it says more than
// the clock does.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func marshalled(b testing.TB, o any) []byte {
	b.Helper()
	out, err := json.Marshal(o)
	if err != nil {
		b.Fatal(err)
	}
	return out
}
