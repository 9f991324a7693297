// SPDX-License-Identifier: Apache-2.0

// Package simulator serves the API of many clusters from one process, for measurements of
// scale only: it is no API server. It answers just the requests that the operator sends,
// over TLS on loopback, with a port for each cluster.
//
// What it stores of a Guard is the bytes that were written, shared between clusters where
// they are the same. A canary is denied only if such bytes hold its address and the policy
// of its family with its binding is stored; and Refuses reads the stored Guards with the
// product's own Evaluator. It does not validate, keeps no owners of fields (an apply
// replaces), authorises nobody in particular, and runs no policies.
package simulator
