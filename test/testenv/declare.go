// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// systemNamespace is where the operator reads Secrets.
const systemNamespace = "skott-system"

// Declare applies objects of Skott's kinds, as a platform team would. Each line is one: KIND NAME SPEC, of which the spec
// is YAML.
func (s *Server) Declare(ctx context.Context, lines string) error {
	var objects []*unstructured.Unstructured
	for line := range strings.Lines(lines) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind == "" {
			continue
		}
		name, spec, _ := strings.Cut(rest, " ")
		objects = append(objects, newObject(skottv1.GroupVersion.WithKind(kind), "", name, Parse("spec: "+spec).Object))
	}
	return s.Apply(ctx, objects...)
}

// Member is the line that declares a ManagementCluster to which the kubeconfig Secret of its name leads, in sto2 unless
// further fields of its spec say where.
func Member(name, environment string, fields ...string) string {
	if !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, "datacenter:") }) {
		fields = append(fields, "datacenter: sto2")
	}
	return fmt.Sprintf("ManagementCluster %[1]s {environmentRef: {name: %[2]s}, role: Management, connection: {kubeconfigSecretRef: {namespace: %[3]s, name: %[1]s}}, %[4]s}\n",
		name, environment, systemNamespace, strings.Join(fields, ", "))
}

// Connect makes what a kubeconfig leads to a Member.
func (s *Server) Connect(ctx context.Context, name, environment string, kubeconfig []byte, fields ...string) error {
	if err := s.WriteSecret(ctx, name, map[string][]byte{"value": kubeconfig}); err != nil {
		return err
	}
	return s.Declare(ctx, Member(name, environment, fields...))
}

// WriteSecret creates or replaces a Secret that the operator reads.
func (s *Server) WriteSecret(ctx context.Context, name string, data map[string][]byte) error {
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64Bytes(value)
	}
	return s.Apply(ctx, newObject(secretKind, systemNamespace, name, map[string]any{"data": encoded}))
}
