// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// probe is one value tried at one path of a complete object.
type probe struct {
	path   string // as in edits
	value  any
	refuse bool
}

// name is the path as the API server writes it.
func (p probe) name() string {
	out := ""
	for s := range strings.SplitSeq(p.path, "/") {
		if _, err := strconv.Atoi(s); err == nil {
			out += "[" + s + "]"
		} else {
			out += "." + s
		}
	}
	return out[1:]
}

// walker visits every schema below spec and status that a complete object has a value for,
// and derives from each bound a value on either side of it.
type walker struct {
	probes  []probe
	visited map[string]bool // schema paths, without the numbers of items
}

func (w *walker) at(path string, refuse bool, values ...any) {
	for _, v := range values {
		w.probes = append(w.probes, probe{path, v, refuse})
	}
}

func (w *walker) visit(schema map[string]any, path, schemaPath string, value any, required bool) {
	w.visited[schemaPath] = true
	w.at(path, true, wrongType(schema))
	if required {
		w.at(path, true, absent, nil)
	} else if !strings.HasSuffix(schemaPath, "[]") && !strings.HasSuffix(schemaPath, "{}") {
		w.at(path, false, absent, nil)
	}
	switch v := value.(type) {
	case string:
		w.text(schema, path, v)
	case int64:
		if least, ok := schema["minimum"]; ok {
			w.at(path, true, number(least)-1)
			w.at(path, false, number(least))
		}
	case []any:
		w.list(schema, path, v[0])
		items := schema["items"].(map[string]any)
		w.visit(items, path+"/0", schemaPath+"[]", v[0], false)
	case map[string]any:
		w.object(schema, path, schemaPath, v)
	}
}

func (w *walker) text(schema map[string]any, path, sample string) {
	if enum, ok := schema["enum"].([]any); ok {
		w.at(path, true, "none of them", "")
		if !strings.HasSuffix(path, "addresses/0/type") { // the value has to fit; the corpus has them all
			w.at(path, false, enum...)
		}
		return
	}
	if schema["format"] == "date-time" {
		w.at(path, true, "yesterday")
		return
	}
	text := filler(path)
	if least, ok := schema["minLength"]; ok {
		w.at(path, true, text(number(least))[:number(least)-1])
		w.at(path, false, text(number(least)))
	} else if schema["pattern"] == nil {
		w.at(path, false, "")
	}
	if most, ok := schema["maxLength"]; ok {
		w.at(path, true, text(number(most)+1))
		w.at(path, false, text(number(most)))
	}
	if _, ok := schema["pattern"]; ok {
		w.at(path, true, sample+"ö ")
	}
}

// filler makes texts of a length that are right at a path but for it.
func filler(path string) func(int64) string {
	prefix, piece := "", "a"
	switch {
	case strings.HasSuffix(path, "addresses/0/value"):
		prefix = "p/" // of type Project
	case strings.HasPrefix(path, "spec/webhook/url"):
		prefix = "https://"
	case path == "spec/retention":
		piece = "1h"
	}
	return func(n int64) string {
		out := prefix + strings.Repeat(piece, max(0, int(n)-len(prefix))/len(piece))
		return strings.Repeat("1", max(0, int(n)-len(out))) + out // an odd number of digits and hours
	}
}

func (w *walker) list(schema map[string]any, path string, item any) {
	if least, ok := schema["minItems"]; ok {
		w.at(path, true, items(number(least)-1, schema, item))
		w.at(path, false, items(number(least), schema, item))
	} else {
		w.at(path, false, []any{})
	}
	if most, ok := schema["maxItems"]; ok {
		w.at(path, true, items(number(most)+1, schema, item))
		w.at(path, false, items(number(most), schema, item))
	}
	if kind := schema["x-kubernetes-list-type"]; kind == "set" || kind == "map" {
		w.at(path, true, []any{item, item})
	}
}

