// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// The policies of API groups say what Evaluate says, in the same words, in the API server's
// own evaluator. What every cluster serves, test/integration/policy sends to a real one.
func TestPoliciesOfGroupsAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the policies of all groups")
	}
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	resolved := policy.New(platform.Snapshot)
	guards := map[string]*skottv1.Guard{}
	for name, c := range platform.Clusters {
		guards[name] = resolved.Guards(c.GuardedCluster, c.Namespaces, policy.BuiltinRules().AllFamilies())[0]
	}
	cases := map[flow.Family][]*corpus.Case{}
	for _, c := range allCases(t) {
		gvk := (&unstructured.Unstructured{Object: c.Object}).GroupVersionKind()
		if k := flow.Builtin().OfKind(gvk.Group, gvk.Kind); k != nil && k.InPolicy() && !k.Family.Everywhere() && c.OldObject == nil && c.User == "" {
			cases[k.Family] = append(cases[k.Family], c)
		}
	}
	j, refused := newJudge(t), 0
	for family, cases := range cases {
		compiled := compile(t, family)
		for _, c := range cases {
			want := j[c.Cluster].OfPolicies().Evaluate(requestOf(c))
			if got := compiled.answer(t, c, guards[c.Cluster]); got != want.Message {
				t.Errorf("%s:\npolicy:   %s\nEvaluate: %s", c.Title(), got, want.Message)
			}
			if !want.Allowed {
				refused++
			}
		}
	}
	if refused < len(cases) {
		t.Errorf("%d refusals by the policies of %d groups: there is little to compare", refused, len(cases))
	}
}

// answer is what the policy says to a case that creates an object, or "".
func (c compiled) answer(t *testing.T, one *corpus.Case, guard *skottv1.Guard) string {
	t.Helper()
	u := &unstructured.Unstructured{Object: one.Object}
	kind := u.GroupVersionKind()
	resource := kind.GroupVersion().WithResource(resourceOf(u))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: u.GetNamespace()}}
	if claim := claims[ns.Name]; claim != "" {
		ns.Labels = map[string]string{skottv1.LabelEnvironment: claim}
	}
	if ns.Name == "" {
		ns = nil
	}
	a := admission.NewAttributesRecord(u, nil, kind, u.GetNamespace(), u.GetName(), resource, one.Subresource, admission.Create, &metav1.CreateOptions{}, true, &user.DefaultInfo{Name: "admin"})
	versioned := &admission.VersionedAttributes{Attributes: a, VersionedKind: kind, VersionedObject: u}
	decisions := c.validator.Validate(context.Background(), resource, versioned, params(t, guard), ns, celconfig.RuntimeCELCostBudget, nil).Decisions
	if i := slices.IndexFunc(decisions, func(d validating.PolicyDecision) bool { return d.Action != validating.ActionAdmit }); i >= 0 {
		return decisions[i].Message
	}
	return ""
}
