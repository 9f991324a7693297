// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readAll reads a text as stdin and says what was found: "line: kind namespace/name", or
// "line! message".
func readAll(t testing.TB, content string) []string {
	t.Helper()
	in, err := newInput([]string{"-"}, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	broken := func(p problem) { out = append(out, fmt.Sprintf("%d! %s", p.Line, p.Message)) }
	in.read(func(_ *source, d *document) {
		d.objects(func(o *object) {
			out = append(out, fmt.Sprintf("%d: %s %s/%s", o.position("", ""), o.gvk.Kind, o.namespace, o.name))
		}, func(_ error, p problem) { broken(p) })
	}, broken)
	return out
}

func TestDocuments(t *testing.T) {
	const cm = "apiVersion: v1\nkind: ConfigMap\n"
	deep := "{apiVersion: v1, kind: List, items: ["
	for name, c := range map[string]struct {
		content string
		want    []string
	}{
		"Empty":          {"", nil},
		"Separators":     {"---\n---\n--- # x\n...\n", nil},
		"One":            {cm, []string{"1: ConfigMap /"}},
		"Several":        {cm + "---\n# c\n" + cm + "--- # from: x\n" + cm, []string{"1: ConfigMap /", "5: ConfigMap /", "8: ConfigMap /"}},
		"OnOneLine":      {"--- {apiVersion: v1, kind: Secret}\n--- {apiVersion: v1, kind: Pod}", []string{"1: Secret /", "2: Pod /"}},
		"GluedMarker":    {cm + "---kind: x\n" + cm, []string{"1: ConfigMap /", "3: ConfigMap /"}},
		"EndMarker":      {cm + "...\n" + cm, []string{"1: ConfigMap /", "4: ConfigMap /"}},
		"EndMarkerFirst": {"...\n" + cm, []string{"2: ConfigMap /"}},
		"WindowsLines":   {strings.ReplaceAll(cm+"---\n"+cm, "\n", "\r\n"), []string{"1: ConfigMap /", "4: ConfigMap /"}},
		"ByteOrderMark":  {"\ufeff" + cm, []string{"1: ConfigMap /"}},
		"InBlock":        {cm + "data:\n  a: |\n    ---\n    ...\n", []string{"1: ConfigMap /"}},
		"UTF16":          {"\xff\xfea\x00", []string{"1! is written in UTF-16: write it in UTF-8"}},
		"UnicodeBreaks":  {cm + "data: {}\u2028---\u2028" + cm, []string{"1! holds a line separator of Unicode behind which another document begins: use line feeds"}},
		"UnicodeInText":  {cm + "data: {a: \"x\u2028y\"}\n", []string{"1: ConfigMap /"}},
		"Tab":            {cm + "\tdata: {}\n", []string{"3! found a tab character that violates indentation"}},
		"Broken":         {"a: [\n---\n" + cm, []string{"1! did not find expected node content", "3: ConfigMap /"}},
		"NotUTF8":        {cm + "data: {a: \"\xff\"}\n", []string{"1! invalid leading UTF-8 octet"}},
		"Scalar":         {"hello", []string{"1! has no apiVersion and no kind: it is no Kubernetes object"}},
		"Sequence":       {"- " + "a: 1", []string{"1! has no apiVersion and no kind: it is no Kubernetes object"}},
		"NoKind":         {"apiVersion: v1\n", []string{"1! kind: must be the name of a kind"}},
		"KindOfNumbers":  {"apiVersion: v1\nkind: 7\n", []string{"2! kind: must be the name of a kind"}},
		"Slashes":        {"kind: X\napiVersion: a/b/c\n", []string{"2! apiVersion: unexpected GroupVersion string: a/b/c"}},
		"Metadata":       {cm + "metadata: x\n", []string{"3! metadata: must be a map"}},
		"MetadataNull":   {cm + "metadata:\n", []string{"1: ConfigMap /"}},
		"NameOfNumber":   {cm + "metadata: {name: 7}\n", []string{"1: ConfigMap /"}},
		"List":           {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: A\n- 7\n- apiVersion: v1\n  kind: B\n  metadata: {name: b, namespace: ns}\n", []string{"4: A /", "6! items[1]: must be an object", "7: B ns/b"}},
		"TypedList":      {"apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n", []string{"4: Pod /a"}},
		"ListOfLists":    {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: A}]}\n", []string{"4: A /"}},
		"ListNull":       {"apiVersion: v1\nkind: List\nitems:\n", []string{"1: List /"}},
		"DeepLists":      {strings.Repeat(deep, 9) + "{apiVersion: v1, kind: A}" + strings.Repeat("]}", 9), []string{"1! items: more than 8 Lists in each other"}},
		"NotAList":       {cm + "items: [{apiVersion: v1, kind: Secret}]\n", []string{"1: ConfigMap /", "3: Secret /"}},
		"Anchors":        {"apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: A}\n- *a\n- <<: *a\n  kind: B\n", []string{"4: A /", "4: A /", "6: B /"}},
		"LastKeyCounts":  {"apiVersion: v1\nkind: A\nkind: B\n", []string{"1: B /"}},
		"JSON":           {"\n{\"apiVersion\": \"v1\",\n \"kind\": \"A\"}\n", []string{"2: A /"}},
		"JSONStream":     {"{\"apiVersion\":\"v1\",\"kind\":\"A\"}\n\n{\"apiVersion\":\"v1\",\n\"kind\":\"B\"}{\"a\":1}", []string{"1: A /", "3: B /", "4! has no apiVersion and no kind: it is no Kubernetes object"}},
		"JSONTabs":       {"{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"A\"\n}", []string{"1: A /"}},
		"JSONThenText":   {"{\"apiVersion\":\"v1\",\"kind\":\"A\"}\nx", []string{"1: A /", "2! invalid character 'x' looking for beginning of value"}},
		"Bomb":           {bomb(), []string{"1! document contains excessive aliasing"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, readAll(t, c.content)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// bomb is small, and large when its aliases are followed.
func bomb() string {
	s := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		s += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return s
}

func TestFolder(t *testing.T) {
	folder := t.TempDir()
	const object = "apiVersion: v1\nkind: ConfigMap\ndata: {a: db.prod.example}\n"
	outside := write(t, t.TempDir(), "secret.yaml", object)
	for _, name := range []string{"z.yaml", "a/b.yml", "a/c.JSON", "a/.hidden/d.yaml", "a/e.txt", "README.md"} {
		write(t, folder, name, object)
	}
	write(t, folder, "values.yaml", "a: 1\n")
	for link, to := range map[string]string{"in.yaml": "z.yaml", "out.yaml": outside, "gone.yaml": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(folder, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := newInput([]string{folder}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range in.sources {
		name, _ := filepath.Rel(folder, s.name)
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"a/.hidden/d.yaml", "a/b.yml", "a/c.JSON", "in.yaml", "values.yaml", "z.yaml"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	var problems []string
	for _, p := range in.problems {
		problems = append(problems, filepath.Base(p.File))
	}
	if diff := cmp.Diff([]string{"gone.yaml", "out.yaml", "pipe.yaml"}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	a := run(t, "", "check", "-f", folder, "--snapshot", "testdata/hub.yaml", "--environment", "staging")
	if a.code != exitError || strings.Count(a.out, "SKOTT-D101   ") != 5 || !strings.Contains(a.err, "skipped: "+filepath.Join(folder, "values.yaml")) {
		t.Errorf("exit status %d: %s%s", a.code, a.out, a.err)
	}
	if strings.Contains(a.out, "out.yaml") {
		t.Errorf("a link was followed out of the folder: %s", a.out)
	}
	// Whoever names the file itself means it.
	if a := run(t, "", "check", "-f", filepath.Join(folder, "out.yaml"), "--snapshot", "testdata/hub.yaml", "--environment", "staging"); a.code != exitCrossings {
		t.Errorf("exit status %d: %s%s", a.code, a.out, a.err)
	}
}

// A pipe can be read once only, and is.
func TestPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(pipe, []byte(importer), 0o600) }()
	if a := run(t, "", "check", "-f", pipe, "--snapshot", "testdata/hub.yaml", "--environment", "staging"); a.code != exitCrossings {
		t.Errorf("exit status %d: %s%s", a.code, a.out, a.err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPosition(t *testing.T) {
	const content = `apiVersion: v1
kind: Pod
metadata:
  annotations:
    example.com/url: x
spec:
  containers:
  - name: a
    env: &env
    - {name: X, value: one.example}
    - name: Y
      value: TWO.example
  - name: b
    env: *env
    args: [--from,
      "--to=three.example"]
  volumes: []
data:
  text: |
    first

    four.example is here
  folded: >
    five.example
  twice: 1
  twice: six.example
  a-very-long-name-that-is-cut-in-every-path-because-it-has-more-than-63-characters: x
`
	var o *object
	(&document{file: "x", line: 11, raw: []byte(content)}).objects(func(found *object) { o = found }, func(err error, _ problem) { t.Fatal(err) })
	for _, c := range []struct {
		path, value string
		want        int
	}{
		{"", "", 11}, {"spec", "", 16}, {"spec.gone.deeper", "", 16},
		{`metadata.annotations["example.com/url"]`, "x", 15},
		{`spec.containers["a"].env["X"].value`, "one.example", 20},
		{`spec.containers["a"].env["Y"].value`, "two.example", 22},
		{`spec.containers["b"].env["Y"].value`, "two.example", 22},
		{`spec.containers["b"].args[*]`, "three.example", 26},
		{`spec.containers["c"].args[*]`, "three.example", 17},
		{`data["text"]`, "four.example", 32},
		{`data["folded"]`, "five.example", 33},
		{`data["twice"]`, "six.example", 36},
		{`data["a-very-long-name-that-is-cut-in-every-path-because-it-has-more-t..."]`, "x", 37},
		{"spec.containers[1].args[1]", "three.example", 26}, {"spec.containers[0].env[1].value (base64)", "two.example", 22},
		{"spec.containers[7].args", "", 17}, {"spec.containers[99999999999999999999].args", "", 17},
		{`data["`, "", 28}, {`[*]["`, "", 11}, {"...", "", 11},
	} {
		if got := o.position(c.path, c.value); got != c.want {
			t.Errorf("position(%q, %q) = %d, want %d", c.path, c.value, got, c.want)
		}
	}
}

// What is not read as Namespace or as the target of a reference must not be one.
func TestMayHold(t *testing.T) {
	for content, want := range map[string]bool{
		"kind: Namespace": true, `kind: "Name\u0073pace"`: true, "kind: ConfigMap": false, "namespace: x": false,
	} {
		if got := (&document{raw: []byte(content)}).mayHold("Namespace"); got != want {
			t.Errorf("mayHold(%q) = %t, want %t", content, got, want)
		}
	}
}

// FuzzInput: no input makes the reader panic, hang or tell of lines that are not there, and
// a crossing in a readable document behind it is still found.
func FuzzInput(f *testing.F) {
	for _, name := range []string{"backup.yaml", "nested.json", "broken.yml", "other.yaml"} {
		content, err := os.ReadFile(filepath.Join("testdata/app", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
	f.Add("a: [\n---\n--- {apiVersion: v1}\n...\n\ufeff{\"items\":[{}]}")
	f.Add("apiVersion: v1\nkind: List\nitems:\n- <<: &a {x: *a}\n")
	f.Add(bomb())
	w, err := readSnapshot("testdata/hub.yaml", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content string) {
		in, err := newInput([]string{"-"}, strings.NewReader(content+"\n---\n"+importer))
		if err != nil {
			t.Fatal(err)
		}
		j, err := newJudge(w, &target{environment: "staging"}, "default", in)
		if err != nil {
			return // Namespaces of several clusters
		}
		lines := strings.Count(content, "\n") + strings.Count(importer, "\n") + 3
		r := j.judge(in)
		for _, p := range append(slices.Clone(r.Errors), in.problems...) {
			if p.Line < 1 || p.Line > lines || p.Message == "" {
				t.Errorf("problem %+v of %d lines", p, lines)
			}
		}
		found := false
		for _, x := range r.Findings {
			if x.Line < 1 || x.Line > lines {
				t.Errorf("finding %+v of %d lines", x, lines)
			}
			found = found || x.Name == "shop"
		}
		if !found {
			t.Errorf("the crossing behind %q was not found: %+v", content, r)
		}
	})
}
