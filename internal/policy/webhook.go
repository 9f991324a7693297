// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
)

// The configurations of the guard webhook, and the webhooks in them.
const (
	// WebhookConfiguration makes the webhook decide, WebhookProbe only lets it be asked
	// whether it answers.
	WebhookConfiguration = "skott-guard"
	WebhookProbe         = "skott-guard-probe"

	// hookGuard refuses what it cannot ask about while a boundary denies, hookFind never does.
	hookGuard = "guard.skott.dev"
	hookFind  = "find.guard.skott.dev"
	hookProbe = "probe.guard.skott.dev"

	// The objects of the live proof, one for each way to the webhook.
	canaryActs  = "skott-canary-webhook"
	canaryProbe = "skott-canary-webhook-probe"
)

// How long the API server waits for an answer, in seconds.
const guardTimeout, findTimeout = 5, 2

// essentialGroups are the API groups that a cluster needs to start, to heal itself and to
// be repaired, and that hold no data and no addresses of any. Of other groups those are the
// essentialResources.
var (
	essentialGroups = []string{
		"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
		"certificates.k8s.io", "coordination.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io",
		"node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storagemigration.k8s.io", skottv1.GroupVersion.Group,
	}
	essentialResources = []string{
		"/bindings", "/componentstatuses", "/events", "/nodes",
		"storage.k8s.io/csidrivers", "storage.k8s.io/csinodes", "storage.k8s.io/csistoragecapacities", "storage.k8s.io/volumeattachments",
	}
	// lenient resources are asked about, but without them a cluster could not start its first
	// pods, or serve what it runs, while nobody answers. Their texts are short by nature, so
	// that the policies read all of them.
	lenient = []string{"/endpoints", "discovery.k8s.io/endpointslices", "/namespaces", "/persistentvolumes", "/serviceaccounts", "/services"}
	// lenientNamespaces hold what a cluster needs to start.
	lenientNamespaces = []string{metav1.NamespaceSystem, "kube-node-lease"}
)

// namespaceName is the label of every Namespace that holds its name.
const namespaceName = "kubernetes.io/metadata.name"

func qualified(group, resource string) string { return group + "/" + resource }

// Essential reports whether a cluster needs to write a resource to start. The guard webhook
// never judges it.
func Essential(group, resource string) bool {
	return slices.Contains(essentialGroups, group) || slices.Contains(essentialResources, qualified(group, resource))
}

// closed reports whether objects of a kind are refused while the webhook does not answer:
// the policies do not read all that they say.
func closed(k *flow.Kind) bool {
	return !Essential(k.Group, k.Resource) && !slices.Contains(lenient, qualified(k.Group, k.Resource)) &&
		slices.ContainsFunc(k.Fields, func(f flow.Field) bool { return isText(&f) || !f.InPolicy() })
}

// Webhooks compiles the table of movement kinds into the configurations of the guard
// webhook: the one that decides, and the one that probes. denies is as for Policies. exempt are namespaces beside those
// of the system where nothing is refused while the webhook does not answer. Where the
// webhook is, the caller fills in. Every field that the API server would default is
// written out, so that a stored configuration can be compared with the desired one.
func (r *Rules) Webhooks(exempt []string, denies bool) (decide, probe *admissionv1.ValidatingWebhookConfiguration) {
	open := openNamespaces(exempt)
	guard, find := hook(hookGuard, failure(denies), guardTimeout), hook(hookFind, admissionv1.Ignore, findTimeout)
	guard.Rules = r.closedRules()
	guard.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: namespaceName, Operator: metav1.LabelSelectorOpNotIn, Values: open,
	}}}
	guard.MatchConditions = []admissionv1.MatchCondition{
		{Name: "not-of-skott", Expression: "!(" + celOwnNamespace + ") || " + celName + " == " + quote(canaryActs)},
		{Name: "not-what-nodes-need", Expression: "!(" + celNodePod + ")"},
	}
	find.Rules = []admissionv1.RuleWithOperations{webhookRule([]string{"*"}, []string{"*"})}
	find.MatchConditions = []admissionv1.MatchCondition{
		{Name: "not-essential", Expression: "!(request.resource.group in " + celStrings(essentialGroups) + " || " + celResource + " in " + celStrings(essentialResources) + ")"},
		{Name: "not-of-skott", Expression: "!(" + celOwnNamespace + ")"},
		{Name: "not-asked-already", Expression: "!(" + celResource + " in " + celStrings(r.closedResources()) + ") || has(request.namespace) && request.namespace in " + celStrings(open) + " || " + celNodePod},
	}
	asked := hook(hookProbe, admissionv1.Ignore, findTimeout)
	asked.Rules = []admissionv1.RuleWithOperations{webhookRule([]string{""}, []string{"configmaps"})}
	asked.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{namespaceName: Namespace}}
	asked.MatchConditions = []admissionv1.MatchCondition{{Name: "the-canary", Expression: celName + " == " + quote(canaryProbe)}}
	return webhooks(WebhookConfiguration, guard, find), webhooks(WebhookProbe, asked)
}

// openNamespaces are those in which nothing is refused while the webhook does not answer.
func openNamespaces(exempt []string) []string {
	open := append(slices.Clone(lenientNamespaces), exempt...)
	slices.Sort(open)
	return slices.Compact(open)
}

