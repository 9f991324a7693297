// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/guarded"
)

// absent stands for a field that is not there.
type absent struct{}

// innocents are values that name no address of anybody, whatever field they stand in: of
// every JSON type, of every length, and close to what the expressions look for.
func innocents() map[string]any {
	return map[string]any{
		"absent": absent{}, "null": nil, "empty": "", "number": int64(42), "fraction": 4.5, "huge number": 1e300, "boolean": true,
		"list": []any{}, "list of texts": []any{"a.example"}, "list of lists": []any{[]any{}, nil, int64(1)}, "list of maps": []any{map[string]any{"name": int64(1)}},
		"map": map[string]any{}, "map of texts": map[string]any{"a": "b.example"}, "map of lists": map[string]any{"a": []any{"x"}},
		"200 KB": strings.Repeat("x", 200<<10), "200 KB of names": strings.Repeat("a.example ", 20<<10), "1,024": strings.Repeat("a.", 512), "1,025": strings.Repeat("é", 1025),
		"Unicode": "ünï.çødé.例え.テスト", "emoji": strings.Repeat("🐘", 900), "upper case": "INNOCENT.EXAMPLE", "port": "innocent.example:8443", "trailing dot": "innocent.example.",
		"user info": "https://us.er:pa@ss@innocent.example/x", "tabs and lines": "a\tb\nc.example\r\n\td.example", "URL": "https://u:p@innocent.example:443/x/../y?q=1#z",
		"dots": "....", "slashes": "//", "colons": ":::", "at": "@", "percent": "%2e%2e", "quotes": `"'\`, "scheme": "https://", "s3": "s3://", "s3 dots": "s3://../.", "gs": "gs://", "IPv6": "[::1]:443",
		"mapped": "::ffff:10.20.0.1", "no IP": "10.20.0.999", "zone": "fe80::1%eth0", "NUL": "a\x00b.example", "wildcard": "*.innocent.example", "glob": "[a-z](?i)(", "template": "{{ .Values.host }}",
	}
}

// misshapen are those of the innocents that are no text, or an odd name.
func misshapen() map[string]any {
	out := innocents()
	maps.DeleteFunc(out, func(name string, value any) bool {
		_, text := value.(string)
		return text && !slices.Contains([]string{"empty", "200 KB", "1,025", "emoji", "tabs and lines", "quotes"}, name)
	})
	return out
}

// spellings of a text that denote the same place, by the form of its field. Each returns
// the text unchanged where it has nothing to change.
func spellings(f *flow.Field) map[string]func(string) string {
	upper := map[string]func(string) string{"upper case": strings.ToUpper}
	host := func(change func(string) string) func(string) string {
		return func(text string) string {
			for _, h := range []string{"db.prod.example", "secrets.prod.example", "a.customers.example", "minio.customers.example", "vault.example", "git.example", "nas.sto2.example",
				"api.prod.example", "vardhem.prod.example", "api.staging.example", "registry.example", "s3.sto2.example"} {
				if i := strings.Index(text, h); i >= 0 {
					return text[:i] + change(h) + text[i+len(h):]
				}
			}
			return text
		}
	}
	bare := func(suffix string) func(string) string { // only where no port follows
		return func(text string) string {
			if changed := host(func(h string) string { return h + suffix })(text); !strings.Contains(changed, suffix+":") {
				return changed
			}
			return text
		}
	}
	dot := host(func(h string) string { return h + "." })
	user := host(func(h string) string { return "us.er:pa.ss@" + h })
	switch f.Form {
	case flow.Text:
		if f.End == flow.Destination {
			return upper
		}
		return map[string]func(string) string{"upper case": strings.ToUpper, "port": bare(":443"), "trailing dot": dot, "user info": user,
			"among others": func(s string) string { return strings.Repeat("word and a.example ", 100) + s }, "lines": func(s string) string { return "x\n\t" + s + "\n" }}
	case flow.Store:
		return map[string]func(string) string{"upper case": strings.ToUpper, "port": bare(":443"), "trailing dot": dot, "user info": user, "lines": func(s string) string { return s + "\n" }}
	case flow.Git:
		return map[string]func(string) string{"upper case": strings.ToUpper, "trailing dot": dot, "port": bare(":443")}
	case flow.Image:
		return map[string]func(string) string{"upper case": strings.ToUpper, "port": func(s string) string { return strings.Replace(s, "registry.example/", "registry.example:443/", 1) }}
	case flow.Endpoint:
		return map[string]func(string) string{"upper case": strings.ToUpper, "trailing dot": func(s string) string { return s + "." }}
	case flow.Alias:
		return nil
	}
	return map[string]func(string) string{"upper case": strings.ToUpper, "lines": func(s string) string { return "\t" + s + "\n" }}
}

// change replaces what stands at the end of steps, wherever they lead: every element of a
// list, every value of a map. It reports whether there was anything.
func change(node any, steps []flow.Step, replace func(any) any) bool {
	m, ok := node.(map[string]any)
	if !ok {
		return false
	}
	s, rest := steps[0], steps[1:]
	value, there := m[s.Name]
	if !there {
		return false
	}
	put := func(v any) {
		if _, gone := v.(absent); gone {
			delete(m, s.Name)
		} else {
			m[s.Name] = v
		}
	}
	switch {
	case s.List:
		return changeList(value, rest, replace)
	case s.Map:
		values, _ := value.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if v := replace(values[k]); v == (absent{}) {
				delete(values, k)
			} else {
				values[k] = v
			}
		}
		return len(values) > 0
	case len(rest) == 0:
		put(replace(value))
		return true
	}
	return change(value, rest, replace)
}

func changeList(value any, rest []flow.Step, replace func(any) any) bool {
	list, _ := value.([]any)
	found := false
	for i := range list {
		if len(rest) > 0 {
			found = change(list[i], rest, replace) || found
			continue
		}
		found = true
		if list[i] = replace(list[i]); list[i] == (absent{}) {
			list[i] = nil
		}
	}
	return found
}

// witness is a row of the table with a case that crosses through it.
type witness struct {
	kind  *flow.Kind
	field *flow.Field
	c     *corpus.Case
}

// listed is how many violations a message lists before it counts them.
const listed = 3

// witnesses finds, for every row of every kind, a case whose object crosses through it.
func witnesses() []witness {
	var out []witness
	for _, k := range corpus.Kinds() {
		for i := range k.Fields {
			f := &k.Fields[i]
			row := rowOf(k, f.Path, numbers[f.Type])
			for _, c := range cases {
				u := &unstructured.Unstructured{Object: c.Object}
				if len(c.Expect) == 0 || c.OnlyEvaluate != "" || kindOf(u) != k {
					continue
				}
				d := guardOf(c.Cluster).evaluator.Evaluate(requestOf(c))
				if len(d.Violations) > listed {
					continue // a bound that one of them exceeds would show in the count of the others
				}
				if slices.Contains(witnessed(k, d, c), row) {
					out = append(out, witness{k, f, c})
					break
				}
			}
		}
	}
	return out
}

// path of a field from the object on.
func (w witness) path() []flow.Step { return slices.Concat(w.kind.Steps(), w.field.Steps()) }

// with is a copy of the case, changed.
func (w witness) with(steps []flow.Step, replace func(any) any) (*corpus.Case, bool) {
	c := *w.c
	c.Object = runtime.DeepCopyJSON(w.c.Object)
	return &c, change(c.Object, steps, replace)
}

var _ = Describe("generated objects", Ordered, func() {
	It("compile for the oldest version of Kubernetes", func() {
		_, err := newReader()
		Expect(err).NotTo(HaveOccurred())
	})

	It("never make a policy fail, and are judged alike by both readers, whatever the schema", func(_ SpecContext) {
		var wrong []string
		n := 0
		for _, w := range witnesses() {
			for name, value := range innocents() {
				if c, ok := w.with(w.path(), func(any) any { return value }); ok {
					n++
					wrong = append(wrong, w.compare(c, name)...)
				}
				for i := range w.field.With {
					steps, relative := w.field.WithSteps(i)
					if steps == nil {
						continue
					}
					if relative {
						steps = slices.Concat(w.field.Steps()[:lastList(w.field.Steps())+1], steps)
					}
					if c, ok := w.with(slices.Concat(w.kind.Steps(), steps), func(any) any { return value }); ok {
						n++
						wrong = append(wrong, w.compare(c, fmt.Sprintf("%s as %s", name, w.field.With[i]))...)
					}
				}
			}
			wrong = append(wrong, w.shapes(&n)...)
		}
		AddReportEntry(fmt.Sprintf("%d objects", n))
		expectNone(wrong)
	}, SpecTimeout(5*time.Minute))
})

// expectNone fails with the first of the problems.
func expectNone(wrong []string) {
	GinkgoHelper()
	Expect(len(wrong)).To(BeZero(), "%d of them:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 30)], "\n"))
}

func lastList(steps []flow.Step) int {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].List {
			return i
		}
	}
	return -1
}

// shapes puts values of other types where the path goes through maps and lists, and odd
// names where list elements have names.
func (w witness) shapes(n *int) []string {
	var wrong []string
	path := w.path()
	for i := range path[:len(path)-1] {
		if path[i].Name == "metadata" {
			continue // no API server decodes an object without
		}
		cutPath := slices.Clone(path[:i+1])
		cutPath[i].List, cutPath[i].Map = false, false
		for name, value := range misshapen() {
			if c, ok := w.with(cutPath, func(any) any { return value }); ok {
				*n++
				wrong = append(wrong, w.compare(c, name+" instead of "+path[i].Name)...)
			}
		}
		if !path[i].List || path[i].Key == "*" {
			continue
		}
		named := append(slices.Clone(path[:i+1]), flow.Step{Name: path[i].Key})
		for name, value := range misshapen() {
			if c, ok := w.with(named, func(any) any { return value }); ok {
				*n++
				wrong = append(wrong, w.compare(c, name+" as name in "+path[i].Name)...)
			}
		}
	}
	return wrong
}

// compare gives a case to Evaluate and to the policies of this process.
func (w witness) compare(c *corpus.Case, what string) []string {
	q := requestOf(w.c) // an API server knows kind and namespace from the URL
	q.Object = c.Object
	d := guardOf(c.Cluster).evaluator.Evaluate(q)
	a, err := mustRead().decide(w.kind.Family, guardOf(c.Cluster).guard, q)
	at := fmt.Sprintf("%s %s, %s: ", w.kind.Kind, w.field.Path, what)
	if err != nil {
		return []string{at + "the policy fails: " + short(err.Error())}
	}
	if !sameWords(a.denial, d.Message) {
		raw, _ := json.Marshal(c.Object)
		return []string{at + "\n  policy:   " + short(a.denial) + "\n  Evaluate: " + short(d.Message) + "\n  object:   " + short(string(raw))}
	}
	return nil
}

// guards of the clusters of the platform, made ready once.
var guards = map[string]preparedGuard{}

type preparedGuard struct {
	guard     *unstructured.Unstructured
	evaluator *policy.Evaluator
}

func guardOf(cluster string) preparedGuard {
	if _, ready := guards[cluster]; !ready {
		c := platform.Clusters[cluster]
		g := resolved.Guards(c.GuardedCluster, c.Namespaces, families)[0]
		guards[cluster] = preparedGuard{guarded.Plain(g), policy.NewEvaluator(g)}
	}
	return guards[cluster]
}

func short(s string) string {
	if len(s) > 700 {
		return s[:350] + " … " + s[len(s)-350:]
	}
	return s
}
