// SPDX-License-Identifier: Apache-2.0

// Package webhook is the guard webhook: it runs policy.Evaluate over what the API server of
// a guarded cluster asks it, by the Guard objects of that cluster. What the compiled
// policies can see it decides as they do, and it sees what lies beyond their bounds. It
// decides nothing by a logic of its own, and admits nothing before it has read a Guard.
package webhook
