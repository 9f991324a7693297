// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

const movementsHead = `# Movement kinds

<!-- Generated from flow.Builtin().Kinds() by "go test ./test/docs -update". Do not edit. -->

What the admission policies read, and so everything that they can refuse. One policy holds one
family. All fields of an object are judged on CREATE and on UPDATE; one marked *new only* is judged on
CREATE alone, because the address is also the object's own. Nothing is judged on DELETE.

Paths: ` + "`list[name]`" + ` walks a list whose elements are told by their field ` + "`name`" + `, ` + "`list[*]`" + ` a list whose
elements have none, ` + "`map{*}`" + ` the values of a map.

| direction | meaning |
|---|---|
| reads | data comes from the address: refused where the owner's data may not come |
| names | it cannot be told which way data moves, so it counts as both |
| source | the object names both ends itself; this is where from |
| destination | this is where to. It is never refused by itself; it decides where the sources arrive |

The [codes](denials.md) follow the field, not the address: a bucket in free text is refused with the
code of a host. What is not in this table is not seen; see [coverage](coverage.md).
`

// chapter is a family with what it holds.
type chapter struct {
	family flow.Family
	holds  string
}

// held are the families that every cluster has, with what they hold, in the order of the policies.
var held = []chapter{
	{flow.Storage, "backups, volumes, snapshots, databases"},
	{flow.Network, "local names for foreign hosts"},
	{flow.Workload, "pods and everything that holds a pod template"},
	{flow.Config, "ConfigMaps"},
	{flow.Delivery, "what places workloads and credentials in clusters"},
	{flow.Clusters, "Cluster API Clusters"},
}

// families are the policies of the suite's clusters.
var families = corpus.Families()

// chapters are the families, and then the API groups.
func chapters() []chapter {
	out := slices.Clone(held)
	for _, family := range policy.BuiltinRules().AllFamilies() {
		if !family.Everywhere() && family != "guard" {
			out = append(out, chapter{family, "where its kinds are served"})
		}
	}
	return out
}

// movements is the page.
func movements() string {
	var b strings.Builder
	b.WriteString(movementsHead)
	for _, f := range chapters() {
		fmt.Fprintf(&b, "\n## %s: %s\n", policy.PolicyName(f.family, ""), f.holds)
		var done []string
		for _, k := range flow.Builtin().Kinds() {
			key := string(k.Family) + k.Rows
			if k.Family != f.family || contains(done, key) {
				continue
			}
			done = append(done, key)
			writeKinds(&b, k)
		}
	}
	return b.String()
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// writeKinds writes the fields of k once, for all kinds that share them.
func writeKinds(b *strings.Builder, k *flow.Kind) {
	b.WriteString("\n")
	for _, other := range flow.Builtin().Kinds() {
		if other.Family != k.Family || other.Rows != k.Rows {
			continue
		}
		group := other.Group
		if group == "" {
			group = "core"
		}
		fmt.Fprintf(b, "- **%s** (%s/%s)", other.Kind, group, other.Version())
		if other.Root != "" {
			fmt.Fprintf(b, ", fields below `%s`", other.Root)
		}
		for _, s := range other.Subresources {
			fmt.Fprintf(b, ", also through `%s/%s`", other.Resource, s)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| field | direction | address | how it becomes one | codes |\n|---|---|---|---|---|\n")
	for i := range k.Fields {
		f := &k.Fields[i]
		direction := map[flow.Direction]string{flow.From: "reads", flow.To: "writes", flow.Names: "names"}[f.Direction]
		if f.End != "" {
			direction = strings.ToLower(string(f.End))
		}
		if f.CreateOnly {
			direction += ", *new only*"
		}
		codes := strings.ReplaceAll(strings.Join(codesOf(f), ", "), "SKOTT-", "")
		if codes == "" {
			codes = "–"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.Path, direction, f.Type, how(f), codes)
	}
}

// how says in words what a form makes of a text.
func how(f *flow.Field) string {
	with := func(i int) string {
		if i >= len(f.With) || f.With[i] == "" {
			return ""
		}
		return "`" + f.With[i] + "`"
	}
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	switch f.Form {
	case flow.Text:
		return "every host, URL, IPv4 address and object URL in the text"
	case flow.Bucket:
		return fmt.Sprintf("%s / the text / %s; without an endpoint `aws`, or `gcs` if %s holds \"gcp\"", with(0), with(1), with(2))
	case flow.Object:
		return fmt.Sprintf("the object URL, at %s if given, / %s, else %s", with(0), with(1), or(with(2), "nothing"))
	case flow.Join:
		var parts []string
		if f.Const != "" {
			parts = append(parts, "`"+f.Const+"`")
		}
		if w := with(0); w != "" {
			parts = append(parts, w)
		}
		parts = append(parts, "the text")
		if w := with(1); w != "" {
			parts = append(parts, w)
		}
		return strings.Join(parts, " / ") + "; all must be there"
	case flow.Image:
		return "registry and repository, without tag and digest; `docker.io` if no registry is named"
	case flow.Git:
		return "host and repository, without `.git`, / " + with(0)
	case flow.Store:
		return "host of the server / " + with(0)
	case flow.Endpoint:
		return "the text : " + with(0)
	case flow.Cluster:
		return "`cluster` / " + with(0) + " / the text"
	case flow.IP:
		return "one IP address, or a host name"
	case flow.Alias:
		if f.Const != "" {
			return "the bare name of a Cluster that is known"
		}
		return "looked up as it stands: the base64 of a known API server's URL, and the name that `argocd cluster add` gives its Secret"
	case flow.Encoded:
		return "as text, decoded from base64"
	case flow.Payload:
		return "every object in it, each by its own kind; every address in what is no object of this table"
	case flow.Link:
		where := ""
		if w := with(0); w != "" {
			where = ", in namespace " + w
		}
		if w := with(1); w != "" {
			where += ", if " + w + " is that kind"
		}
		return fmt.Sprintf("what the object of that name says, of `%s`%s", strings.Trim(f.To.Resource+"."+f.To.Group, "."), where)
	}
	return "?"
}

func TestMovementKindsAreCurrent(t *testing.T) {
	const name = "docs/movement-kinds.md"
	want := movements()
	if strings.Contains(want, "| ? |") {
		t.Error("a form has no words here")
	}
	if *update {
		if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if read(t, name) != want {
		t.Errorf("%s is stale: run go test ./test/docs -update", name)
	}
}
