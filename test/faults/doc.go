// SPDX-License-Identifier: Apache-2.0

// Package faults holds the fault suite, which "make test-faults" runs with the build tag faults.
package faults
