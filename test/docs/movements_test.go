// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

const movementsHead = `# Movement kinds

<!-- Generated from flow.Builtin().Kinds() by "go test ./test/docs -update". Do not edit. -->

The table of the project: what is read of each kind, which way data moves, and what its objects do not
show. A [MovementKind](operations.md#an-own-kind) adds to it. One admission policy holds one family, and
those of an API group are only where it is served. The [guard webhook](operations.md#the-guard-webhook) and the
[command line](cli.md) read the same table, and beyond it every text of every kind for addresses that stand out.
All fields are judged on CREATE and on UPDATE, nothing on DELETE. See [coverage](coverage.md) for the rest.

Paths: ` + "`list[name]`" + ` walks a list whose elements are told by their field ` + "`name`" + `, ` + "`list[*]`" + ` a list whose
elements have none, ` + "`map{*}`" + ` the values of a map, ` + "`map{key}`" + ` is one of them.

| direction | meaning |
|---|---|
| reads | data comes from the address: refused where the owner's data may not come |
| writes | data goes to the address: refused where data of here may not go |
| names | it cannot be told which way data moves, so it counts as both |
| mentions | the object only keeps the address: counts as reads |
| source | the object names both ends itself; this is where from |
| destination | this is where to. It is never refused by itself; it decides where the sources arrive |

| mark | meaning |
|---|---|
| webhook | no policy reads the field: the guard webhook and the command line do |
| new | judged on CREATE alone, because the address is also the object's own |
| learned | the address is [learned](learning.md) as that of the object's Environment, if its type is |

| what is compared | made from the text of the field |
|---|---|
| text | every host, URL, IPv4 address and object URL in it |
| encoded | the same, decoded from base64 |
| image | registry and repository, without tag and digest; ` + "`docker.io`" + ` if no registry is named |
| bucket | the bucket, or that of an ARN, at the endpoint, with the prefix; without an endpoint ` + "`aws`" + `, or the store named here, or ` + "`gcs`" + ` if the provider holds "gcp" |
| object URL | bucket and path of a URL such as ` + "`s3://bucket/path`" + `, at the endpoint if there is one |
| repository | host and repository, without ` + "`.git`" + `, with the path in it |
| IP | one IP address, or a host name |
| namespace | another namespace of the same cluster |
| object of … | what the object of that name says itself counts here too |
| objects in it | each by its own kind; what is of no kind here is text |

The [codes](denials.md) follow the field, not the address: a bucket in free text is refused with the
code of a host.
`

// chapter is a family with what it holds.
type chapter struct {
	family flow.Family
	holds  string
}

// held are the families that every cluster has, with what they hold, in the order of the policies.
var held = []chapter{
	{flow.Storage, "volumes, claims and storage classes"},
	{flow.Network, "services, endpoints, ingresses, network policies"},
	{flow.Workload, "pods and everything that holds a pod template"},
	{flow.Config, "ConfigMaps"},
	{flow.Delivery, "Secrets and service accounts"},
	{flow.Clusters, "Cluster API Clusters"},
}

// families are the policies of the suite's clusters.
var families = corpus.Families()

// chapters are the families, and then the API groups.
func chapters() []chapter {
	out := slices.Clone(held)
	policies := policy.BuiltinRules().AllFamilies()
	var groups []chapter
	for _, k := range flow.Builtin().Kinds() {
		if k.Family.Everywhere() || slices.ContainsFunc(groups, func(c chapter) bool { return c.family == k.Family }) {
			continue
		}
		c := chapter{family: k.Family}
		if !slices.Contains(policies, k.Family) {
			c.holds = withoutPolicy
		}
		groups = append(groups, c)
	}
	slices.SortFunc(groups, func(a, b chapter) int { return strings.Compare(string(a.family), string(b.family)) })
	return append(out, groups...)
}

// withoutPolicy is said of families of which policies read nothing.
const withoutPolicy = "no policy"

// movements is the page.
func movements() string {
	var b strings.Builder
	b.WriteString(movementsHead)
	var index []string
	for _, c := range chapters() {
		index = append(index, fmt.Sprintf("[%s](#%s)", c.family, anchorOf(c.heading())))
	}
	b.WriteString("\nFamilies: " + strings.Join(index, ",\n") + ".\n")
	for _, c := range chapters() {
		b.WriteString("\n" + c.heading() + "\n")
		done := map[string]bool{}
		for _, k := range flow.Builtin().Kinds() {
			if k.Family == c.family && !done[k.Rows] {
				done[k.Rows] = true
				writeKinds(&b, k)
			}
		}
	}
	b.WriteString("\n## Requests that store no object\n\nThe policies of their families read these as well.\n")
	for _, k := range flow.Channels() {
		fmt.Fprintf(&b, "\n- **%s**, through `%s/%s`\n", k.Kind, k.Resource, k.Channel)
		writeFields(&b, k.Fields)
	}
	return b.String()
}

func (c chapter) heading() string {
	name := policy.PolicyName(c.family, "")
	switch c.holds {
	case "":
		return "## " + name
	case withoutPolicy:
		name = string(c.family)
	}
	return "## " + name + ": " + c.holds
}

