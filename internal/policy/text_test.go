// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// leaves is a Guard that leaves free text to the webhook.
func leaves(g *skottv1.Guard, exempt ...string) *skottv1.Guard {
	out := g.DeepCopy()
	out.Spec.Cluster.TextNamespaces = policy.TextNamespaces(exempt)
	return out
}

// asked reports whether the API server refuses an object when it cannot ask the webhook about it. It reads
// rules and namespaces of the configuration; its conditions concern objects that the cases have by name.
func asked(t *testing.T, c *corpus.Case) bool {
	t.Helper()
	decide, _ := policy.BuiltinRules().Webhooks(nil, true)
	guard := decide.Webhooks[0]
	if *guard.FailurePolicy != admissionv1.Fail {
		t.Fatal("the webhook fails open")
	}
	u := &unstructured.Unstructured{Object: c.Object}
	resource := resourceOf(u)
	if c.Subresource != "" {
		resource += "/" + c.Subresource
	}
	if u.GetNamespace() == policy.Namespace || slices.Contains(guard.NamespaceSelector.MatchExpressions[0].Values, u.GetNamespace()) {
		return false
	}
	return slices.ContainsFunc(guard.Rules, func(r admissionv1.RuleWithOperations) bool {
		return r.APIGroups[0] == u.GroupVersionKind().Group && slices.Contains(r.Resources, resource) && slices.Contains(r.Operations, admissionv1.Create)
	})
}

// Where the policies leave free text to the webhook they refuse nothing else, and whatever they do not
// refuse any more the API server refuses while it cannot ask the webhook.
func TestPoliciesLeaveText(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles policies")
	}
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	resolved := policy.New(platform.Snapshot)
	families := map[flow.Family]compiled{}
	left, kept := 0, 0
	for _, c := range allCases(t) {
		gvk := (&unstructured.Unstructured{Object: c.Object}).GroupVersionKind()
		k := flow.Builtin().OfKind(gvk.Group, gvk.Kind)
		if k == nil || !k.InPolicy() || c.OldObject != nil || c.User != "" || !k.Family.Everywhere() && k.Family != "argoproj.io" {
			continue
		}
		if _, ok := families[k.Family]; !ok {
			families[k.Family] = compile(t, k.Family)
		}
		cluster := platform.Clusters[c.Cluster]
		guard := resolved.Guards(cluster.GuardedCluster, cluster.Namespaces, policy.BuiltinRules().AllFamilies())[0]
		all, rest := families[k.Family].answer(t, c, guard), families[k.Family].answer(t, c, leaves(guard))
		switch {
		case all == "" && rest != "":
			t.Errorf("%s: refused, and innocent: %s", c.Title(), rest)
		case all != "" && rest == "" && !asked(t, c):
			t.Errorf("%s: left to a webhook that is not asked", c.Title())
		case all != "" && rest == "":
			left++
		case all != "":
			kept++
		}
	}
	if left < 20 || kept < 20 {
		t.Errorf("%d refusals left to the webhook, and %d kept: there is little to compare", left, kept)
	}
}

// What the webhook is not asked about, or passed for when it is away, the policies read as before.
func TestPoliciesKeepText(t *testing.T) {
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	staging := platform.Clusters["staging"]
	guard := policy.New(platform.Snapshot).Guards(staging.GuardedCluster, staging.Namespaces, policy.BuiltinRules().AllFamilies())[0]
	pod := func(namespace, priority string) map[string]any {
		spec := map[string]any{"containers": []any{map[string]any{
			"name": "c", "image": "registry.example/c", "env": []any{map[string]any{"name": "DB", "value": "db.prod.example"}},
		}}}
		if priority != "" {
			spec["priorityClassName"] = priority
		}
		return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": namespace, "name": "p"}, "spec": spec}
	}
	config := func(namespace string) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": namespace, "name": "c"},
			"data": map[string]any{"url": "postgres://db.prod.example/shop"},
		}
	}
	workload, data := compile(t, flow.Workload), compile(t, flow.Config)
	for _, test := range []struct {
		name        string
		by          compiled
		object      map[string]any
		subresource string
		refused     bool
	}{
		{"a pod", workload, pod("shop", ""), "", false},
		{"a pod of another priority", workload, pod("shop", "system-cluster-critical"), "", false},
		{"a pod that nodes need", workload, pod("shop", "system-node-critical"), "", true},
		{"a pod of the system", workload, pod("kube-system", ""), "", true},
		{"a pod of a namespace that is exempt", workload, pod("calico-system", ""), "", true},
		{"a pod of Skott's", workload, pod(policy.Namespace, ""), "", true},
		{"a container added to a pod", workload, pod("shop", ""), "ephemeralcontainers", true},
		{"a ConfigMap", data, config("shop"), "", false},
		{"a ConfigMap of the system", data, config("kube-system"), "", true},
		{"a ConfigMap of a namespace that is exempt", data, config("calico-system"), "", true},
		{"a ConfigMap of Skott's", data, config(policy.Namespace), "", true},
	} {
		c := &corpus.Case{Object: test.object, Subresource: test.subresource}
		if test.subresource == "ephemeralcontainers" {
			spec, _ := test.object["spec"].(map[string]any)
			spec["ephemeralContainers"] = spec["containers"]
		}
		if before := test.by.answer(t, c, guard); !strings.Contains(before, "db.prod.example") {
			t.Errorf("%s is not refused by policies that read everything: %q", test.name, before)
		}
		if got := test.by.answer(t, c, leaves(guard, "calico-system")); (got != "") != test.refused {
			t.Errorf("%s: %q, refused: want %t", test.name, got, test.refused)
		}
	}
}
