// SPDX-License-Identifier: Apache-2.0

// Package address owns the places where data can be: how they are written, their one
// canonical form, and the book that says to whom they belong. It knows nothing of
// Kubernetes objects, of boundaries or of time.
//
// Everything that reads an address goes through here, and the admission policies are
// compiled from the same regular expressions and the same order of look-ups, so that a
// place has one spelling wherever it is met: lower-case ASCII, without default ports,
// trailing dots, empty or "." path segments. Places that differ in case alone count as
// one, which errs on the closed side.
package address