// writeKinds writes the fields of k once, for all kinds that share them.
func writeKinds(b *strings.Builder, k *flow.Kind) {
	b.WriteString("\n")
	for _, other := range flow.Builtin().Kinds() {
		if other.Family == k.Family && other.Rows == k.Rows {
			writeKind(b, other)
		}
	}
	// The rows of a pod spec stand at the Pod alone.
	writeFields(b, slices.DeleteFunc(slices.Clone(k.Fields), func(f flow.Field) bool { return f.Pod && k.Kind != "Pod" }))
}

// writeKind writes what is a kind's own.
func writeKind(b *strings.Builder, k *flow.Kind) {
	group := k.Group
	if group == "" {
		group = "core"
	}
	fmt.Fprintf(b, "- **%s** (%s/%s)", k.Kind, group, k.Version())
	for i, path := range k.PodSpecs {
		if i == 0 {
			b.WriteString(", pod spec at")
		}
		fmt.Fprintf(b, " `%s`", path)
	}
	for _, s := range k.Subresources {
		fmt.Fprintf(b, ", also through `%s/%s`", k.Resource, s)
	}
	if k.Hidden != "" {
		b.WriteString(". *Not seen:* " + k.Hidden)
	}
	b.WriteString("\n")
}

// writeFields writes a table, if there is anything to put into it.
func writeFields(b *strings.Builder, fields []flow.Field) {
	if len(fields) == 0 {
		return
	}
	b.WriteString("\n| field | direction | what is compared | codes |\n|---|---|---|---|\n")
	for i := range fields {
		f := &fields[i]
		codes := strings.ReplaceAll(strings.Join(codesOf(f), ", "), "SKOTT-", "")
		if codes == "" {
			codes = "–"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Path, direction(f), how(f), codes)
	}
}

// direction says in words which way data moves, with the marks of a field.
func direction(f *flow.Field) string {
	out := map[flow.Direction]string{flow.From: "reads", flow.To: "writes", flow.Names: "names"}[f.Direction]
	if f.Passive && f.Direction == flow.Names {
		out = "mentions"
	}
	if f.End != "" {
		out = strings.ToLower(string(f.End))
	}
	for _, m := range []struct {
		set  bool
		mark string
	}{{!f.InPolicy(), "webhook"}, {f.CreateOnly, "new"}, {f.Learn, "learned"}} {
		if m.set {
			out += ", *" + m.mark + "*"
		}
	}
	return out
}

// forms are the words for the forms that need no more of them.
var forms = map[flow.Form]string{
	flow.Text: "text", flow.Encoded: "encoded", flow.Image: "image", flow.IP: "IP", flow.Payload: "objects in it",
	flow.Bucket: "bucket", flow.Object: "object URL", flow.Git: "repository",
}

// companions are what stands beside a form, in the order of Field.With.
var companions = map[flow.Form][]string{
	flow.Bucket: {", endpoint ", ", prefix ", ", provider "},
	flow.Object: {", endpoint ", ", below it ", " or else "},
	flow.Git:    {", path "},
}

// how says in words what a form makes of a text.
func how(f *flow.Field) string {
	with := func(i int, before string) string {
		if i >= len(f.With) || f.With[i] == "" {
			return ""
		}
		return before + "`" + f.With[i] + "`"
	}
	switch f.Form {
	case flow.Join:
		return join(f)
	case flow.Store:
		return "secret store: host of the server" + with(0, " / ")
	case flow.Endpoint:
		return "API server: the text" + with(0, " : ")
	case flow.Cluster:
		return "Cluster of this name" + with(0, " in namespace ")
	case flow.Alias:
		if f.Const != "" {
			return "a known Cluster by its bare name"
		}
		return "what Argo CD writes for a known API server: the base64 of its URL, or the name that `argocd cluster add` gives its Secret"
	case flow.Link:
		return "object of `" + strings.Trim(f.To.Resource+"."+f.To.Group, ".") + "`" + with(0, ", namespace ") + with(1, ", if it is of kind ")
	}
	out := forms[f.Form]
	if out == "" {
		return "?"
	}
	for i, word := range companions[f.Form] {
		out += with(i, word)
	}
	if f.Const != "" {
		out += ", store `" + f.Const + "`"
	}
	if f.Form == flow.Text && f.Type != address.Host {
		out += " of " + string(f.Type)
	}
	return out
}

// join says of what an address is put together.
func join(f *flow.Field) string {
	if f.Type == flow.Namespace {
		return "namespace"
	}
	parts := []string{"the text"}
	if len(f.With) > 0 && f.With[0] != "" {
		parts = slices.Insert(parts, 0, "`"+f.With[0]+"`")
	}
	if f.Const != "" {
		parts = slices.Insert(parts, 0, f.Const)
	}
	if len(f.With) > 1 && f.With[1] != "" {
		parts = append(parts, "`"+f.With[1]+"`")
	}
	return string(f.Type) + " " + strings.Join(parts, " / ")
}

func TestMovementKindsAreCurrent(t *testing.T) {
	const name = "docs/movement-kinds.md"
	want := movements()
	if strings.Contains(want, "| ? |") {
		t.Error("a form has no words here")
	}
	for _, k := range flow.Builtin().Kinds() {
		if !strings.Contains(want, "- **"+k.Kind+"** ("+k.Group) && k.Group != "" {
			t.Errorf("%s.%s has no place here", k.Kind, k.Group)
		}
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
