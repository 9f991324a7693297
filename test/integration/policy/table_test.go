// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// numbers are the last digits of codes, as docs/denials.md lists them.
var numbers = map[address.Type]string{
	address.Host: "01", address.Bucket: "02", address.CIDR: "03", address.Volume: "04", address.Snapshot: "05",
	address.ClusterEndpoint: "06", address.Registry: "07", address.Git: "08", address.SecretPath: "09",
	address.Project: "10", address.Credential: "11", flow.Namespace: "12",
}

// shownName is a name or a key in the path of a message, or of a row.
var shownName = regexp.MustCompile(`\["[^"]*"\]|\[[^\]"]*\]|\{[^}]*\}`)

// rowOf names a row of the table by what a message tells of it.
func rowOf(k *flow.Kind, path, number string) string {
	path = strings.TrimPrefix(path, k.Root+".")
	return k.Rows + " " + shownName.ReplaceAllString(path, "[]") + " " + number
}

// witnessed are the rows that a case shows to be needed: those of its violations, and in Ops,
// where nothing else would cross, that of the destination.
func witnessed(k *flow.Kind, d policy.Decision, c *corpus.Case) []string {
	var out []string
	carried := false
	for _, v := range d.Violations {
		out = append(out, rowOf(k, v.Path, string(v.Code)[len("SKOTT-D")+1:]))
		carried = carried || c.Cluster == "ops" && strings.HasPrefix(string(v.Code), "SKOTT-D3")
	}
	if !carried {
		return out
	}
	flow.Walk(k, c.Object, true, func(r *flow.Reference) {
		if r.Field.End == flow.Destination {
			out = append(out, rowOf(k, r.Field.Path, numbers[r.Field.Type]))
		}
	})
	return out
}

var _ = Describe("the table of movement kinds", func() {
	It("has a crossing and a permitted object for every kind, and a crossing one for every row", func() {
		crossing, permitted, rows := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, c := range cases {
			u := &unstructured.Unstructured{Object: c.Object}
			key := u.GroupVersionKind().Group + "/" + u.GetKind()
			if len(c.Expect) == 0 {
				permitted[key] = true
				continue
			}
			k := kindOf(u)
			if k == nil {
				continue
			}
			cluster := platform.Clusters[c.Cluster]
			d := evaluate(resolved.Guards(cluster.GuardedCluster, cluster.Namespaces, families)[0], c)
			for _, row := range witnessed(k, d, c) {
				crossing[key], rows[row] = true, true
			}
		}
		var missing []string
		for _, k := range corpus.Kinds() {
			if key := k.Group + "/" + k.Kind; !crossing[key] || !permitted[key] {
				missing = append(missing, fmt.Sprintf("%s: crossing %v, permitted %v", key, crossing[key], permitted[key]))
			}
			for i := range k.Fields {
				if !k.Fields[i].InPolicy() {
					continue // these are proven where Evaluate is tested
				}
				if row := rowOf(k, k.Fields[i].Path, numbers[k.Fields[i].Type]); !rows[row] {
					missing = append(missing, "no crossing object for row "+row)
				}
			}
		}
		slices.Sort(missing)
		Expect(slices.Compact(missing)).To(BeEmpty())
	})
})

// kindOf is the movement kind of an object, or nil.
func kindOf(u *unstructured.Unstructured) *flow.Kind {
	for _, k := range corpus.Kinds() {
		if k.Kind == u.GetKind() && k.Group == u.GroupVersionKind().Group {
			return k
		}
	}
	return nil
}
