// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// hub is the text of testdata/hub.yaml.
func hub(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile("testdata/hub.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestSnapshotIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"UnknownField":   {"apiVersion: skott.dev/v1alpha1\nkind: Environment\nmetadata: {name: x}\nspec: {stgae: testing}", `stdin:125: Environment x: unknown field "stgae"`},
		"UnknownKind":    {"apiVersion: skott.dev/v1alpha1\nkind: Frontier\nmetadata: {name: x}", `Frontier x: kind: "Frontier" is not known`},
		"UnknownVersion": {"apiVersion: skott.dev/v2\nkind: Environment\nmetadata: {name: x}", `apiVersion: "skott.dev/v2" is not known here, only skott.dev/v1alpha1`},
		"WrongType":      {"apiVersion: skott.dev/v1alpha1\nkind: DataLocation\nmetadata: {name: x}\nspec: {addresses: 7}", "DataLocation x: "},
		"Twice":          {"apiVersion: skott.dev/v1alpha1\nkind: Environment\nmetadata: {name: staging}\nspec: {stage: staging}", "Environment/staging is there twice"},
		"NoAddress":      {"apiVersion: skott.dev/v1alpha1\nkind: DataLocation\nmetadata: {name: x}\nspec: {environmentRef: {name: production}, addresses: [{type: Host, value: prod}]}", `DataLocation "x": spec.addresses[0].value`},
		"Broken":         {"a: [", "stdin:125: did not find expected node content"},
		"Guard":          {"apiVersion: skott.dev/v1alpha1\nkind: Guard\nmetadata: {name: skott}", "stdin holds both Guards and objects of a hub"},
	} {
		t.Run(name, func(t *testing.T) {
			a := run(t, hub(t)+"---\n"+c.more+"\n", "check", "-f", "testdata/app/backup.yaml", "--snapshot", "-", "--environment", "staging")
			if a.code != exitError || a.out != "" || !strings.Contains(a.err, c.want) {
				t.Errorf("exit status %d, %s%s; want %q", a.code, a.out, a.err, c.want)
			}
		})
	}
}

