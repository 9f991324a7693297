// SPDX-License-Identifier: Apache-2.0

package flow

import skottv1 "github.com/skott-dev/skott/api/v1alpha1"

// channel is a way into a cluster that stores no object: a request to a subresource.
type channel struct {
	subresource string
	spec        skottv1.MovementKindSpec
}

// Read from: core v1 PodExecOptions, whose command runs in a pod that is there already, and
// authentication.k8s.io/v1 TokenRequest, which makes a credential for whoever its audience
// names. Copying through pods/portforward, attach or cp carries nothing that admission sees.
var channelKinds = func() []*Kind {
	var out []*Kind
	for _, c := range []channel{
		{"exec", skottv1.MovementKindSpec{Resource: "pods", Kind: "PodExecOptions", Fields: []skottv1.MovementField{{Path: "command[*]"}}}},
		{"token", skottv1.MovementKindSpec{Resource: "serviceaccounts", Kind: "TokenRequest", Fields: []skottv1.MovementField{{Path: "spec.audiences[*]"}}}},
	} {
		k, err := newKind(&c.spec)
		if err != nil {
			panic(err) // they are part of the program
		}
		k.Channel, k.Rows = c.subresource, c.spec.Resource+"_"+c.subresource
		out = append(out, k)
	}
	return out
}()

// Channels are the kinds of requests that store no object. They are in no Table: nothing of
// them can be listed, learned from or found later.
func Channels() []*Kind { return channelKinds }

// Channel finds the kind of a request to a subresource, or nil.
func Channel(group, resource, subresource string) *Kind {
	for _, k := range channelKinds {
		if k.Channel == subresource && k.Resource == resource && k.Group == group {
			return k
		}
	}
	return nil
}
