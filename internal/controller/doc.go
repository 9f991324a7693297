// SPDX-License-Identifier: Apache-2.0

// Package controller connects the hub's objects with the fleet: it reads what people wrote
// and what the fleet observed, lets package policy decide and package status judge, and
// writes the results. Reconcilers never call one another; what one writes, the others read.
package controller
