// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of skott.dev/v1alpha1, their labels, condition
// types and reasons. It knows nothing of how a decision is made or carried out.
//
// Environment, ManagementCluster, DataLocation and DataBoundary live in the Ops
// Cluster and are written by people. Guard lives in every guarded cluster, is
// written by Skott alone, and is the parameter of the admission policies there.
//
// +kubebuilder:object:generate=true
// +groupName=skott.dev
package v1alpha1
