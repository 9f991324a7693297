// SPDX-License-Identifier: Apache-2.0

// Package guarded makes an API server a guarded cluster without an operator: it writes what an operator would publish.
package guarded

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/config/crd"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/testenv"
)

// Prepare installs the kind of Guards and returns a client of Skott's own user: nobody else may write one.
func Prepare(ctx context.Context, server *testenv.Server) (client.Client, error) {
	definition, err := crd.Guard()
	if err != nil {
		return nil, err
	}
	if err := server.Install(ctx, Plain(definition)); err != nil {
		return nil, err
	}
	config, err := server.ConfigFor(policy.Operator, "system:masters")
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{})
}

// Namespace that claims an Environment, or none.
func Namespace(name, environment string) *unstructured.Unstructured {
	if environment == "" {
		return testenv.Namespace(name, nil)
	}
	return testenv.Namespace(name, map[string]string{skottv1.LabelEnvironment: environment})
}

// Publish writes Guards as the operator does.
func Publish(ctx context.Context, operator client.Client, guards ...*skottv1.Guard) error {
	for _, g := range guards {
		configuration := client.ApplyConfigurationFromUnstructured(Plain(g))
		if err := operator.Apply(ctx, configuration, client.FieldOwner(skottv1.FieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("cannot write Guard %q: %w", g.Name, err)
		}
	}
	return nil
}

// Bind makes the policies of families act by the Guards that are there. Without any they refuse everything.
func Bind(ctx context.Context, server *testenv.Server, families []flow.Family, actions ...skottv1.Action) error {
	for _, b := range policy.Bindings(families, actions...) {
		if err := server.Apply(ctx, Plain(b)); err != nil {
			return err
		}
	}
	return nil
}

// Prove waits until every family of policies refuses its canary as these Guards ask for.
func Prove(ctx context.Context, server *testenv.Server, guards []*skottv1.Guard, within time.Duration) error {
	for _, canary := range policy.Canaries(guards) {
		answer := ""
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
			answer = "admitted"
			if err := try(ctx, server.Client(), canary); err != nil {
				answer = err.Error()
			}
			return strings.Contains(answer, canary.Want), nil
		})
		if err != nil {
			return fmt.Errorf("cannot prove family %s within %s: %w; answered %q", canary.Family, within, err, answer)
		}
	}
	return nil
}

// try asks for a canary by dry run.
func try(ctx context.Context, c client.Client, canary policy.Canary) error {
	object := canary.Object.DeepCopy()
	if !canary.Patch {
		return c.Create(ctx, object, client.DryRunAll)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": object.GetLabels()}})
	if err != nil {
		return err
	}
	return c.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch), client.DryRunAll)
}

// Plain is a typed object as it is applied: without a status, and without what only an API server sets.
func Plain(o any) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		panic(err) // types of Kubernetes and our own convert
	}
	delete(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	return &unstructured.Unstructured{Object: content}
}
