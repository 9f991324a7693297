// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
)

// What a cluster needs to start is never refused because nobody answers; what may name an
// address in a way that the policies do not read always is.
func TestClosedKinds(t *testing.T) {
	rules := BuiltinRules()
	decide, probe := rules.Webhooks([]string{"calico-system", "kube-system"}, true)
	guard, find := decide.Webhooks[0], decide.Webhooks[1]
	if *guard.FailurePolicy != admissionv1.Fail || *find.FailurePolicy != admissionv1.Ignore || *probe.Webhooks[0].FailurePolicy != admissionv1.Ignore {
		t.Fatal("a webhook fails in the wrong way")
	}
	listed := map[string]bool{}
	for _, r := range guard.Rules {
		for _, resource := range r.Resources {
			if strings.Contains(resource, "*") || r.APIGroups[0] == "*" {
				t.Errorf("%s/%s is everything", r.APIGroups[0], resource)
			}
			listed[r.APIGroups[0]+"/"+resource] = true
		}
	}
	for _, want := range []string{"/pods", "/pods/ephemeralcontainers", "/configmaps", "apps/deployments", "batch/cronjobs", "velero.io/backupstoragelocations", "argoproj.io/applications"} {
		if !listed[want] {
			t.Errorf("%s passes while the webhook is away", want)
		}
	}
	for _, never := range append(slices.Concat(essentialResources, lenient), "coordination.k8s.io/leases", "rbac.authorization.k8s.io/roles", "skott.dev/guards",
		"admissionregistration.k8s.io/validatingwebhookconfigurations", "authentication.k8s.io/tokenreviews", "/services") {
		if listed[never] {
			t.Errorf("%s is refused while the webhook is away", never)
		}
	}
	for _, k := range rules.Table().Kinds() {
		hidden := !Essential(k.Group, k.Resource) && slices.ContainsFunc(k.Fields, func(f flow.Field) bool { return !f.InPolicy() })
		if resource := qualified(k.Group, k.Resource); hidden && !listed[resource] && !slices.Contains(lenient, resource) {
			t.Errorf("%s has fields that no policy reads, and passes while the webhook is away", resource)
		}
	}
	if got, want := guard.NamespaceSelector.MatchExpressions[0].Values, []string{"calico-system", "kube-node-lease", "kube-system"}; !slices.Equal(got, want) {
		t.Errorf("namespaces %q, want %q", got, want)
	}
}

// While no boundary denies, nothing is refused because the webhook is away.
func TestWebhooksFailOpenWhileNothingIsDenied(t *testing.T) {
	closed, _ := BuiltinRules().Webhooks(nil, true)
	open, probe := BuiltinRules().Webhooks(nil, false)
	for _, h := range slices.Concat(open.Webhooks, probe.Webhooks) {
		if *h.FailurePolicy != admissionv1.Ignore {
			t.Errorf("%s refuses what it cannot ask about", h.Name)
		}
	}
	open.Webhooks[0].FailurePolicy = closed.Webhooks[0].FailurePolicy
	if diff := cmp.Diff(closed, open); diff != "" {
		t.Errorf("more differs than the failure policy:\n%s", diff)
	}
}

// Every field that an API server would default is written out.
func TestWebhooksAreWhole(t *testing.T) {
	decide, probe := BuiltinRules().Webhooks(nil, true)
	for _, c := range []*admissionv1.ValidatingWebhookConfiguration{decide, probe} {
		for _, h := range c.Webhooks {
			if h.MatchPolicy == nil || h.SideEffects == nil || *h.SideEffects != admissionv1.SideEffectClassNone || h.TimeoutSeconds == nil ||
				*h.TimeoutSeconds > 5 || h.NamespaceSelector == nil || h.ObjectSelector == nil || len(h.MatchConditions) == 0 {
				t.Errorf("%s leaves something out", h.Name)
			}
			for _, r := range h.Rules {
				if r.Scope == nil || len(r.Operations) == 0 || slices.Contains(r.Operations, admissionv1.Delete) {
					t.Errorf("%s: %+v", h.Name, r)
				}
			}
		}
	}
}

// The canaries of the webhook are seen by Evaluate, and lie beyond what a policy walks.
func TestWebhookCanaries(t *testing.T) {
	g := &skottv1.Guard{Spec: skottv1.GuardSpec{
		Action: skottv1.ActionDeny, Revision: "r1", Cluster: skottv1.GuardedCluster{Name: "c", Environment: "staging"},
		Addresses: map[string]string{}, Crossings: map[string]map[string]string{}, Hosts: map[string]string{}, Aliases: map[string]string{}, Depths: []int64{2, 1},
	}}
	addCanary(&g.Spec, canaryHost(g))
	acts, probe := WebhookCanaries([]*skottv1.Guard{g})
	for _, c := range append(acts, probe) {
		if data, _ := c.Object.Object["data"].(map[string]any); len(data) <= maxItems {
			t.Errorf("%s: a policy sees it too", c.Family)
		}
		d := NewEvaluator(g).Evaluate(&Request{Operation: "CREATE", Resource: "configmaps", Namespace: Namespace, User: CanaryUser, DryRun: true, Object: c.Object.Object})
		if d.Allowed || !strings.Contains(d.Message, c.Want) {
			t.Errorf("%s: %+v", c.Family, d)
		}
	}
	if acts[0].Object.GetName() == probe.Object.GetName() {
		t.Error("one canary cannot prove two ways")
	}
}
