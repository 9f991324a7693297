// SPDX-License-Identifier: Apache-2.0

// Package docs holds the documentation to the code: every code, metric, label, reason and
// flag has its place in it, every example gives the answer that stands below it, and what
// is generated is up to date. It has tests only.
//
// go test ./test/docs -update rewrites what is generated.
package docs
