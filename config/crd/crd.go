// SPDX-License-Identifier: Apache-2.0

// Package crd carries the generated CRD of the Guard, so that the operator can install it
// in guarded clusters from its own image. It knows nothing of clusters. The other CRDs are
// applied by people (config/crd/kustomization.yaml).
package crd

import (
	_ "embed"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/skott.dev_guards.yaml
var guard []byte

// Guard returns a new copy of the CRD of the Guard, labelled as Skott's own.
func Guard() (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(guard, crd); err != nil {
		return nil, fmt.Errorf("cannot read the embedded CRD of the Guard: %w", err)
	}
	crd.Labels = map[string]string{"app.kubernetes.io/managed-by": "skott"}
	return crd, nil
}