// guards of a staging cluster of testdata/hub.yaml.
func guards(t *testing.T) []*skottv1.Guard {
	t.Helper()
	w, err := readSnapshot("testdata/hub.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := skottv1.GuardedCluster{Name: "safespring/ske-stage", ManagementCluster: "mc-sto2-staging", Role: roleWorkload, Environment: "staging", Datacenter: "sto2"}
	return policy.New(w.snapshot()).Guards(c, map[string]string{"old": "testing"}, nil)
}

func TestGuards(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: %}\nspec: {containers: [{name: a, image: x, env: [{name: A, value: db.staging.example}]}]}\n"
	for name, c := range map[string]struct {
		change func([]*skottv1.Guard) []*skottv1.Guard
		args   string
		stdin  string
		code   int
		want   string
	}{
		"Crosses":        {nil, "", importer, exitCrossings, `cluster "safespring/ske-stage" of Environment "staging": 1 crossing`},
		"SameCluster":    {nil, "--as-cluster safespring/ske-stage", importer, exitCrossings, "1 crossing"},
		"Environment":    {nil, "--environment staging --datacenter sto2", importer, exitCrossings, "1 crossing"},
		"KnownNamespace": {nil, "", strings.ReplaceAll(pod, "%", "old"), exitCrossings, "1 crossing"},
		"NewNamespace":   {nil, "", "apiVersion: v1\nkind: Namespace\nmetadata: {name: new, labels: {skott.dev/environment: testing}}\n---\n" + strings.ReplaceAll(pod, "%", "new"), exitCrossings, "1 crossing"},
		"NoNamespace":    {nil, "", strings.ReplaceAll(pod, "%", "shop"), exitClean, "nothing crosses"},
		"OtherCluster":   {nil, "--as-cluster a/b", importer, exitError, `stdin-guards.json holds the Guard of cluster "safespring/ske-stage"`},
		"OtherPlace":     {nil, "--environment testing", importer, exitError, `holds the Guard of a cluster of Environment "staging"`},
		"OtherSite":      {nil, "--environment staging --datacenter osl2", importer, exitError, `holds the Guard of a cluster in "sto2"`},
		"TwoClusters": {func(g []*skottv1.Guard) []*skottv1.Guard { g[1].Spec.Cluster.Name = "x/y"; return g }, "", importer, exitError,
			`holds Guards of two clusters, "safespring/ske-stage" and "x/y"`},
		"WithoutDeny": {func(g []*skottv1.Guard) []*skottv1.Guard { return g[1:] }, "", importer, exitError, "lacks the Guard of action Deny"},
		"Twice":       {func(g []*skottv1.Guard) []*skottv1.Guard { return append(g, g[0]) }, "", importer, exitError, "Guard/skott is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			all := guards(t)
			if c.change != nil {
				all = c.change(all)
			}
			raw, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": all})
			if err != nil {
				t.Fatal(err)
			}
			file := write(t, t.TempDir(), "stdin-guards.json", string(raw))
			a := run(t, c.stdin, append([]string{"check", "-f", "-", "--snapshot", file}, strings.Fields(c.args)...)...)
			if a.code != c.code || !strings.Contains(a.err, c.want) {
				t.Errorf("exit status %d: %s%s; want %d and %q", a.code, a.out, a.err, c.code, c.want)
			}
		})
	}
	raw, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": guards(t)})
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, t.TempDir(), "guards.json", string(raw))
	if a := run(t, "", "export", "--snapshot", file); a.code != exitError || !strings.Contains(a.err, "they are a snapshot already") {
		t.Errorf("export: exit status %d: %s", a.code, a.err)
	}
	a := run(t, "", "addresses", "--snapshot", file, "--environment", "production")
	if a.code != exitClean || !strings.Contains(a.out, "s3.sto2.example/prod-backups        production") || strings.Contains(a.out, "canary") || strings.Contains(a.out, "namespace") {
		t.Errorf("addresses: exit status %d: %s%s", a.code, a.out, a.err)
	}
	a = run(t, "", "coverage", "--snapshot", file, "-f", "testdata/app/other.yaml")
	if a.code != exitClean || !strings.Contains(a.out, "spec.targets[*].url   production") {
		t.Errorf("coverage: exit status %d: %s%s", a.code, a.out, a.err)
	}
}

func TestFailOn(t *testing.T) {
	const warned = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: x, env: [{name: A, value: db.staging.example}]}]}\n"
	for failOn, want := range map[string]int{"audit": exitCrossings, "warn": exitCrossings, "deny": exitClean} {
		a := run(t, warned, "check", "-f", "-", "--snapshot", "testdata/hub.yaml", "--environment", "testing", "--fail-on", failOn)
		if a.code != want || !strings.Contains(a.out, "SKOTT-D101 (warn)") {
			t.Errorf("--fail-on %s: exit status %d, want %d: %s%s", failOn, a.code, want, a.out, a.err)
		}
	}
}

