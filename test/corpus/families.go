// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// Served are the API groups with movement kinds that the suites install by default.
var Served = []string{
	"argoproj.io", "barmancloud.cnpg.io", "cluster.x-k8s.io", "external-secrets.io", "postgresql.cnpg.io",
	"snapshot.storage.k8s.io", "velero.io",
}

// Families are the policies of a cluster that serves them.
func Families() []flow.Family { return policy.BuiltinRules().Families(Served) }

// Kinds are the movement kinds that these policies read.
func Kinds() []*flow.Kind {
	families := Families()
	return slices.DeleteFunc(slices.Clone(flow.Builtin().Kinds()), func(k *flow.Kind) bool {
		return !k.InPolicy() || !slices.Contains(families, k.Family)
	})
}
