// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/policy"
)

// update rewrites what is generated instead of comparing it.
var update = flag.Bool("update", false, "rewrite the generated parts of the documentation")

// root is the repository, as seen from this package.
const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pages are README.md and everything under docs/.
func pages(t *testing.T) []string {
	t.Helper()
	out := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, name)
		}
	}
	return out
}

// outside is a page without its code blocks.
func outside(text string) string {
	var out []string
	code := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "```") {
			code = !code
			continue
		}
		if !code {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// section is the part of a page below a heading, up to the next of its level or above.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	level, _, _ := strings.Cut(heading, " ")
	var out []string
	inside, code := false, false
	for line := range strings.SplitSeq(text, "\n") {
		code = code != strings.HasPrefix(line, "```")
		hashes, _, _ := strings.Cut(line, " ")
		switch {
		case line == heading:
			inside = true
		case inside && !code && strings.Trim(hashes, "#") == "" && hashes != "" && len(hashes) <= len(level):
			return strings.Join(out, "\n")
		case inside:
			out = append(out, line)
		}
	}
	if !inside {
		t.Fatalf("no heading %q", heading)
	}
	return strings.Join(out, "\n")
}

// firstCells are the codes in the first column of the tables of a text.
func firstCells(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// same reports what is in one list and not in the other.
func same(t *testing.T, where string, documented, known []string) {
	t.Helper()
	for _, k := range known {
		if !slices.Contains(documented, k) {
			t.Errorf("%s does not say what %q is", where, k)
		}
	}
	for i, d := range documented {
		if !slices.Contains(known, d) {
			t.Errorf("%s speaks of %q, which the code does not know", where, d)
		}
		if slices.Contains(documented[:i], d) {
			t.Errorf("%s speaks of %q twice", where, d)
		}
	}
}

func TestEveryCodeHasASection(t *testing.T) {
	var headings, known []string
	for _, m := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(outside(read(t, "docs/denials.md")), -1) {
		headings = append(headings, m[1])
	}
	for _, c := range policy.Codes() {
		known = append(known, string(c))
	}
	same(t, "docs/denials.md", headings, known)
}

// descriptions is a registry that keeps what metrics say of themselves.
type descriptions struct{ found []string }

func (d *descriptions) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 16)
	c.Describe(ch)
	close(ch)
	for desc := range ch {
		d.found = append(d.found, desc.String())
	}
	return nil
}

func (d *descriptions) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c)
	}
}

func (d *descriptions) Unregister(prometheus.Collector) bool { return false }

func TestEveryMetricIsDocumented(t *testing.T) {
	page := read(t, "docs/metrics.md")
	registry := &descriptions{}
	metrics.New(registry)
	pattern := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	var known []string
	for _, text := range registry.found {
		m := pattern.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("cannot read %q", text)
		}
		known = append(known, m[1])
		row := regexp.MustCompile("(?m)^\\| `" + m[1] + "` \\|.*$").FindString(page)
		for label := range strings.SplitSeq(m[2], ",") {
			if label != "" && !strings.Contains(row, "`"+label+"`") {
				t.Errorf("docs/metrics.md: %s does not name its label %q", m[1], label)
			}
		}
	}
	var documented []string
	for _, name := range firstCells(page) {
		if strings.HasPrefix(name, "skott_") {
			documented = append(documented, name)
		}
	}
	same(t, "docs/metrics.md", documented, known)
}

// constants are the string constants of api/v1alpha1 whose name begins so, by name.
func constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "api/v1alpha1/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, ident := range spec.Names {
				if !strings.HasPrefix(ident.Name, prefix) || i >= len(spec.Values) {
					continue
				}
				if literal, ok := spec.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					value, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					out[ident.Name] = value
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("api/v1alpha1 has no constant %s…", prefix)
	}
	return out
}

func values(m map[string]string) []string {
	var out []string
	for _, v := range m {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

func TestEveryLabelIsDocumented(t *testing.T) {
	page := read(t, "docs/labels-and-annotations.md")
	same(t, "docs/labels-and-annotations.md", firstCells(section(t, page, "## Labels")), values(constants(t, "Label")))
	for name, value := range map[string]string{"FieldOwner": constants(t, "FieldOwner")["FieldOwner"], "Finalizer": constants(t, "Finalizer")["Finalizer"]} {
		if !strings.Contains(page, "`"+value+"`") {
			t.Errorf("docs/labels-and-annotations.md does not name %s %q", name, value)
		}
	}
}

func TestEveryReasonIsDocumented(t *testing.T) {
	page := section(t, read(t, "docs/operations.md"), "### Reasons of conditions")
	same(t, "docs/operations.md", firstCells(page), values(constants(t, "Reason")))
}

func TestEveryConditionIsDocumented(t *testing.T) {
	page := section(t, read(t, "docs/operations.md"), "### Conditions")
	same(t, "docs/operations.md", firstCells(page), values(constants(t, "Condition")))
}

func TestEveryFlagIsDocumented(t *testing.T) {
	for heading, file := range map[string]string{"## Flags of the manager": "cmd/manager/main.go", "### Flags of the guard": "cmd/manager/guard.go", "### Flags of the follower": "cmd/manager/audit.go"} {
		var known []string
		for _, m := range regexp.MustCompile(`flags?\.\w+Var\([^,]+, "([^"]+)"`).FindAllStringSubmatch(read(t, file), -1) {
			known = append(known, "--"+m[1])
		}
		same(t, "docs/operations.md", firstCells(section(t, read(t, "docs/operations.md"), heading)), known)
	}
}

func TestREADMEIsShort(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n >= 150 {
		t.Errorf("README.md has %d lines, not under 150", n)
	}
}

// anchorOf is the anchor of a heading, as GitHub makes it.
func anchorOf(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

func anchors(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, heading := range regexp.MustCompile(`(?m)^#{1,6} .*$`).FindAllString(outside(read(t, name)), -1) {
		out = append(out, anchorOf(heading))
	}
	return out
}

func TestLinksResolve(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(outside(read(t, page)), -1) {
			link := m[1]
			if strings.Contains(link, "://") {
				continue
			}
			path, anchor, anchored := strings.Cut(link, "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: link %q leads nowhere", page, link)
				continue
			}
			if anchored && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: link %q: %s has no such heading", page, link, target)
			}
		}
	}
}

// Every file of config/ and every make target that the documentation names exists.
func TestNamedTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: there is no target %q", page, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\bconfig/[a-z]+(?:-[a-z]+)*(?:/[a-z_./-]*[a-z])?`).FindAllString(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m)); err != nil {
				t.Errorf("%s: there is no %s", page, m)
			}
		}
	}
}

// The bounds that docs/coverage.md states are those of the code.
func TestBoundsAreCurrent(t *testing.T) {
	page := section(t, read(t, "docs/coverage.md"), "## Bounds of the policies")
	source := read(t, "internal/policy/cel.go") + read(t, "internal/address/address.go")
	names := firstCells(page)
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:const )?(max[A-Z]\w*|MaxLength)\s+= (\d+)$`).FindAllStringSubmatch(source, -1) {
		row := regexp.MustCompile("(?m)^\\| `" + m[1] + "` \\|[^|]*").FindString(page)
		if !strings.Contains(strings.ReplaceAll(row, ",", ""), " "+m[2]+" ") {
			t.Errorf("docs/coverage.md does not say that %s is %s", m[1], m[2])
		}
		names = slices.DeleteFunc(names, func(n string) bool { return n == m[1] })
	}
	if len(names) > 0 {
		t.Errorf("docs/coverage.md speaks of bounds that are none: %v", names)
	}
}
