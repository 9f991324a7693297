// SPDX-License-Identifier: Apache-2.0

package flow

import "github.com/skott-dev/skott/internal/address"

// Network: objects that give a foreign host or IP a harmless local name.
//
// Read from: core v1 Service and Endpoints, discovery.k8s.io/v1 EndpointSlice. A Service
// without selector and an Endpoints object reach any IP; addressType FQDN allows names.
var networkKinds = []Kind{
	{
		Version: "v1", Resource: "services", Kind: "Service", Family: Network,
		Fields: []Field{
			{Path: "spec.externalName", Form: Text, Type: address.Host, Direction: Names},
			{Path: "spec.externalIPs[*]", Form: IP, Type: address.CIDR, Direction: Names},
			{Path: "spec.loadBalancerIP", Form: IP, Type: address.CIDR, Direction: Names},
		},
	},
	{
		Version: "v1", Resource: "endpoints", Kind: "Endpoints", Family: Network,
		Fields: []Field{
			{Path: "subsets[*].addresses[*].ip", Form: IP, Type: address.CIDR, Direction: Names},
			{Path: "subsets[*].notReadyAddresses[*].ip", Form: IP, Type: address.CIDR, Direction: Names},
		},
	},
	{
		Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices", Kind: "EndpointSlice", Family: Network,
		Fields: []Field{
			{Path: "endpoints[*].addresses[*]", Form: IP, Type: address.CIDR, Direction: Names},
		},
	},
}
