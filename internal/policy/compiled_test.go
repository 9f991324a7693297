// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"slices"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
)

// compiled is a policy of Skott in the API server's own evaluator.
type compiled struct {
	compiler  *cel.CompositedCompiler
	validator validating.Validator
}

func compile(t testing.TB, family flow.Family) compiled {
	t.Helper()
	policies := policy.BuiltinRules().Policies(policy.BuiltinRules().AllFamilies(), true)
	return compilePolicy(t, policies[slices.IndexFunc(policies, func(p *admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == policy.PolicyName(family, "") })])
}

// compilePolicy fails the test where an expression does not compile.
func compilePolicy(t testing.TB, p *admissionv1.ValidatingAdmissionPolicy) compiled {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	options := cel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true}
	variables := make([]cel.NamedExpressionAccessor, len(p.Spec.Variables))
	for i, v := range p.Spec.Variables {
		variables[i] = &validating.Variable{Name: v.Name, Expression: v.Expression}
	}
	compiler.CompileAndStoreVariables(variables, options, environment.StoredExpressions)
	for _, v := range variables {
		if err := compiler.CompileCELExpression(v, options, environment.StoredExpressions).Error; err != nil {
			t.Fatalf("variable %s: %v: %s", v.GetName(), err, v.GetExpression())
		}
	}
	var conditions, messages []cel.ExpressionAccessor
	for _, v := range p.Spec.Validations {
		conditions = append(conditions, &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason})
		messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
	}
	condition := compiler.CompileCondition(conditions, options, environment.StoredExpressions)
	options.HasAuthorizer = false
	message := compiler.CompileCondition(messages, options, environment.StoredExpressions)
	for _, err := range append(condition.CompilationErrors(), message.CompilationErrors()...) {
		t.Fatal(err)
	}
	options.HasAuthorizer = true
	var matcher matchconditions.Matcher
	if len(p.Spec.MatchConditions) > 0 {
		var matches []cel.ExpressionAccessor
		for i := range p.Spec.MatchConditions {
			matches = append(matches, (*matchconditions.MatchCondition)(&p.Spec.MatchConditions[i]))
		}
		match := compiler.CompileCondition(matches, options, environment.StoredExpressions)
		for _, err := range match.CompilationErrors() {
			t.Fatal(err)
		}
		matcher = matchconditions.NewMatcher(match, p.Spec.FailurePolicy, "policy", "validate", p.Name)
	}
	none := compiler.CompileCondition(nil, options, environment.StoredExpressions)
	return compiled{compiler: compiler, validator: validating.NewValidator(condition, matcher, none, message, p.Spec.FailurePolicy, nil)}
}

// attributes are a creation, as the API server hands it to its policies.
func attributes(object load.Object) (*admission.VersionedAttributes, schema.GroupVersionResource) {
	u := &unstructured.Unstructured{Object: object.Content}
	kind := u.GroupVersionKind()
	resource := kind.GroupVersion().WithResource(object.Resource)
	a := admission.NewAttributesRecord(u, nil, kind, u.GetNamespace(), u.GetName(), resource, "", admission.Create, &metav1.CreateOptions{}, true, &user.DefaultInfo{Name: "alice"})
	return &admission.VersionedAttributes{Attributes: a, VersionedKind: kind, VersionedObject: u}, resource
}

func params(t testing.TB, g *skottv1.Guard) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(g)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

var namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}

// familyOf is the family of a resource.
func familyOf(object load.Object) flow.Family {
	return flow.Builtin().Lookup(object.Group, object.Resource).Family
}

// denial is the message of the policy that refuses an object, or "".
func (c compiled) denial(t testing.TB, object load.Object, g *skottv1.Guard) string {
	t.Helper()
	a, resource := attributes(object)
	for _, d := range c.validator.Validate(context.Background(), resource, a, params(t, g), namespace, celconfig.RuntimeCELCostBudget, nil).Decisions {
		if d.Action != validating.ActionAdmit {
			return d.Message
		}
	}
	return ""
}

// BenchmarkPolicies measures the compiled policies in the API server's evaluator, without
// the requests around them.
func BenchmarkPolicies(b *testing.B) {
	guards := policy.New(load.Snapshot(10_000)).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())
	for _, object := range load.Objects() {
		b.Run(object.Name, func(b *testing.B) {
			c := compile(b, familyOf(object))
			a, resource := attributes(object)
			guard := params(b, guards[0])
			for b.Loop() {
				// Every request has a goroutine of its own, whose stack has to grow.
				denied := make(chan string)
				go func() {
					message := ""
					for _, d := range c.validator.Validate(context.Background(), resource, a, guard, namespace, celconfig.RuntimeCELCostBudget, nil).Decisions {
						if d.Action != validating.ActionAdmit {
							message = d.Message
						}
					}
					denied <- message
				}()
				if message := <-denied; message != "" {
					b.Fatal(message)
				}
			}
		})
	}
}
