// SPDX-License-Identifier: Apache-2.0

package flow

import "github.com/skott-dev/skott/internal/address"

// Clusters: a Cluster API Cluster that is moved or made again under another Management
// Cluster (requirements R16).
//
// Read from: Cluster API 1.14 (cluster.x-k8s.io/v1beta2). clusterctl move keeps namespace,
// name and control plane endpoint, so any of them tells. They are also the Cluster's own, so
// only a new object is judged by its name.
var clusterKinds = []Kind{{
	Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "clusters", Kind: "Cluster", Family: Clusters,
	Fields: []Field{
		{Path: "metadata.name", Form: Cluster, Type: address.ClusterEndpoint, Direction: From, With: []string{"metadata.namespace"}, CreateOnly: true},
		{Path: "spec.controlPlaneEndpoint.host", Form: Endpoint, Type: address.ClusterEndpoint, Direction: From, With: []string{"spec.controlPlaneEndpoint.port"}},
	},
}}
