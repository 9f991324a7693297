// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

func TestGuard(t *testing.T) {
	crd, err := Guard()
	if err != nil {
		t.Fatal(err)
	}
	if want := "guards." + skottv1.GroupVersion.Group; crd.Name != want {
		t.Errorf("name = %q, want %q", crd.Name, want)
	}
	want := map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner}
	if diff := cmp.Diff(want, crd.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if crd.Spec.Scope != apiextensionsv1.ClusterScoped {
		t.Errorf("scope = %q, want Cluster: a binding reads the Guard in every namespace", crd.Spec.Scope)
	}
	if len(crd.Spec.Versions) != 1 || crd.Spec.Versions[0].Name != skottv1.GroupVersion.Version {
		t.Errorf("versions = %v, want only %q", crd.Spec.Versions, skottv1.GroupVersion.Version)
	}
}

// What one caller changes, the next must not see.
func TestGuardIsACopy(t *testing.T) {
	first, err := Guard()
	if err != nil {
		t.Fatal(err)
	}
	first.Labels["x"], first.Spec.Group = "y", "z"
	second, err := Guard()
	if err != nil {
		t.Fatal(err)
	}
	if second.Labels["x"] != "" || second.Spec.Group != skottv1.GroupVersion.Group {
		t.Errorf("a change to the first copy is in the second: %v, %q", second.Labels, second.Spec.Group)
	}
}

// The policies compare and look up whole maps: a map merged by server-side apply would keep
// an address that Skott no longer writes.
func TestMapsOfTheGuardAreAtomic(t *testing.T) {
	crd, err := Guard()
	if err != nil {
		t.Fatal(err)
	}
	maps := 0
	for name, field := range crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties {
		if field.AdditionalProperties == nil {
			continue
		}
		maps++
		if field.XMapType == nil || *field.XMapType != "atomic" {
			t.Errorf("spec.%s is a map and not atomic", name)
		}
	}
	if maps == 0 {
		t.Error("no map found in the schema of the Guard")
	}
}
