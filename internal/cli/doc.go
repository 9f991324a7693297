// SPDX-License-Identifier: Apache-2.0

// Package cli is the command "kubectl skott". It answers what the API server of a guarded
// cluster would answer, from the hub, from an exported snapshot or from the Guards of a
// cluster: it reads what people wrote, hands each object to internal/policy, and prints what
// comes back. It decides nothing itself and writes nothing to any cluster.
package cli
