// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update rewrites the expected output instead of comparing it.
var update = flag.Bool("update", false, "rewrite the files of expected output in testdata")

// answer is what a command line did.
type answer struct {
	code     int
	out, err string
}

// run runs a command line as a user does.
func run(t testing.TB, stdin string, args ...string) answer {
	t.Helper()
	var out, err bytes.Buffer
	code := Run(t.Context(), args, Streams{In: strings.NewReader(stdin), Out: &out, Err: &err})
	return answer{code: code, out: out.String(), err: err.String()}
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

// write puts a file into a folder of the test.
func write(t testing.TB, folder, name, content string) string {
	t.Helper()
	file := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGolden(t *testing.T) {
	staging := []string{"--snapshot", "testdata/hub.yaml", "--environment", "staging"}
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"check.table":            {append(staging, "check", "-f", "testdata/app"), exitError},
		"check.json":             {append(staging, "check", "-f", "testdata/app", "-o", "json"), exitError},
		"check.yaml":             {append(staging, "check", "-f", "testdata/app", "-o", "yaml"), exitError},
		"check.sarif":            {append(staging, "check", "-f", "testdata/app", "-o", "sarif"), exitError},
		"check-production.table": {[]string{"check", "-f", "testdata/app/backup.yaml", "--snapshot", "testdata/hub.yaml", "--as-cluster", "cust-vardhem/vardhem-prod"}, exitClean},
		"explain.table":          {append(staging, "explain", "-f", "testdata/app/backup.yaml"), exitCrossings},
		"explain.json":           {append(staging, "explain", "-f", "testdata/app/backup.yaml", "-o", "json"), exitCrossings},
		"explain-code.txt":       {[]string{"explain", "d102"}, exitClean},
		"addresses.table":        {[]string{"addresses", "--snapshot", "testdata/hub.yaml"}, exitClean},
		"addresses-find.json":    {[]string{"addresses", "--snapshot", "testdata/hub.yaml", "--find", "https://s3.sto2.example/prod-backups/2026", "-o", "json"}, exitClean},
		"export.yaml":            {[]string{"export", "--snapshot", "testdata/hub.yaml"}, exitClean},
		"export-origins.yaml":    {[]string{"export", "--snapshot", "testdata/hub.yaml", "--origins"}, exitClean},
		"coverage.table":         {[]string{"coverage", "-f", "testdata/app/other.yaml", "--snapshot", "testdata/hub.yaml"}, exitClean},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if i := indexOf(args, "check", "explain"); i > 0 { // the command comes first
				args = append(append([]string{}, args[i:]...), args[:i]...)
			}
			a := run(t, "", args...)
			if a.code != c.code {
				t.Errorf("exit status %d, want %d: %s", a.code, c.code, a.err)
			}
			text := strings.ReplaceAll(a.out, version(), "VERSION")
			if a.err != "" {
				text += "--- standard error\n" + a.err
			}
			golden(t, name, text)
		})
	}
}

