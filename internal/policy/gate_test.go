// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"strings"
	"testing"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
)

// gated is a policy as it is and without its match conditions.
type gated struct {
	with, without compiled
	conditions    int
}

func gatedPolicy(t testing.TB, family flow.Family) gated {
	p := policy.BuiltinRules().Policies([]flow.Family{family})[0]
	open := p.DeepCopy()
	open.Spec.MatchConditions = nil
	return gated{compilePolicy(t, p), compilePolicy(t, open), len(p.Spec.MatchConditions)}
}

// gateGuard knows addresses of every kind that a gate has a branch for.
func gateGuard() *skottv1.Guard {
	more := []skottv1.Address{
		{Type: "Bucket", Value: "s3://prod-bucket"}, {Type: "Bucket", Value: "gs://prod-gcs"}, {Type: "Host", Value: "short.example"},
		{Type: "Host", Value: "*.wild.example"}, {Type: "CIDR", Value: "192.0.2.0/24"}, {Type: "Bucket", Value: "https://s3.sto0.example/deep/er/path"},
		{Type: "CIDR", Value: "2001:db8::/32"}, {Type: "Host", Value: "a.b.c.d.example"}, {Type: "Volume", Value: "driver/handle"},
	}
	return policy.New(load.Snapshot(100, more...)).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0]
}

// gateTexts are texts that cross, or nearly do.
var gateTexts = []string{
	"db-4.customer-0.prod.example", "x=db-4.customer-0.prod.example:5432/app", "DB-4.CUSTOMER-0.PROD.EXAMPLE", ".db-4.customer-0.prod.example", "..db-4.customer-0.prod.example",
	"*.short.example", ".short.example", "/.short.example/", "-.short.example", "a.wild.example", "a.b.wild.example", ".wild.example", "wild.example",
	"192.0.2.7", ".192.0.2.7", "v192.0.2.7", "[2001:db8::1]:80", "s3://prod-bucket/x", "gs://prod-gcs", "https://storage.googleapis.com/prod-gcs/x", "prod-gcs.storage.googleapis.com",
	"https://s3.eu-north-1.amazonaws.com/prod-bucket", "prod-bucket.s3.amazonaws.com", "s3.sto0.example/deep", "s3.sto0.example/deep/er/path/file", "s3.sto0.example/other",
	"a.b.c.d.example", "x.a.b.c.d.example", "b.c.d.example", "staging.example", "", ".", "...", "a..b.example", "registry.example/customer-0/app:v1", "https://git.example/customers/customer-10.git",
	strings.Repeat("app.staging.example ", 900) + "short.example", strings.Repeat("nothing here\n", 4000) + "short.example",
}

// objectsSaying have a text in fields of several forms.
func objectsSaying(text string) []load.Object {
	endpoint, bucket := "https://s3.sto0.example", text
	if host, path, found := strings.Cut(text, "/"); found {
		endpoint, bucket = host, path
	}
	return []load.Object{
		{Name: "ConfigMap", Resource: "configmaps", Content: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "namespace": "default"}, "data": map[string]any{"a": "b", "c": text},
		}},
		{Name: "Location", Group: "velero.io", Resource: "backupstoragelocations", Content: load.Location(endpoint, bucket)},
		{Name: "Claim", Resource: "persistentvolumeclaims", Content: map[string]any{
			"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": "a", "namespace": "default"}, "spec": map[string]any{"volumeName": text},
		}},
		{Name: "Pod", Resource: "pods", Content: map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": "default"}, "spec": map[string]any{
				"containers": []any{map[string]any{"name": "a", "image": text, "env": []any{map[string]any{"name": "A", "value": text}}}},
				"volumes":    []any{map[string]any{"name": "v", "nfs": map[string]any{"server": endpoint, "path": bucket}}},
			},
		}},
	}
}

// TestGates holds that a gate is there, that it keeps nothing from its policy that this would
// refuse, and that something is refused.
func TestGates(t *testing.T) {
	guard, policies := gateGuard(), map[flow.Family]gated{}
	for _, text := range gateTexts {
		for _, object := range objectsSaying(text) {
			family := familyOf(object)
			g, ok := policies[family]
			if !ok {
				g = gatedPolicy(t, family)
				policies[family] = g
				if g.conditions == 0 {
					t.Errorf("%s has no gate", family)
				}
			}
			want := g.without.denial(t, object, guard)
			if got := g.with.denial(t, object, guard); got != want {
				t.Errorf("%s says %.60q: got %q, want %q", object.Name, text, got, want)
			}
			if object.Name == "ConfigMap" && strings.HasSuffix(text, "short.example") && text != "-.short.example" && want == "" {
				t.Errorf("%s says %.60q and is not refused", object.Name, text)
			}
		}
	}
}

// TestGatesAreShut holds that what the benchmark sends stops at the gates: the objects that a
// cluster is full of must not cost more.
func TestGatesAreShut(t *testing.T) {
	guard := params(t, policy.New(load.Snapshot(1_000)).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0])
	for _, object := range load.Objects() {
		t.Run(object.Name, func(t *testing.T) {
			c := compile(t, familyOf(object))
			if decisions := c.decisions(object, guard); decisions != 0 {
				t.Errorf("the policy made %d decisions", decisions)
			}
		})
	}
}

// FuzzGate holds the same for any text.
func FuzzGate(f *testing.F) {
	for _, text := range gateTexts {
		if len(text) < 200 {
			f.Add(text)
		}
	}
	guard := gateGuard()
	policies := map[flow.Family]gated{}
	for _, object := range objectsSaying("") {
		policies[familyOf(object)] = gatedPolicy(f, familyOf(object))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, object := range objectsSaying(fmt.Sprintf("%.500s", strings.ToValidUTF8(text, "?"))) {
			g := policies[familyOf(object)]
			if got, want := g.with.denial(t, object, guard), g.without.denial(t, object, guard); got != want {
				t.Errorf("%s says %q: got %q, want %q", object.Name, text, got, want)
			}
		}
	})
}
