// SPDX-License-Identifier: Apache-2.0

// Package flow owns what an object says about places: the table of movement kinds, and its
// reading over an object. It knows addresses, but not to whom they belong, nor which
// crossings are forbidden.
//
// The table is data: kinds/*.yaml, in the form of the MovementKind that users write, one
// file per family of projects, each opening with what its rows were read from. Walk
// interprets it; package policy compiles the same rows into admission policies. A row says
// where a text stands (Path), how it becomes an address (Form), of which type, and which way
// data moves through it (Direction).
package flow
