// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/skott-dev/skott/internal/status"
)

func TestSurvey(t *testing.T) {
	by := map[string]surveyed{"Namespace": surveyNamespaces}
	for _, k := range surveyKinds {
		by[k.kind.Kind] = k
	}
	for text, want := range map[string][]status.Measure{
		"{kind: ValidatingAdmissionPolicy, metadata: {name: a}, spec: {failurePolicy: Fail}}":                     {{Kind: "ValidatingAdmissionPolicy", Name: "a", Strength: 2, Says: "Fail"}},
		"{kind: ValidatingAdmissionPolicy, metadata: {name: a}, spec: {failurePolicy: Ignore}}":                   {{Kind: "ValidatingAdmissionPolicy", Name: "a", Strength: 1, Says: "Ignore"}},
		"{kind: ValidatingAdmissionPolicy, metadata: {name: a}, spec: {failurePolicy: 7}}":                        {{Kind: "ValidatingAdmissionPolicy", Name: "a", Strength: 2, Says: "Fail"}},
		"{kind: ValidatingAdmissionPolicyBinding, metadata: {name: a}, spec: {validationActions: [Audit, Deny]}}": {{Kind: "ValidatingAdmissionPolicyBinding", Name: "a", Strength: 3, Says: "Deny"}},
		"{kind: ValidatingAdmissionPolicyBinding, metadata: {name: a}, spec: {validationActions: null}}":          {{Kind: "ValidatingAdmissionPolicyBinding", Name: "a", Strength: 1}},
		"{kind: ValidatingWebhookConfiguration, metadata: {name: a}, webhooks: [{name: b, failurePolicy: Ignore}, {name: c}, null, 7]}": {
			{Kind: "ValidatingWebhookConfiguration", Name: "a/b", Strength: 1, Says: "Ignore"}, {Kind: "ValidatingWebhookConfiguration", Name: "a/c", Strength: 2, Says: "Fail"}},
		"{kind: MutatingWebhookConfiguration, metadata: {name: a}, webhooks: none}":                        nil,
		"{kind: NetworkPolicy, metadata: {name: a, namespace: web}}":                                       {{Kind: "NetworkPolicy", Name: "web", Strength: 1}},
		"{kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: restricted}}}": {{Kind: "PodSecurity", Name: "a", Strength: 2, Says: "restricted"}},
		"{kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: baseline}}}":   {{Kind: "PodSecurity", Name: "a", Strength: 1, Says: "baseline"}},
		"{kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/enforce: privileged}}}": nil,
		"{kind: Namespace, metadata: {name: a, labels: {pod-security.kubernetes.io/warn: restricted}}}":    nil,
		"{kind: ClusterPolicy, metadata: {name: a}}":                                                       {{Kind: "ClusterPolicy", Name: "a", Strength: 1}},
		"{kind: ClusterPolicy, metadata: {name: " + strings.Repeat("a", maxMeasureName+1) + "}}":           nil,
	} {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		got := &status.Measures{}
		add(got, by[u.GetKind()], u)
		if diff := cmp.Diff(want, got.All); diff != "" {
			t.Errorf("%s:\n%s", text, diff)
		}
	}
}
