// SPDX-License-Identifier: Apache-2.0

// Package status owns what was observed of the fleet, and the conditions that follow from
// it. It is plain functions from observations to conditions: it reads no object's earlier
// conditions, has no client, and asks no clock.
package status
