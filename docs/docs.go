// SPDX-License-Identifier: Apache-2.0

// Package docs carries the page that explains refusals, so that the command line tells the
// same without a network.
package docs

import _ "embed"

// Denials is docs/denials.md.
//
//go:embed denials.md
var Denials string