// TextNamespaces are those in which the policies read free text although the guard webhook
// does: where the webhook is not asked, or passed when it does not answer.
func TextNamespaces(exempt []string) []string {
	return openNamespaces(append([]string{Namespace}, exempt...))
}

// celLeft is true for an object of one of the kinds whose free text the guard webhook alone reads: it is
// refused while that does not answer. It asks for what the webhook's own conditions do.
func celLeft(kinds []*flow.Kind) string {
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k *flow.Kind) bool { return k.Channel != "" || !closed(k) })
	if len(kinds) == 0 {
		return "false"
	}
	left := "has(params.spec.cluster.textNamespaces) && " + when(kinds...) + " && " + celSubresource + " == '' && " +
		"!(has(request.namespace) && request.namespace in params.spec.cluster.textNamespaces)"
	if slices.ContainsFunc(kinds, func(k *flow.Kind) bool { return k.Group == "" && k.Resource == "pods" }) {
		left += " && !(" + strings.ReplaceAll(celNodePod, "object.", "dyn(object).") + ")"
	}
	return left
}

const (
	celResource     = "(request.resource.group + '/' + request.resource.resource)"
	celOwnNamespace = "has(request.namespace) && request.namespace == '" + Namespace + "'"
	celName         = "(has(request.name) ? request.name : '')"
	// celNodePod: pods without which no node takes up work, such as those of the network. A
	// cluster whose nodes are all new could not start the webhook without them.
	celNodePod = "request.resource.group == '' && request.resource.resource == 'pods' && object != null && has(object.spec) && " +
		"has(object.spec.priorityClassName) && object.spec.priorityClassName == 'system-node-critical'"
)

func celStrings(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = quote(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func webhooks(name string, hooks ...admissionv1.ValidatingWebhook) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}},
		Webhooks:   hooks,
	}
}

func hook(name string, policy admissionv1.FailurePolicyType, timeout int32) admissionv1.ValidatingWebhook {
	equivalent, none := admissionv1.Equivalent, admissionv1.SideEffectClassNone
	return admissionv1.ValidatingWebhook{
		Name: name, FailurePolicy: &policy, TimeoutSeconds: &timeout, MatchPolicy: &equivalent, SideEffects: &none,
		NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{}, AdmissionReviewVersions: []string{"v1"},
	}
}

// webhookRule is a rule for resources in every served version. Subresources are asked about only
// where the same object is written through them.
func webhookRule(groups, resources []string) admissionv1.RuleWithOperations {
	scope := admissionv1.AllScopes
	return admissionv1.RuleWithOperations{Operations: writes, Rule: admissionv1.Rule{
		APIGroups: groups, APIVersions: []string{"*"}, Resources: resources, Scope: &scope,
	}}
}

// closedRules are the kinds that are refused while nobody answers, one rule for each group.
func (r *Rules) closedRules() []admissionv1.RuleWithOperations {
	var out []admissionv1.RuleWithOperations
	for _, k := range r.table.Kinds() {
		if !closed(k) {
			continue
		}
		at := slices.IndexFunc(out, func(r admissionv1.RuleWithOperations) bool { return r.APIGroups[0] == k.Group })
		if at < 0 {
			at = len(out)
			out = append(out, webhookRule([]string{k.Group}, nil))
		}
		out[at].Resources = append(out[at].Resources, k.Resource)
		for _, sub := range k.Subresources {
			out[at].Resources = append(out[at].Resources, k.Resource+"/"+sub)
		}
	}
	return out
}

func (r *Rules) closedResources() []string {
	var out []string
	for _, k := range r.table.Kinds() {
		if closed(k) {
			out = append(out, qualified(k.Group, k.Resource))
		}
	}
	return out
}

// Reads are the resources that the webhook looks into when another object names one of
// them; Secrets only if it may.
func (r *Rules) Reads(secrets bool) []schema.GroupResource {
	var out []schema.GroupResource
	for _, k := range r.table.Kinds() {
		for i := range k.Fields {
			f := &k.Fields[i]
			target := schema.GroupResource{Group: f.To.Group, Resource: f.To.Resource}
			if f.Form == flow.Link && (secrets || target != schema.GroupResource{Resource: "secrets"}) && r.table.Lookup(target.Group, target.Resource) != nil && !slices.Contains(out, target) {
				out = append(out, target)
			}
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupResource) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// WebhookCanaries are the requests that prove that the guard webhook acts, and that it can
// be asked: ConfigMaps of more keys than a policy walks. There is one for each Guard that denies.
func WebhookCanaries(guards []*skottv1.Guard) (acts []Canary, probe Canary) {
	of := func(family, name, host string) Canary {
		data := map[string]any{"address": host}
		for i := range maxItems {
			data[strconv.Itoa(i)] = ""
		}
		return named(canary(flow.Family(family), host, "ConfigMap", map[string]any{"data": data}), Namespace, name)
	}
	for _, g := range guards {
		if g.Spec.Action == skottv1.ActionDeny {
			acts = append(acts, of(hookGuard, canaryActs, canaryHost(g)))
		}
	}
	return acts, of(hookProbe, canaryProbe, canaryHost(guards[0]))
}