func (w *walker) object(schema map[string]any, path, schemaPath string, value map[string]any) {
	required, _ := schema["required"].([]any)
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(value)) {
		if property, ok := properties[name]; ok {
			w.visit(property.(map[string]any), path+"/"+name, schemaPath+"."+name, value[name], slices.Contains(required, any(name)))
		} else if values, ok := schema["additionalProperties"].(map[string]any); ok {
			w.visit(values, path+"/"+name, schemaPath+"{}", value[name], false)
		}
	}
	if most, ok := schema["maxProperties"]; ok {
		many := map[string]any{}
		for i := range number(most) {
			many["k"+strconv.FormatInt(i, 10)] = value[slices.Sorted(maps.Keys(value))[0]]
		}
		w.at(path, false, maps.Clone(many), map[string]any{})
		many["one more"] = many["k0"]
		w.at(path, true, many)
	}
}

// items are n items like one, different where the list demands it.
func items(n int64, schema map[string]any, item any) []any {
	out := make([]any, n)
	for i := range out {
		switch v := item.(type) {
		case string:
			out[i] = "aa" + strconv.Itoa(i)
			if enum, ok := schema["items"].(map[string]any)["enum"].([]any); ok {
				out[i] = enum[i%len(enum)]
			}
		case int64:
			out[i] = int64(i)
		case map[string]any:
			another := maps.Clone(v)
			if keys, ok := schema["x-kubernetes-list-map-keys"].([]any); ok {
				another[keys[0].(string)] = "aa" + strconv.Itoa(i)
			}
			out[i] = another
		}
	}
	return out
}

// wrongType is a value that is not of the type of a schema.
func wrongType(schema map[string]any) any {
	if schema["type"] == "string" {
		return int64(1)
	}
	return "a text"
}

// number is a bound of the schema.
func number(v any) int64 { return v.(int64) }

// every lists the schema paths below a schema, and what lacks a bound among them.
func every(schema map[string]any, path string, paths map[string]bool, unbounded *[]string) {
	paths[path] = true
	if strings.HasSuffix(path, ".selector") { // a label selector, bounded by nobody
		return
	}
	lacks := func(bounds ...string) bool {
		return !slices.ContainsFunc(bounds, func(b string) bool { return schema[b] != nil })
	}
	values, isMap := schema["additionalProperties"].(map[string]any)
	switch {
	case schema["type"] == "string" && lacks("enum", "maxLength", "format") && !strings.HasSuffix(path, "{}"),
		schema["type"] == "array" && (lacks("maxItems") || lacks("x-kubernetes-list-type")),
		isMap && lacks("maxProperties") && !strings.HasSuffix(path, "{}"):
		*unbounded = append(*unbounded, path)
	}
	if isMap {
		every(values, path+"{}", paths, unbounded)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		every(items, path+"[]", paths, unbounded)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		every(property.(map[string]any), path+"."+name, paths, unbounded)
	}
}

// tryStatus writes the status of a stored object by dry run.
func tryStatus(ctx context.Context, o *unstructured.Unstructured) error {
	return c.Status().Update(ctx, o, client.DryRunAll)
}

var _ = Describe("Each bound of the schema", func() {
	for kind, bodies := range full {
		It("of "+kind+" accepts what is within and refuses what is beyond", func(ctx SpecContext) {
			schema := schemaOf(kind)["properties"].(map[string]any)
			visited := map[string]bool{}
			tried := 0
			for i, body := range bodies {
				complete := object(kind, fmt.Sprintf("bounds-%d", i), body)
				Expect(try(ctx, complete)).To(Succeed())
				stored := complete.DeepCopy()
				Expect(c.Create(ctx, stored)).To(Succeed())
				DeferCleanup(func(ctx SpecContext) error { return c.Delete(ctx, stored) })
				for _, part := range []string{"spec", "status"} {
					value, ok := complete.Object[part].(map[string]any)
					if !ok {
						continue
					}
					w := walker{visited: visited}
					w.object(schema[part].(map[string]any), part, part, value)
					for _, p := range w.probes {
						changed := edits{p.path: p.value}
						var err error
						if part == "spec" {
							changed["metadata/name"] = "new"
							err = try(ctx, changed.apply(complete))
						} else {
							with := stored.DeepCopy()
							with.Object["status"] = complete.DeepCopy().Object["status"]
							err = tryStatus(ctx, changed.apply(with))
						}
						check(p, err)
						tried++
					}
				}
			}
			AddReportEntry("values tried", tried, ReportEntryVisibilityFailureOrVerbose)
			all, unbounded := map[string]bool{}, []string{}
			for _, part := range []string{"spec", "status"} {
				if s, ok := schema[part].(map[string]any); ok {
					every(s, part, all, &unbounded)
				}
			}
			delete(all, "spec")
			delete(all, "status")
			maps.DeleteFunc(all, func(path string, _ bool) bool { return visited[path] || isUntried(path) })
			unbounded = slices.DeleteFunc(unbounded, isUntried)
			Expect(slices.Sorted(maps.Keys(all))).To(BeEmpty(), "fields that no complete object has")
			Expect(unbounded).To(BeEmpty(), "fields without a bound")
		})
	}
})

