// SPDX-License-Identifier: Apache-2.0

package rbac_test

import (
	"fmt"
	"slices"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

const (
	namespace = "skott-system"
	// everywhere is the scope of a right in no namespace, or in all of them.
	everywhere = ""
)

// right is what one verb on one resource needs.
type right struct{ verb, group, resource, name, namespace string }

func (r right) String() string {
	return fmt.Sprintf("%s %s.%s %q in %q", r.verb, r.resource, r.group, r.name, r.namespace)
}

// need is a line of the list: why an account must be able to do something.
type need struct {
	why              string
	verbs            []string
	group            string
	resources, names []string
	namespace        string
}

var (
	watch  = []string{"get", "list", "watch"}
	write  = []string{"create", "update", "patch", "delete"}
	change = []string{"get", "update", "patch", "delete"}
	own    = []string{"environments", "managementclusters", "datalocations", "databoundaries", "movementkinds"}
	hooks  = []string{"skott-guard", "skott-guard-probe"}
	kept   = []string{"skott-guard-tls", "skott-guard-key"}
)

func statusOf(kinds []string) (out []string) {
	for _, k := range kinds {
		out = append(out, k+"/status")
	}
	return out
}

// guarding is what the operator needs wherever it guards.
var guarding = []need{
	{"to hold the policies", slices.Concat(watch, write), "admissionregistration.k8s.io", []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings"}, nil, everywhere},
	{"to hold the Guards", slices.Concat(watch, write), "skott.dev", []string{"guards"}, nil, everywhere},
	{"to hold their CRD", []string{"get", "update", "patch"}, "apiextensions.k8s.io", []string{"customresourcedefinitions"}, []string{"guards.skott.dev"}, everywhere},
	{"to make it, and to know what is served", []string{"create", "list", "watch"}, "apiextensions.k8s.io", []string{"customresourcedefinitions"}, nil, everywhere},
	{"to know the namespaces of an Environment of their own", watch, "", []string{"namespaces"}, nil, everywhere},
	{"to see whether a webhook was left behind", []string{"get"}, "admissionregistration.k8s.io", []string{"validatingwebhookconfigurations"}, hooks, everywhere},
	{"to renew its tokens", []string{"create"}, "", []string{"serviceaccounts/token"}, []string{"skott-operator", "skott-canary"}, namespace},
}

// surveying is to compare security measures.
var surveying = []need{
	{"to compare policies", []string{"list"}, "admissionregistration.k8s.io", []string{"validatingadmissionpolicies", "validatingadmissionpolicybindings",
		"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "validatingwebhookconfigurations", "mutatingwebhookconfigurations"}, nil, everywhere},
	{"to compare policies of others", []string{"list"}, "kyverno.io", []string{"clusterpolicies"}, nil, everywhere},
	{"to compare policies of others", []string{"list"}, "policies.kyverno.io", []string{"validatingpolicies"}, nil, everywhere},
	{"to compare policies of others", []string{"list"}, "templates.gatekeeper.sh", []string{"constrainttemplates"}, nil, everywhere},
	{"to see which namespaces have any", []string{"list"}, "networking.k8s.io", []string{"networkpolicies"}, nil, everywhere},
}

// reporting is to report what a scan finds, where reports are served.
var reporting = []need{
	{"to report what crosses", []string{"list", "create", "update", "delete"}, "openreports.io", []string{"reports", "clusterreports"}, nil, everywhere},
	{"to report it where OpenReports are not served", []string{"list", "create", "update", "delete"}, "wgpolicyk8s.io", []string{"policyreports", "clusterpolicyreports"}, nil, everywhere},
}

// deploying is what it needs where it runs the guard webhook.
var deploying = []need{
	{"to make the webhook's configurations", []string{"create", "list", "watch"}, "admissionregistration.k8s.io", []string{"validatingwebhookconfigurations"}, nil, everywhere},
	{"to hold them", change, "admissionregistration.k8s.io", []string{"validatingwebhookconfigurations"}, hooks, everywhere},
	{"to make its certificate and its key", []string{"create"}, "", []string{"secrets"}, nil, namespace},
	{"to hold them", slices.Concat([]string{"list", "watch"}, change), "", []string{"secrets"}, kept, namespace},
	{"to make its Service", []string{"create", "list", "watch"}, "", []string{"services"}, nil, namespace},
	{"to hold it", change, "", []string{"services"}, []string{"skott-guard"}, namespace},
	{"to make its Deployment", []string{"create", "list", "watch"}, "apps", []string{"deployments"}, nil, namespace},
	{"to hold it", change, "apps", []string{"deployments"}, []string{"skott-guard"}, namespace},
	{"to make its PodDisruptionBudget", []string{"create", "list", "watch"}, "policy", []string{"poddisruptionbudgets"}, nil, namespace},
	{"to hold it", change, "policy", []string{"poddisruptionbudgets"}, []string{"skott-guard"}, namespace},
}

// learning is to read what addresses are learned from.
func learning() (out []need) {
	for _, k := range flow.Builtin().Kinds() {
		if slices.ContainsFunc(k.Fields, func(f flow.Field) bool { return f.Learn }) {
			out = append(out, need{"to learn from " + k.Kind, watch, k.Group, []string{k.Resource}, nil, everywhere})
		}
	}
	return out
}

// scanning is to find what was there before the guard; Secrets only by the right to learn from them.
func scanning() (out []need) {
	for _, k := range flow.Builtin().Kinds() {
		if k.Channel == "" && k.Group != "skott.dev" && (k.Group != "" || k.Resource != "secrets") {
			out = append(out, need{"to find what crosses in " + k.Kind, []string{"list", "watch"}, k.Group, []string{k.Resource}, nil, everywhere})
		}
	}
	return out
}

// central is what it needs in the Ops Cluster alone.
var central = []need{
	{"to read what people write, and to hold finalizers and labels", []string{"get", "list", "watch", "update", "patch"}, "skott.dev", own, nil, everywhere},
	{"to write down what it learns", []string{"create", "delete"}, "skott.dev", []string{"datalocations"}, nil, everywhere},
	{"to report", []string{"get", "update", "patch"}, "skott.dev", statusOf(own), nil, everywhere},
	{"to hold finalizers where owner references are checked", []string{"update"}, "skott.dev", []string{"environments/finalizers", "managementclusters/finalizers", "databoundaries/finalizers"}, nil, everywhere},
	{"to read the kubeconfigs that ManagementClusters name", watch, "", []string{"secrets"}, nil, namespace},
	{"to make the key of fingerprints", []string{"create"}, "", []string{"secrets"}, nil, namespace},
	{"to see its accounts", []string{"get"}, "", []string{"serviceaccounts"}, []string{"skott-operator", "skott-canary"}, namespace},
	{"to elect a leader", []string{"get", "create", "update", "patch"}, "coordination.k8s.io", []string{"leases"}, nil, namespace},
	{"to tell", []string{"create", "patch"}, "", []string{"events"}, nil, namespace},
	{"to tell", []string{"create", "patch"}, "events.k8s.io", []string{"events"}, nil, namespace},
	{"to tell of what is in no namespace", []string{"create", "patch"}, "", []string{"events"}, nil, "default"},
	{"to tell of what is in no namespace", []string{"create", "patch"}, "events.k8s.io", []string{"events"}, nil, "default"},
	{"to label the cluster Secrets of Argo CD", []string{"get", "list", "watch", "patch"}, "", []string{"secrets"}, nil, "argocd"},
}

// managing is what it needs where Cluster API runs.
var managing = []need{
	{"to find the Clusters, and to label them", []string{"get", "list", "watch", "patch"}, "cluster.x-k8s.io", []string{"clusters"}, nil, everywhere},
	{"to read the kubeconfigs of Cluster API, by name", []string{"get"}, "", []string{"secrets"}, nil, everywhere},
}

// asking is all that the canary may do as far as RBAC is concerned.
var asking = []need{
	{"to be refused by admission", []string{"create", "patch"}, "skott.dev", []string{"guards"}, nil, everywhere},
	{"to be refused by admission", []string{"patch"}, "", []string{"namespaces"}, []string{namespace}, everywhere},
	{"to be refused by admission", []string{"create"}, "", []string{"pods", "configmaps", "services", "secrets", "persistentvolumeclaims"}, nil, namespace},
	{"to be refused by admission", []string{"create"}, "apps", []string{"controllerrevisions"}, nil, namespace},
}

// judging is what the guard webhook needs, and following what it needs to look at what objects name.
var judging = []need{
	{"to know what to refuse", watch, "skott.dev", []string{"guards"}, nil, everywhere},
	{"to know whose a namespace is", watch, "", []string{"namespaces"}, nil, everywhere},
	{"to serve, and to make fingerprints", watch, "", []string{"secrets"}, kept, namespace},
}

func following(secrets bool) (out []need) {
	for _, r := range policy.BuiltinRules().Reads(secrets) {
		out = append(out, need{"to see what an object leads to", []string{"get"}, r.Group, []string{r.Resource}, nil, everywhere})
	}
	return out
}

// expand is every single right of needs.
func expand(needs ...[]need) map[right]string {
	out := map[right]string{}
	for _, n := range slices.Concat(needs...) {
		names := n.names
		if names == nil {
			names = []string{""}
		}
		for _, verb := range n.verbs {
			for _, resource := range n.resources {
				for _, name := range names {
					out[right{verb, n.group, resource, name, n.namespace}] = n.why
				}
			}
		}
	}
	return out
}

// granted adds every single right of rules.
func granted(out map[right]bool, rules []rbacv1.PolicyRule, in string) {
	for _, rule := range rules {
		Expect(rule.NonResourceURLs).To(BeEmpty())
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						out[right{verb, group, resource, name, in}] = true
					}
				}
			}
		}
	}
}
