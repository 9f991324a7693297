// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/cli"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/webhook"
	"github.com/skott-dev/skott/test/corpus"
)

// guardWebhook asks the handler of the guard webhook with reviews as an API server writes
// them, over HTTP.
type guardWebhook struct{ guards []*skottv1.Guard }

func (g *guardWebhook) name() string { return "webhook" }

func (g *guardWebhook) enter(_ context.Context, guards []*skottv1.Guard) error {
	g.guards = guards
	return nil
}

func (g *guardWebhook) claims(c *corpus.Generated) bool {
	return !policy.Essential(c.Kind.Group, c.Kind.Resource)
}

func (g *guardWebhook) decide(ctx context.Context, c *corpus.Generated) (string, error) {
	r := c.Request()
	guards := webhook.NewGuards()
	for _, one := range g.guards {
		guards.Set(one)
	}
	guards.Synced()
	labels := func(context.Context, string) (map[string]string, error) { return r.NamespaceLabels, nil }
	h := webhook.NewHandler(guards, labels, metrics.New(prometheus.NewRegistry()))
	h.Lookup = func(_ context.Context, k *flow.Kind, namespace, name string) (map[string]any, error) {
		return r.Lookup(k.Group, k.Resource, namespace, name), nil
	}
	body, err := review(c, r)
	if err != nil {
		return "", err
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodPost, webhook.Path, bytes.NewReader(body)))
	if answer.Code != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	out := &admissionv1.AdmissionReview{}
	if err := json.Unmarshal(answer.Body.Bytes(), out); err != nil {
		return "", err
	}
	if out.Response.Allowed {
		return "", nil
	}
	return out.Response.Result.Message, nil
}

// review is the body that an API server sends.
func review(c *corpus.Generated, r *policy.Request) ([]byte, error) {
	object, err := json.Marshal(c.Object)
	if err != nil {
		return nil, err
	}
	asked := &admissionv1.AdmissionRequest{
		UID: "1", Operation: admissionv1.Operation(r.Operation), Namespace: r.Namespace, SubResource: r.Subresource,
		Kind:     metav1.GroupVersionKind{Group: r.Group, Version: c.Kind.Version(), Kind: c.Kind.Kind},
		Resource: metav1.GroupVersionResource{Group: r.Group, Version: c.Kind.Version(), Resource: r.Resource},
		UserInfo: authenticationv1.UserInfo{Username: r.User}, Object: runtime.RawExtension{Raw: object},
	}
	if c.OldObject != nil {
		if asked.OldObject.Raw, err = json.Marshal(c.OldObject); err != nil {
			return nil, err
		}
	}
	return json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: asked,
	})
}

// commandLine asks "kubectl skott check", with the Guards of the cluster as its snapshot.
type commandLine struct{ folder, snapshot string }

func (l *commandLine) name() string { return "CLI" }

func (l *commandLine) enter(_ context.Context, guards []*skottv1.Guard) error {
	content, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": guards})
	if err != nil {
		return err
	}
	l.snapshot = filepath.Join(l.folder, "guards.json")
	return os.WriteFile(l.snapshot, content, 0o600)
}

// claims leaves out what needs other objects of a cluster, and updates: check judges new
// objects.
func (l *commandLine) claims(c *corpus.Generated) bool {
	return len(c.Linked) == 0 && c.OldObject == nil && c.Subresource == ""
}

func (l *commandLine) decide(ctx context.Context, c *corpus.Generated) (string, error) {
	if !l.claims(c) {
		return "", nil
	}
	object, err := json.Marshal(c.Object)
	if err != nil {
		return "", err
	}
	var out, told bytes.Buffer
	code := cli.Run(ctx, []string{"check", "-f", "-", "--snapshot", l.snapshot, "-o", "json"},
		cli.Streams{In: bytes.NewReader(object), Out: &out, Err: &told})
	var said struct {
		Findings []struct{ Message string }
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return "", fmt.Errorf("exit status %d: %s: %w", code, told.String(), err)
	}
	if len(said.Findings) == 0 {
		return "", nil
	}
	return said.Findings[0].Message, nil
}
