// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/guarded"
)

// reader is one of those that judge objects by the Guard: the policies, Evaluate, and what
// is built on it.
type reader interface {
	name() string
	// enter makes the reader judge for the cluster of some Guards.
	enter(ctx context.Context, guards []*skottv1.Guard) error
	// claims reports whether the reader says that it sees the row of a case.
	claims(c *corpus.Generated) bool
	// decide returns the denial of a case, "" for none. An error that is errInvalid says that
	// the API server would not take the object at all.
	decide(ctx context.Context, c *corpus.Generated) (string, error)
}

// errInvalid is wrapped by what an API server says of an object that does not fit its schema.
var errInvalid = errors.New("invalid")

// apiServer judges by the compiled policies.
type apiServer struct{ cluster *cluster }

func (a *apiServer) name() string { return "API server" }

func (a *apiServer) enter(ctx context.Context, guards []*skottv1.Guard) error {
	return guarded.Prove(ctx, a.cluster.server, guards, compiling)
}

func (a *apiServer) claims(c *corpus.Generated) bool { return c.OnlyEvaluate == "" }

func (a *apiServer) decide(ctx context.Context, c *corpus.Generated) (string, error) {
	err := a.send(ctx, c)
	switch {
	case err == nil:
		return "", nil
	case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err):
		return "", fmt.Errorf("%w: %w", errInvalid, err)
	case apierrors.IsForbidden(err):
		if _, message, ok := strings.Cut(err.Error(), " denied request: "); ok {
			return message, nil
		}
	}
	return "", err
}

func (a *apiServer) send(ctx context.Context, c *corpus.Generated) error {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.Object)}
	sender := a.cluster.server.Client()
	if c.OldObject == nil {
		return sender.Create(ctx, u, client.DryRunAll)
	}
	live, err := a.cluster.live(ctx, c)
	if err != nil {
		return err
	}
	u.SetResourceVersion(live.GetResourceVersion())
	return sender.SubResource(c.Subresource).Update(ctx, u, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}})
}

// evaluator judges by policy.Evaluate, as the guard webhook, the scan and the CLI do.
type evaluator struct{ evaluator *policy.Evaluator }

func (e *evaluator) name() string { return "Evaluate" }

func (e *evaluator) enter(_ context.Context, guards []*skottv1.Guard) error {
	e.evaluator = policy.NewEvaluator(guards...)
	return nil
}

func (e *evaluator) claims(*corpus.Generated) bool { return true }

func (e *evaluator) decide(_ context.Context, c *corpus.Generated) (string, error) {
	return e.evaluator.Evaluate(c.Request()).Message, nil
}
