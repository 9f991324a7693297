// SPDX-License-Identifier: Apache-2.0

// Package policy decides. It owns the rule of who may reach whom, its compiled forms, and
// the words of a denial. It knows no client, no clock and no file.
//
// Compile turns boundaries, environments and addresses into the Guard of one cluster.
// Evaluate reads a Guard and a request and returns a Decision. Policies turns the table of
// package flow into the ValidatingAdmissionPolicies that read the same Guard inside the API
// server. A differential test holds the two to the same decision, code and text.
package policy