func indexOf(args []string, words ...string) int {
	for i, a := range args {
		for _, w := range words {
			if a == w {
				return i
			}
		}
	}
	return -1
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		want string
	}{
		"UnknownFlag":     {"check --foo", "error: unknown flag: --foo\nSee 'kubectl skott check --help' for usage"},
		"UnknownCommand":  {"chekc", `unknown command "chekc" for "kubectl skott"`},
		"NoFile":          {"check --environment staging", "must specify -f"},
		"NoTarget":        {"check -f testdata/app --snapshot testdata/hub.yaml", "say which cluster is to answer"},
		"TwoTargets":      {"check -f x --environment a --as-cluster b", "--as-cluster and --environment exclude each other"},
		"Datacenter":      {"check -f x --as-cluster b --datacenter c", "--datacenter needs --environment"},
		"Output":          {"check -f x --environment a -o xml", `--output "xml": must be one of table, json, yaml, sarif`},
		"ExplainOutput":   {"explain -f x -o sarif", `--output "sarif": must be one of table, json, yaml`},
		"FailOn":          {"check -f x --environment a --fail-on never", `--fail-on "never": must be one of`},
		"Arguments":       {"check x", `unknown command "x" for "kubectl skott check"`},
		"NoSnapshot":      {"check -f testdata/app --snapshot gone.yaml --environment staging", "--snapshot: stat gone.yaml: no such file or directory"},
		"NoManifest":      {"check -f gone.yaml --snapshot testdata/hub.yaml --environment staging", "-f: stat gone.yaml: no such file or directory"},
		"URL":             {"check -f https://example/x.yaml --snapshot testdata/hub.yaml --environment staging", "URLs are not read"},
		"TwiceStdin":      {"check -f - --snapshot - --environment staging", "standard input can be read once only"},
		"NoEnvironment":   {"check -f testdata/app --snapshot testdata/hub.yaml --environment stagign", `knows no such Environment; it knows production, staging`},
		"NoCluster":       {"check -f testdata/app --snapshot testdata/hub.yaml --as-cluster mc-x", "knows no such ManagementCluster; it knows mc-sto2-prod, mc-sto2-staging, ops"},
		"NoWorkload":      {"check -f testdata/app --snapshot testdata/hub.yaml --as-cluster a/b", "knows no such Cluster"},
		"Ambiguous":       {"check -f testdata/app --snapshot testdata/hub.yaml --as-cluster twins/twin", "there is one under each of mc-sto2-prod, mc-sto2-staging"},
		"Slashes":         {"check -f testdata/app --snapshot testdata/hub.yaml --as-cluster a/b/c/d", "must be NAME, NAMESPACE/NAME or"},
		"CodeAndFile":     {"explain D102 -f x", "exclude each other"},
		"NoCode":          {"explain D999", "is no code of a refusal"},
		"NotAHub":         {"addresses --snapshot testdata/app/backup.yaml", "holds no Environment: it is no hub of Skott"},
		"NoKubeconfig":    {"check -f testdata/app --kubeconfig gone", "cannot reach a cluster"},
		"CoverageCluster": {"coverage --snapshot testdata/hub.yaml --as-cluster x", "knows no such ManagementCluster"},
	} {
		t.Run(name, func(t *testing.T) {
			a := run(t, "", strings.Fields(c.args)...)
			if a.code != exitError || a.out != "" || !strings.Contains(a.err, c.want) || !strings.HasPrefix(a.err, "error: ") {
				t.Errorf("exit status %d, output %q, errors %q; want status 2, no output and %q", a.code, a.out, a.err, c.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, command := range []string{"check", "explain", "export", "addresses", "coverage"} {
		a := run(t, "", command, "--help")
		if a.code != exitClean || !strings.Contains(a.out, "Examples:\n  # ") || !strings.Contains(a.out, "kubectl skott "+command) {
			t.Errorf("%s --help: exit status %d, %s", command, a.code, a.out)
		}
	}
	if a := run(t, ""); a.code != exitClean || !strings.Contains(a.out, "Available Commands:") {
		t.Errorf("without arguments: exit status %d, %s", a.code, a.out)
	}
	if a := run(t, "", "explain"); a.code != exitClean || !strings.Contains(a.out, "SKOTT-D505") || strings.Contains(a.out, "Reserved") {
		t.Errorf("explain: exit status %d, %s", a.code, a.out)
	}
}

const importer = `apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data: {url: "https://db.prod.example/x"}
`

func TestExitStatus(t *testing.T) {
	for name, c := range map[string]struct {
		stdin string
		args  string
		want  int
	}{
		"Clean":         {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "", exitClean},
		"Crossing":      {importer, "", exitCrossings},
		"Broken":        {"a: [", "", exitError},
		"BrokenAndMore": {importer + "---\na: [", "", exitError},
		"Nothing":       {"", "", exitError},
		"CommentsOnly":  {"# nothing\n---\n# more\n", "", exitError},
		"EmptyList":     {"apiVersion: v1\nkind: List\nitems: []\n", "", exitClean},
		"NotAnObject":   {"a: 1\n", "", exitError},
		"Scalar":        {"hello\n", "", exitError},
		"JSON":          {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"db.prod.example"}}`, "", exitCrossings},
		"JSONStream":    {`{"apiVersion":"v1","kind":"ConfigMap"} {"apiVersion":"v1","kind":"ConfigMap","data":{"a":"db.prod.example"}}`, "", exitCrossings},
		"JSONBroken":    {`{"apiVersion":"v1","kind":"ConfigMap"} {`, "", exitError},
		"Flow":          {`{apiVersion: v1, kind: ConfigMap, data: {a: db.prod.example}}`, "", exitCrossings},
		"Production":    {importer, "--environment production", exitClean},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"check", "-f", "-", "--snapshot", "testdata/hub.yaml"}
			if c.args == "" {
				c.args = "--environment staging"
			}
			if a := run(t, c.stdin, append(args, strings.Fields(c.args)...)...); a.code != c.want {
				t.Errorf("exit status %d, want %d: %s%s", a.code, c.want, a.out, a.err)
			}
		})
	}
}
