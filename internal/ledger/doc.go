// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the book of addresses that were learned: which are distinctive enough
// to belong to somebody, and what becomes of one as the objects that named it come and go. It
// decides; who asks reads and writes the DataLocations.
//
// An address stays for as long as any object names it, for as long as nobody can tell whether
// one does, and after that until its retention has passed. Losing sight of a cluster therefore
// never shrinks the book.
package ledger
