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

// longExpression is the length from which the type checker of an API server takes its time.
const longExpression = 8 << 10

// The policies are the same in every cluster, and change with a release only.
func TestPoliciesAreDeterministic(t *testing.T) {
	first := BuiltinRules().Policies(families, true)
	for range 3 {
		if diff := cmp.Diff(first, BuiltinRules().Policies(families, true)); diff != "" {
			t.Fatalf("two calls, two outputs:\n%s", diff)
		}
	}
	for _, p := range first {
		for _, v := range p.Spec.Variables {
			report(t, p.Name+" variable "+v.Name, v.Expression)
		}
		for _, m := range p.Spec.MatchConditions {
			report(t, p.Name+" condition "+m.Name, m.Expression)
		}
		for _, v := range p.Spec.Validations {
			report(t, p.Name+" validation", v.Expression)
			report(t, p.Name+" message", v.MessageExpression)
			if v.Message == "" || v.MessageExpression == "" || v.Reason == nil {
				t.Errorf("%s: a validation without message or reason", p.Name)
			}
		}
	}
}

func report(t *testing.T, what, expression string) {
	t.Helper()
	if expression == "" || len(expression) > 2*longExpression {
		t.Errorf("%s has %d characters", what, len(expression))
	} else if len(expression) > longExpression {
		t.Logf("%s has %d characters", what, len(expression))
	}
}

// While no boundary denies, nothing is refused because a policy cannot work, but by those that
// refuse whatever the boundaries say. The two are one policy otherwise, compiled once.
func TestPoliciesFailOpenOnlyWhileNothingIsDenied(t *testing.T) {
	denying, told := BuiltinRules().Policies(families, true), BuiltinRules().Policies(families, false)
	for i, p := range denying {
		want := admissionv1.Ignore
		if p.Name == "skott-cluster" || p.Name == "skott-guard" {
			want = admissionv1.Fail
		}
		if *p.Spec.FailurePolicy != admissionv1.Fail || *told[i].Spec.FailurePolicy != want {
			t.Errorf("%s: %s while a boundary denies, %s while none does; want Fail and %s", p.Name, *p.Spec.FailurePolicy, *told[i].Spec.FailurePolicy, want)
		}
		if &p.Spec.Validations[0] != &told[i].Spec.Validations[0] {
			t.Errorf("%s was compiled twice", p.Name)
		}
		open := *told[i]
		open.Spec.FailurePolicy = p.Spec.FailurePolicy
		if diff := cmp.Diff(p, &open); diff != "" {
			t.Errorf("%s differs in more than its failure policy:\n%s", p.Name, diff)
		}
	}
	if again := BuiltinRules().Policies(families, false); !slices.Equal(told, again) {
		t.Error("the second call does not return what the first did")
	}
}

// What brings the kind of their parameters back is matched by no policy that has one.
func TestPoliciesLetTheKindOfTheGuardComeBack(t *testing.T) {
	for _, p := range BuiltinRules().Policies(BuiltinRules().AllFamilies(), true) {
		reads := slices.ContainsFunc(p.Spec.MatchConstraints.ResourceRules, func(r admissionv1.NamedRuleWithOperations) bool {
			return r.APIGroups[0] == "apiextensions.k8s.io" && r.Resources[0] == "customresourcedefinitions"
		})
		excluded := p.Spec.MatchConstraints.ExcludeResourceRules
		switch {
		case reads && p.Spec.ParamKind != nil:
			if len(excluded) != 1 || !slices.Equal(excluded[0].ResourceNames, []string{GuardCRD}) || !slices.Equal(excluded[0].Operations, writes) {
				t.Errorf("%s matches the CRD of the Guard: %+v", p.Name, excluded)
			}
		case len(excluded) > 0:
			t.Errorf("%s leaves out %+v", p.Name, excluded)
		}
	}
	definition := func(name string) *Request {
		return &Request{Operation: "CREATE", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Object: map[string]any{"metadata": map[string]any{"name": name}}}
	}
	e := NewEvaluator(&skottv1.Guard{})
	if e.kind(definition(GuardCRD)) != nil || e.kind(definition("backups.velero.io")) == nil {
		t.Error("Evaluate reads others than the policies do")
	}
}

