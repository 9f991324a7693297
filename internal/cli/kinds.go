// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// table is the table of movement kinds, with what the command has to know of kinds.
type table struct{ *flow.Table }

// rules of the project, and of the users of this hub. A kind that is invalid is in use
// nowhere, so it is left out here too; the warning says which.
func (w *world) rules() (*policy.Rules, []string) {
	specs := make([]skottv1.MovementKindSpec, len(w.kinds))
	for i := range w.kinds {
		specs[i] = w.kinds[i].Spec
	}
	rules, errs := policy.NewRules(specs...)
	var warnings []string
	for i, err := range errs {
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("MovementKind %q is in use nowhere: %v", w.kinds[i].Name, err))
		}
	}
	return rules, warnings
}

// table of the world: a Guard carries the kinds of users itself.
func (w *world) table() table {
	if len(w.guards) > 0 {
		return table{policy.NewEvaluator(w.guards[0]).Table()}
	}
	rules, _ := w.rules()
	return table{rules.Table()}
}

// kind of an object, or nil if it is in no table.
func (t table) kind(gvk schema.GroupVersionKind) *flow.Kind { return t.OfKind(gvk.Group, gvk.Kind) }

// resource of an object: by the table, or as names are usually made.
func (t table) resource(gvk schema.GroupVersionKind) string {
	if k := t.kind(gvk); k != nil {
		return k.Resource
	}
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural.Resource
}

// clusterScoped are usual kinds of no table that live in no namespace. One that is missing
// here is taken to be in the namespace of the others.
var clusterScoped = func() map[schema.GroupKind]bool {
	out := map[schema.GroupKind]bool{}
	for group, kinds := range map[string][]string{
		"":                             {"Namespace", "Node"},
		"admissionregistration.k8s.io": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
		"apiextensions.k8s.io":         {"CustomResourceDefinition"},
		"apiregistration.k8s.io":       {"APIService"},
		"cert-manager.io":              {"ClusterIssuer"},
		"certificates.k8s.io":          {"CertificateSigningRequest", "ClusterTrustBundle"},
		"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
		"gateway.networking.k8s.io":    {"GatewayClass"},
		"networking.k8s.io":            {"IngressClass", "IPAddress", "ServiceCIDR"},
		"node.k8s.io":                  {"RuntimeClass"},
		"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding"},
		"scheduling.k8s.io":            {"PriorityClass"},
		"snapshot.storage.k8s.io":      {"VolumeSnapshotClass"},
		"storage.k8s.io":               {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"},
		skottv1.GroupVersion.Group:     {"DataBoundary", "DataLocation", "Environment", "Guard", "ManagementCluster", "MovementKind"},
	} {
		for _, kind := range kinds {
			out[schema.GroupKind{Group: group, Kind: kind}] = true
		}
	}
	return out
}()

// namespaced reports whether objects of a kind live in namespaces.
func (t table) namespaced(gvk schema.GroupVersionKind) bool {
	if k := t.kind(gvk); k != nil {
		return k.Namespaced
	}
	return !clusterScoped[gvk.GroupKind()]
}

// linked are the kinds that objects of others lead to.
func (t table) linked() map[*flow.Kind]bool {
	out := map[*flow.Kind]bool{}
	for _, k := range t.Kinds() {
		for i := range k.Fields {
			if f := &k.Fields[i]; f.Form == flow.Link {
				if to := t.Lookup(f.To.Group, f.To.Resource); to != nil {
					out[to] = true
				}
			}
		}
	}
	return out
}

// ungovernedKinds are the kinds that Skott found in the clusters of a ManagementCluster and
// that are in no table.
func ungovernedKinds(m *skottv1.ManagementCluster) []string {
	out := make([]string, len(m.Status.Ungoverned))
	for i, u := range m.Status.Ungoverned {
		out[i] = u.Kind
	}
	return out
}
