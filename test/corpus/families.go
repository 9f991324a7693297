// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// proven are the API groups of which every row has a case that needs it. Of the others the
// most used kinds have cases.
var proven = []string{
	"argoproj.io", "barmancloud.cnpg.io", "cluster.x-k8s.io", "external-secrets.io", "postgresql.cnpg.io",
	"snapshot.storage.k8s.io", "velero.io",
}

// others are kinds of these groups, and of those that every cluster serves, with cases for what
// their users do most, by group and resource. internal/policy holds all rows of the table to
// objects made from them.
var others = []string{
	"/serviceaccounts", "networking.k8s.io/ingresses", "networking.k8s.io/networkpolicies", "storage.k8s.io/storageclasses",
	"argoproj.io/workflows", "argoproj.io/workflowtemplates", "argoproj.io/clusterworkflowtemplates", "argoproj.io/cronworkflows",
	"snapshot.storage.k8s.io/volumesnapshots", "snapshot.storage.k8s.io/volumesnapshotclasses",
	"velero.io/backups", "velero.io/backuprepositories", "velero.io/datadownloads", "velero.io/datauploads", "velero.io/downloadrequests",
	"velero.io/podvolumebackups", "velero.io/podvolumerestores", "velero.io/restores", "velero.io/schedules",
}

// Served are the API groups that the suites serve: those of the cases.
func Served() []string {
	out := slices.Clone(proven)
	cases, err := Cases()
	if err != nil {
		return out // whoever reads the cases is told
	}
	for _, c := range cases {
		out = append(out, c.kind().GroupVersionKind().Group)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Families are the policies of a cluster that serves them.
func Families() []flow.Family { return policy.BuiltinRules().Families(Served()) }

// Kinds are the movement kinds that policies read and whose rows are all proven.
func Kinds() []*flow.Kind {
	families := policy.BuiltinRules().Families(proven)
	return slices.DeleteFunc(slices.Clone(flow.Builtin().Kinds()), func(k *flow.Kind) bool {
		return !k.InPolicy() || !slices.Contains(families, k.Family) || slices.Contains(others, k.Group+"/"+k.Resource)
	})
}