// Every kind of the table is matched by the policy of its family, through each way in which
// it is written, and no policy matches another.
func TestPoliciesMatchTheTable(t *testing.T) {
	matched := map[string]string{}
	for _, p := range BuiltinRules().Policies(families, true) {
		if *p.Spec.FailurePolicy != admissionv1.Fail {
			t.Errorf("%s fails open", p.Name)
		}
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			for _, resource := range r.Resources {
				if len(r.ResourceNames) > 0 { // the canary of the family
					if want := canaryName(flow.Family(strings.TrimPrefix(p.Name, "skott-"))); !slices.Equal(r.ResourceNames, []string{want}) {
						t.Errorf("%s matches %v", p.Name, r.ResourceNames)
					}
					continue
				}
				matched[p.Name+" "+r.APIGroups[0]+"/"+resource] = strings.Join(r.APIVersions, ",")
			}
		}
	}
	for _, k := range flow.Builtin().Kinds() {
		if !k.InPolicy() {
			continue
		}
		for _, resource := range append([]string{""}, k.Subresources...) {
			name := PolicyName(k.Family, "") + " " + k.Group + "/" + strings.TrimSuffix(k.Resource+"/"+resource, "/")
			if matched[name] != "*" {
				t.Errorf("%s is matched in versions %q, want all", name, matched[name])
			}
			delete(matched, name)
		}
	}
	want := map[string]string{
		"skott-cluster cluster.x-k8s.io/clusters/*": "*", "skott-cluster /namespaces": "*", "skott-cluster /namespaces/*": "*",
		"skott-workload /pods/exec": "*", "skott-delivery /serviceaccounts/token": "*",
		"skott-guard skott.dev/guards": "*", "skott-guard skott.dev/guards/*": "*",
		"skott-guard apiextensions.k8s.io/customresourcedefinitions": "*", "skott-guard apiextensions.k8s.io/customresourcedefinitions/*": "*",
	}
	if diff := cmp.Diff(want, matched); diff != "" {
		t.Errorf("beside the table (-want +got):\n%s", diff)
	}
}

func TestBindings(t *testing.T) {
	var got []string
	for _, b := range Bindings(BuiltinRules().Families(nil), skottv1.ActionDeny, skottv1.ActionWarn) {
		line := b.Name
		for _, a := range b.Spec.ValidationActions {
			line += " " + string(a)
		}
		if b.Spec.ParamRef != nil {
			line += " " + b.Spec.ParamRef.Selector.MatchLabels[skottv1.LabelAction] + " else " + string(*b.Spec.ParamRef.ParameterNotFoundAction)
		}
		got = append(got, line)
	}
	want := []string{
		"skott-storage-deny Deny Audit Deny else Deny", "skott-storage-warn Warn Audit Warn else Allow",
		"skott-network-deny Deny Audit Deny else Deny", "skott-network-warn Warn Audit Warn else Allow",
		"skott-workload-deny Deny Audit Deny else Deny", "skott-workload-warn Warn Audit Warn else Allow",
		"skott-config-deny Deny Audit Deny else Deny", "skott-config-warn Warn Audit Warn else Allow",
		"skott-delivery-deny Deny Audit Deny else Deny", "skott-delivery-warn Warn Audit Warn else Allow",
		"skott-cluster-deny Deny Audit Deny else Deny", "skott-cluster-warn Warn Audit Warn else Allow",
		"skott-guard-deny Deny Audit",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Bindings (-want +got):\n%s", diff)
	}
}

func TestCrossingMessage(t *testing.T) {
	field := &flow.Field{Type: "Bucket", Direction: flow.Names}
	v := func(code Code, path, address string) Violation {
		return Violation{Code: code, Path: path, Address: address, Owner: "production", Boundary: "customer-data", phrase: phrase(field)}
	}
	here := place{environment: "staging", subject: `cluster "ns/c"`}
	end := `; cluster "ns/c" belongs to Environment "staging". Use one of Environment "staging" instead, or see ` + Documentation + `#skott-d102`
	one := `spec.bucket names bucket "s3.example/a", which belongs to Environment "production" (SKOTT-D102)`
	two := `spec.other names bucket "s3.example/b", which belongs to Environment "production" (SKOTT-D202)`
	a, b := v("SKOTT-D102", "spec.bucket", "s3.example/a"), v("SKOTT-D202", "spec.other", "s3.example/b")
	for name, c := range map[string]struct {
		violations []Violation
		want       string
	}{
		"One": {[]Violation{a}, `crosses DataBoundary "customer-data": ` + one + end},
		"Two": {[]Violation{a, b}, `crosses DataBoundary "customer-data": ` + one + "; " + two + end},
		"Cut": {[]Violation{v("SKOTT-D102", "spec.bucket", strings.Repeat("x", 2000))},
			`crosses DataBoundary "customer-data": spec.bucket names bucket "` + strings.Repeat("x", maxValue) + `...", which belongs to Environment "production" (SKOTT-D102)` + end},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, crossingMessage(c.violations, here)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	// The most that is listed, and then a number.
	for n := 1; n <= 1000; n = n*2 + 1 {
		many := make([]Violation, n)
		for i := range many {
			many[i] = a
		}
		message := crossingMessage(many, here)
		listed := strings.Count(message, one)
		if listed > 4 || listed < min(n, 2) || (listed < n) != strings.Contains(message, " more; ") || len(message) > 5<<10 {
			t.Errorf("of %d violations %d are listed: %s", n, listed, message)
		}
	}
}
