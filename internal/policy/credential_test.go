// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

const (
	productions = "q7Zk2LmX9vRt4BnW8sYd" // opens nothing
	everybodys  = "Hh3kd02Lq9ZtUw7vXe4c"
)

// guardsWith are Guards of the corpus's clusters that know credentials by their fingerprints.
func guardsWith(t *testing.T, key *address.Key, cluster string) *skottv1.Guard {
	t.Helper()
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		name, value string
		shared      bool
	}{{"credential", productions, false}, {"common", everybodys, true}} {
		d := skottv1.DataLocation{}
		d.Name, d.Spec.EnvironmentRef.Name = l.name, "production"
		if l.shared {
			d.Spec.Shared = &l.shared
		}
		d.Spec.Addresses = []skottv1.Address{{Type: skottv1.AddressType(address.Credential), Value: key.Fingerprint(l.value).String()}}
		platform.Snapshot.Locations = append(platform.Snapshot.Locations, d)
	}
	c := platform.Clusters[cluster]
	return policy.New(platform.Snapshot).Guards(c.GuardedCluster, c.Namespaces, policy.BuiltinRules().AllFamilies())[0]
}

func TestCredentialsInSecrets(t *testing.T) {
	key := address.NewKey(bytes.Repeat([]byte{7}, address.KeyLength))
	other := address.NewKey(bytes.Repeat([]byte{8}, address.KeyLength))
	staging, production := guardsWith(t, key, "staging"), guardsWith(t, key, "production")
	in := func(pairs ...string) map[string]any {
		data := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			data[pairs[i]] = base64.StdEncoding.EncodeToString([]byte(pairs[i+1]))
		}
		return map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s", "namespace": "default"}, "data": data}
	}
	for name, c := range map[string]struct {
		guard  *skottv1.Guard
		key    *address.Key
		object map[string]any
		path   string // "" if it is permitted
	}{
		"under its name":       {staging, key, in("password", productions), `data["password"]`},
		"under another":        {staging, key, in("a", "1", "notes", "it is: "+productions+"\n"), `data["notes"]`},
		"as it is written":     {staging, key, map[string]any{"metadata": map[string]any{}, "stringData": map[string]any{"x": productions}}, `data["x"]`},
		"twice in one value":   {staging, key, in("uri", "redis://:"+productions+"@r.example\npassword: "+productions), `data["uri"]`},
		"production's own":     {production, key, in("password", productions), ""},
		"another value":        {staging, key, in("password", productions+"x"), ""},
		"a shared one":         {staging, key, in("password", everybodys), ""},
		"without a key":        {staging, nil, in("password", productions), ""},
		"with another key":     {staging, other, in("password", productions), ""},
		"nothing":              {staging, key, in(), ""},
		"null":                 {staging, key, map[string]any{"data": nil, "stringData": nil}, ""},
		"wrong types":          {staging, key, map[string]any{"data": []any{productions}, "stringData": map[string]any{"password": int64(5)}}, ""},
		"huge, and innocent":   {staging, key, in("blob", strings.Repeat("word ", 200_000)), ""},
		"huge, and it ends so": {staging, key, in("blob", strings.Repeat("word ", 200_000)+productions), `data["blob"]`},
	} {
		e := policy.NewEvaluator(c.guard).WithKey(c.key)
		r := &policy.Request{Operation: "CREATE", Resource: "secrets", Namespace: "default", User: "jane", Object: c.object}
		d := e.Evaluate(r)
		if d.Allowed != (c.path == "") {
			t.Errorf("%s: allowed %t: %s", name, d.Allowed, d.Message)
			continue
		}
		if d.Allowed {
			continue
		}
		if !slices.Equal(d.Codes, []policy.Code{"SKOTT-D111"}) || !strings.Contains(d.Message, c.path+` holds a credential that belongs to Environment "production" (SKOTT-D111)`) {
			t.Errorf("%s: %v %s", name, d.Codes, d.Message)
		}
		if strings.Contains(d.Message, productions) || strings.Contains(d.Message, "hmac") {
			t.Errorf("%s: the message says too much: %s", name, d.Message)
		}
		if !e.OfPolicies().Evaluate(r).Allowed {
			t.Errorf("%s: the policies are said to see it", name)
		}
	}
}

// A Secret inside another object is one; one that an object names is judged by itself.
func TestCredentialsElsewhere(t *testing.T) {
	key := address.NewKey(bytes.Repeat([]byte{7}, address.KeyLength))
	e := policy.NewEvaluator(guardsWith(t, key, "staging")).WithKey(key)
	secret := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "s"}, "stringData": map[string]any{"password": productions}}
	work := &policy.Request{Operation: "CREATE", Group: "work.open-cluster-management.io", Resource: "manifestworks", Namespace: "default", User: "jane",
		Object: map[string]any{"spec": map[string]any{"workload": map[string]any{"manifests": []any{secret}}}}}
	if d := e.Evaluate(work); d.Allowed || d.Codes[0] != "SKOTT-D111" {
		t.Errorf("a payload: %v %s", d.Codes, d.Message)
	}
	pod := &policy.Request{Operation: "CREATE", Resource: "pods", Namespace: "default", User: "jane",
		Object: map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "envFrom": []any{map[string]any{"secretRef": map[string]any{"name": "s"}}}}}}},
		Lookup: func(string, string, string, string) map[string]any { return secret }}
	if d := e.Evaluate(pod); !d.Allowed {
		t.Errorf("a pod that was there before could not start again: %s", d.Message)
	}
}