// untried are fields without a schema: MovementKinds were validated where they were written.
var untried = []string{"spec.movementKinds"}

func isUntried(path string) bool {
	return slices.ContainsFunc(untried, func(u string) bool { return strings.HasPrefix(path, u) })
}

// notOptional are fields that the schema calls optional and a CEL rule does not: their
// absence is tried in the tables.
var notOptional = map[string]bool{
	"spec.environmentRef":                    true, // required for role Management
	"spec.connection.kubeconfigSecretRef":    true, // exactly one of the three is
	"spec.connection.argoCDClusterSecretRef": true,
	"spec.connection.inCluster":              true,
	"spec.webhook.mode":                      true, // Off and Deploy have no url
	"spec.webhook.url":                       true, // required for mode URL
	"spec.webhook.urls.a":                    true, // may be absent, not empty
	"spec.group":                             true,
	"spec.fields[0].form":                    true, // Reference and to need each other, Join needs type
	"spec.fields[0].to":                      true,
	"spec.fields[0].type":                    true,
}

func check(p probe, err error) {
	GinkgoHelper()
	text := fmt.Sprint(p.value)
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	if p.refuse {
		Expect(err).To(MatchError(ContainSubstring(p.name())), "%s = %s", p.name(), text)
	} else if !notOptional[p.name()] {
		Expect(err).NotTo(HaveOccurred(), "%s = %s", p.name(), text)
	}
}

// A rule that no row refuses by is a rule nobody has seen act.
var _ = It("Each CEL rule has a row that meets it", func() {
	var wanted []string
	for _, rows := range creates {
		for _, r := range rows {
			wanted = append(wanted, r.want)
		}
	}
	for _, rows := range changes {
		for _, r := range rows {
			wanted = append(wanted, r.want)
		}
	}
	for kind := range full {
		for _, r := range rulesBelow(schemaOf(kind), "") {
			if isUntried(r.path) {
				continue
			}
			Expect(wanted).To(ContainElement(And(HavePrefix(r.path), ContainSubstring(r.wrong))), "%s: %s: %s", kind, r.path, r.wrong)
		}
	}
})

// rule is a CEL rule by the field that its refusal names, and what is wrong in the words of
// its message, without the way out.
type rule struct{ path, wrong string }

// rulesBelow are all CEL rules of a schema but those of an address, which the corpus meets.
func rulesBelow(schema map[string]any, path string) []rule {
	var out []rule
	rules, _ := schema["x-kubernetes-validations"].([]any)
	for _, r := range rules {
		field, _ := mapOf(r)["fieldPath"].(string)
		wrong, _, _ := strings.Cut(mapOf(r)["message"].(string), ": ")
		out = append(out, rule{strings.TrimPrefix(path+field, "."), wrong})
	}
	for name, property := range mapOf(schema["properties"]) {
		if name != "addresses" {
			out = append(out, rulesBelow(mapOf(property), path+"."+name)...)
		}
	}
	for child, step := range map[string]string{"items": "[0]", "additionalProperties": ""} {
		if s := mapOf(schema[child]); s != nil {
			out = append(out, rulesBelow(s, path+step)...)
		}
	}
	return out
}

func mapOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
