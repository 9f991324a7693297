// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestSuspicions(t *testing.T) {
	for name, c := range map[string]struct {
		crd  string
		want []string
	}{
		"Mover": {
			crd: `{spec: {group: example.io, versions: [{schema: {openAPIV3Schema: {properties: {metadata: {properties: {url: {}}},
  status: {properties: {endpoint: {}}}, spec: {properties: {target: {properties: {bucketName: {type: string}, size: {}}}, mirrors: {items: {properties: {URL: {}}}}}}}}}}]}}`,
			want: []string{"spec.mirrors[*].URL", "spec.target.bucketName"},
		},
		"NoMover":     {crd: `{spec: {group: example.io, versions: [{schema: {openAPIV3Schema: {properties: {spec: {properties: {replicas: {}}}}}}}]}}`},
		"Guard":       {crd: `{spec: {group: skott.dev, versions: [{schema: {openAPIV3Schema: {properties: {spec: {properties: {hosts: {}}}}}}}]}}`},
		"NoSchema":    {crd: `{spec: {group: example.io, versions: [{}, null, 3]}}`},
		"WronglyMade": {crd: `{spec: 3}`},
	} {
		t.Run(name, func(t *testing.T) {
			var crd map[string]any
			if err := yaml.Unmarshal([]byte(c.crd), &crd); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, Suspicions(crd)); diff != "" {
				t.Errorf("Suspicions (-want +got):\n%s", diff)
			}
		})
	}
}
