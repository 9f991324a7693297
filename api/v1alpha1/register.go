// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is skott.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: "skott.dev", Version: "v1alpha1"}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers every kind of this package with a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Environment{}, &EnvironmentList{},
		&ManagementCluster{}, &ManagementClusterList{},
		&DataLocation{}, &DataLocationList{},
		&DataBoundary{}, &DataBoundaryList{},
		&Guard{}, &GuardList{},
		&MovementKind{}, &MovementKindList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