// What an object leaves to another one is found if that one is given too, before it or
// behind it, and Secrets are read as the API server stores them.
func TestLinks(t *testing.T) {
	kinds := `---
apiVersion: skott.dev/v1alpha1
kind: MovementKind
metadata: {name: importer}
spec:
  group: db.example
  kind: Importer
  resource: importers
  fields:
  - {path: spec.secretName, form: Reference, to: {resource: secrets}}
---
apiVersion: skott.dev/v1alpha1
kind: MovementKind
metadata: {name: secret}
spec: {kind: Secret, resource: secrets, fields: [{path: "data{*}", form: Encoded}]}
---
apiVersion: skott.dev/v1alpha1
kind: MovementKind
metadata: {name: wrong}
spec: {group: db.example, kind: Wrong, resource: wrongs, fields: [{path: "a..b"}]}
`
	snapshot := write(t, t.TempDir(), "hub.yaml", hub(t)+kinds)
	const by, secret = "apiVersion: db.example/v1\nkind: Importer\nmetadata: {name: orders}\nspec: {secretName: db}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  other: x\n  url: postgresql://db.customers.example/x\n"
	encoded := "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata:\n  url: cG9zdGdyZXNxbDovL2RiLmN1c3RvbWVycy5leGFtcGxlL3g=\n"
	for name, c := range map[string]struct {
		input string
		want  []string // line, kind, field
	}{
		"Before":         {secret + "---\n" + by, []string{"6 Secret data[\"url\"]", "11 Importer spec.secretName"}},
		"Behind":         {by + "---\n" + secret, []string{"4 Importer spec.secretName", "11 Secret data[\"url\"]"}},
		"Encoded":        {by + "---\n" + encoded, []string{"4 Importer spec.secretName", "10 Secret data[\"url\"]"}},
		"Alone":          {by, nil},
		"OtherNamespace": {by + "---\n" + strings.Replace(secret, "name: db", "name: db, namespace: other", 1), []string{"11 Secret data[\"url\"]"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := run(t, c.input, "check", "-f", "-", "--snapshot", snapshot, "--environment", "staging", "-o", "json")
			var r result
			if err := json.Unmarshal([]byte(a.out), &r); err != nil {
				t.Fatalf("%v: %s", err, a.err)
			}
			var got []string
			for _, f := range r.Findings {
				got = append(got, strings.Join([]string{itoa(f.Line), f.Kind, f.Field}, " "))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%s", diff, a.out)
			}
			if want := `warning: MovementKind "wrong" is in use nowhere: `; !strings.Contains(a.err, want) {
				t.Errorf("%q does not hold %q", a.err, want)
			}
		})
	}
	a := run(t, by+"---\n"+secret, "explain", "-f", "-", "--snapshot", snapshot, "--environment", "staging")
	if a.code != exitCrossings || !strings.Contains(a.out, `spec.secretName leads, through "db", to host db.customers.example/x`) {
		t.Errorf("explain: exit status %d: %s%s", a.code, a.out, a.err)
	}
	// The kinds of users are part of what is exported.
	exported := run(t, "", "export", "--snapshot", snapshot)
	file := write(t, t.TempDir(), "exported.yaml", exported.out)
	if a := run(t, by+"---\n"+secret, "check", "-f", "-", "--snapshot", file, "--environment", "staging"); a.code != exitCrossings || !strings.Contains(a.err, "2 crossings in 2 objects") {
		t.Errorf("exported: exit status %d: %s%s", a.code, a.out, a.err)
	}
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

// Private networks mean something in their datacenter only; where it is not said, every one
// that the Environment is in counts.
func TestDatacenters(t *testing.T) {
	const slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv4\nendpoints: [{addresses: [10.20.3.4]}]\n"
	more := "---\napiVersion: skott.dev/v1alpha1\nkind: ManagementCluster\nmetadata: {name: mc-osl2-staging}\nspec: {environmentRef: {name: staging}, datacenter: osl2, role: Management}\n"
	snapshot := write(t, t.TempDir(), "hub.yaml", hub(t)+more)
	for args, want := range map[string]int{
		"--environment staging": exitCrossings, "--environment staging --datacenter sto2": exitCrossings,
		"--environment staging --datacenter osl2": exitClean, "--as-cluster mc-osl2-staging": exitClean, "--as-cluster mc-sto2-staging": exitCrossings,
	} {
		if a := run(t, slice, append([]string{"check", "-f", "-", "--snapshot", snapshot}, strings.Fields(args)...)...); a.code != want {
			t.Errorf("%s: exit status %d, want %d: %s%s", args, a.code, want, a.out, a.err)
		}
	}
}

func TestNamespacesOfTwoClusters(t *testing.T) {
	const two = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {skott.dev/environment: testing}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
	a := run(t, two, "check", "-f", "-", "--snapshot", "testdata/hub.yaml", "--environment", "staging")
	if want := `stdin:5: Namespace "a" is of Environment "" here and of "testing" at stdin:1: check the objects of one cluster at a time`; a.code != exitError || !strings.Contains(a.err, want) {
		t.Errorf("exit status %d: %s; want %q", a.code, a.err, want)
	}
}

// Where a kubectl user puts the namespace, it is.
func TestNamespaceFlag(t *testing.T) {
	a := run(t, importer, "check", "-f", "-", "--snapshot", "testdata/hub.yaml", "--environment", "staging", "-n", "shop", "-o", "json")
	if !strings.Contains(a.out, `"namespace": "shop"`) {
		t.Errorf("exit status %d: %s%s", a.code, a.out, a.err)
	}
}

// An exported snapshot holds nothing of how clusters are reached, nor what only serves the
// hub.
func TestExportHoldsNoConnection(t *testing.T) {
	a := run(t, "", "export", "--snapshot", "testdata/hub.yaml")
	for _, word := range []string{"connection", "kubeconfig", "Secret", "uid", "annotations", "origins", "not-of-the-hub", "status"} {
		if strings.Contains(strings.SplitN(a.out, "items:", 2)[1], word) {
			t.Errorf("the snapshot holds %q: %s", word, a.out)
		}
	}
}

// A List of many objects is one document; every finding in it has its own line.
func TestHuge(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	const n = 3000
	for range n {
		b.WriteString("- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x}\n  data:\n    a: db.prod.example\n")
	}
	a := run(t, b.String(), "check", "-f", "-", "--snapshot", "testdata/hub.yaml", "--environment", "staging", "-o", "json")
	var r result
	if err := json.Unmarshal([]byte(a.out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != n || r.Findings[n-1].Line != 3+5*n || a.code != exitCrossings {
		t.Errorf("%d findings, the last in line %d, exit status %d", len(r.Findings), r.Findings[len(r.Findings)-1].Line, a.code)
	}
}

// What stands in a file must not steer the terminal of whoever checks it.
func TestControlCharacters(t *testing.T) {
	content := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\\e[31m\"}\ndata: {\"k\\e]0;x\\a\": db.prod.example}\n"
	for _, command := range []string{"check", "explain"} {
		a := run(t, content, command, "-f", "-", "--snapshot", "testdata/hub.yaml", "--environment", "staging")
		if a.code != exitCrossings || strings.ContainsAny(a.out+a.err, "\x1b\a") {
			t.Errorf("%s: exit status %d: %q%q", command, a.code, a.out, a.err)
		}
	}
}

// SARIF names files as URIs, relative to where the command was run.
func TestSARIFPaths(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, "a b/ü#1.yaml", importer)
	snapshot, err := filepath.Abs("testdata/hub.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(folder)
	a := run(t, "", "check", "-f", "./a b", "--snapshot", snapshot, "--environment", "staging", "-o", "sarif")
	if want := `"uri": "a%20b/%C3%BC%231.yaml"`; !strings.Contains(a.out, want) {
		t.Errorf("%s does not hold %s: %s", a.out, want, a.err)
	}
}

// Every code has a rule that says something.
func TestEveryCodeHasARule(t *testing.T) {
	for _, c := range policy.Codes() {
		r := rule(c)
		if r.ID == "" || r.ShortDescription.Text == "" || r.FullDescription.Text == "" || r.HelpURI == "" {
			t.Errorf("%s: %+v", c, r)
		}
		var out strings.Builder
		if err := explainCode(&out, c); err != nil || !strings.Contains(out.String(), "More: "+help(c)) {
			t.Errorf("%s: %v: %s", c, err, out.String())
		}
		for _, spelling := range []string{string(c), strings.ToLower(string(c)), string(c)[6:], string(c)[7:]} {
			if got, err := parseCode(spelling); got != c || err != nil {
				t.Errorf("parseCode(%q) = %q, %v", spelling, got, err)
			}
		}
	}
	if i := slices.IndexFunc([]string{"", "D", "D1024", "SKOTT-102x", "D100"}, func(s string) bool { _, err := parseCode(s); return err == nil }); i >= 0 {
		t.Errorf("code %d of those that are none is one", i)
	}
}
