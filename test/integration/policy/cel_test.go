// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	plugin "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// oldest is the first version of Kubernetes that the policies must work in.
var oldest = version.MajorMinor(1, 30)

// expression is one CEL expression of a policy.
type expression struct {
	name, text string
	result     *cel.Type
}

func (e expression) GetExpression() string { return e.text }
func (e expression) GetName() string       { return e.name }
func (e expression) ReturnTypes() []*cel.Type {
	return []*cel.Type{e.result}
}

// reader runs the policies as an API server of the oldest version would, on any object:
// what the schema of a CustomResourceDefinition would refuse first, too.
type reader struct{ policies map[flow.Family]program }

type program struct {
	conditions, messages plugin.ConditionEvaluator
	fallbacks            []string
}

// newReader compiles every policy; an error is one that an API server would report.
func newReader() (*reader, error) {
	environments := environment.MustBaseEnvSet(oldest)
	r := &reader{policies: map[flow.Family]program{}}
	var problems []error
	for _, p := range policy.BuiltinRules().Policies(families, true) {
		compiler, err := plugin.NewCompositedCompiler(environments)
		if err != nil {
			return nil, err
		}
		options := plugin.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil}
		for _, v := range p.Spec.Variables {
			result := compiler.CompileAndStoreVariable(expression{v.Name, v.Expression, cel.AnyType}, options, environment.NewExpressions)
			if result.Error != nil {
				problems = append(problems, fmt.Errorf("%s: variable %s: %w", p.Name, v.Name, result.Error))
			}
		}
		var conditions, messages []plugin.ExpressionAccessor
		out := program{}
		for _, v := range p.Spec.Validations {
			conditions = append(conditions, expression{"", v.Expression, cel.BoolType})
			messages = append(messages, expression{"", v.MessageExpression, cel.StringType})
			out.fallbacks = append(out.fallbacks, v.Message)
		}
		out.conditions = compiler.CompileCondition(conditions, options, environment.NewExpressions)
		out.messages = compiler.CompileCondition(messages, options, environment.NewExpressions)
		for _, err := range append(out.conditions.CompilationErrors(), out.messages.CompilationErrors()...) {
			problems = append(problems, fmt.Errorf("%s: %w", p.Name, err))
		}
		r.policies[flow.Family(strings.TrimPrefix(p.Name, "skott-"))] = out
	}
	return r, errors.Join(problems...)
}

// answer of the policies to a request.
type answer struct {
	// denial is the message, "" if admitted.
	denial string
	// cost of the whole, in units of which an API server grants a policy ten million.
	cost int64
}

// decide answers as an API server does: validations first, then all their messages, within
// one budget. An error is one of the policy itself.
func (r *reader) decide(family flow.Family, guard *unstructured.Unstructured, q *policy.Request) (answer, error) {
	p := r.policies[family]
	attributes := &admission.VersionedAttributes{VersionedObject: &unstructured.Unstructured{Object: q.Object}}
	if q.OldObject != nil {
		attributes.VersionedOldObject = &unstructured.Unstructured{Object: q.OldObject}
	}
	dryRun := true
	request := &admissionv1.AdmissionRequest{
		Resource: metav1.GroupVersionResource{Group: q.Group, Resource: q.Resource}, SubResource: q.Subresource,
		Operation: admissionv1.Operation(q.Operation), Namespace: q.Namespace,
		UserInfo: authenticationv1.UserInfo{Username: q.User}, DryRun: &dryRun,
	}
	var namespace *corev1.Namespace
	if q.Namespace != "" {
		namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: q.Namespace, Labels: q.NamespaceLabels}}
	}
	bindings := plugin.OptionalVariableBindings{VersionedParams: guard}
	results, left, err := p.conditions.ForInput(context.Background(), attributes, request, bindings, namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return answer{}, err
	}
	messages, left, err := p.messages.ForInput(context.Background(), attributes, request, bindings, namespace, left)
	if err != nil {
		return answer{}, err
	}
	out := answer{cost: celconfig.RuntimeCELCostBudget - left}
	for i, result := range results {
		if result.Error != nil {
			return out, result.Error
		}
		if result.EvalResult.Value() == true || out.denial != "" {
			continue
		}
		if messages[i].Error != nil {
			return out, messages[i].Error
		}
		out.denial, _ = messages[i].EvalResult.Value().(string)
		if strings.Contains(out.denial, "\n") || len(out.denial) > celconfig.MaxEvaluatedMessageExpressionSizeBytes {
			return out, fmt.Errorf("an API server would not show this message: %q", out.denial)
		}
	}
	return out, nil
}

// mustRead is the reader of this process, compiled once.
func mustRead() *reader {
	if compiled == nil {
		r, err := newReader()
		Expect(err).NotTo(HaveOccurred())
		compiled = r
	}
	return compiled
}

var compiled *reader
