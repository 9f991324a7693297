// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const crdA = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: as.example.com
  labels: {{- include "labels" . }}
    own: ""
spec:
  group: example.com
  conversion: {strategy: Webhook}
status: {conditions: []}
`

const crdB = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: bs.example.com, annotations: {cert-manager.io/inject-ca-from: a/b, kept: "yes"}}
spec: {group: example.com, enum: [=, "!="]}
`

func TestExtract(t *testing.T) {
	tests := map[string]struct {
		file, content string
		names         []string
		want          []string
		err           string
	}{
		"one of two documents": {"a.yaml", "{{- if .x }}\n---\n" + crdA + "---  \n" + crdB + "---\n", []string{"bs.example.com"}, []string{"bs.example.com"}, ""},
		"both":                 {"a.yaml", crdA + "\n---\n" + crdB, []string{"as.example.com", "bs.example.com"}, []string{"as.example.com", "bs.example.com"}, ""},
		"Go source":            {"a.go", "package x\n\nvar m = map[string]string{\n\"b\": `" + crdB + "`,\n}\n", []string{"bs.example.com"}, []string{"bs.example.com"}, ""},
		"absent":               {"a.yaml", crdB, []string{"bs.example.com", "cs.example.com"}, nil, `no CRD "cs.example.com"`},
		"no YAML":              {"a.yaml", "kind: CustomResourceDefinition\n\t{", []string{"bs.example.com"}, nil, "yaml"},
		"no Go":                {"a.go", crdB, []string{"bs.example.com"}, nil, "expected 'package'"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := source{Cut: `{{- include "labels" . }}`, Annotations: map[string]string{"added": "yes"}, CRDs: map[string][]string{test.file: test.names}}
			got, err := s.extract(test.file, []byte(test.content))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v does not hold %q", err, test.err)
				}
				return
			}
			if diff := cmp.Diff(test.want, slices.Sorted(maps.Keys(got))); diff != "" || err != nil {
				t.Fatalf("%v\n%s", err, diff)
			}
			for _, crd := range got {
				metadata := crd["metadata"].(map[string]any)
				annotations := metadata["annotations"].(map[string]any)
				if annotations["added"] != "yes" || annotations["cert-manager.io/inject-ca-from"] != nil {
					t.Errorf("annotations %v", annotations)
				}
				if crd["spec"].(map[string]any)["conversion"] != nil || crd["status"] != nil {
					t.Errorf("conversion or status is left: %v", crd)
				}
				if metadata["name"] == "bs.example.com" {
					want := map[string]any{"group": "example.com", "enum": []any{"=", "!="}}
					if diff := cmp.Diff(want, crd["spec"]); diff != "" {
						t.Error(diff)
					}
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	sources, err := parse(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 80 {
		t.Errorf("%d modules", len(sources))
	}
	const one = "- {module: example.com/a, version: v1, sum: \"h1:x\", crds: {f: [as.example.com]}}\n"
	for content, want := range map[string]string{
		one + one: "both in",
		"- {module: example.com/a, version: v1, sum: x, crds: {f: [a]}}": "are required",
		"- {module: example.com/a, version: v1, sum: \"h1:x\"}":          "are required",
		"- {modul: example.com/a}":                                       "unknown field",
	} {
		if _, err := parse([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v does not hold %q", content, err, want)
		}
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(indexFile, `{"kept": "v1", "changed": "v1", "unwanted": "v1", "lost": "v1"}`)
	for _, name := range []string{"kept", "changed", "unwanted", "unknown"} {
		write(name+".json", "{}")
	}
	present, err := prune(dir, map[string]string{"kept": "v1", "changed": "v2", "lost": "v1", "new": "v1", "unknown": "v1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"kept": "v1"}, present); diff != "" {
		t.Error(diff)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	write(indexFile, "{")
	if _, err := prune(dir, nil); err == nil {
		t.Error("a broken index is no error")
	}
}

func TestOrigin(t *testing.T) {
	base := source{Module: "example.com/a", Version: "v1.0.0", Sum: "h1:x"}
	seen := map[string]bool{base.origin("a.yaml"): true}
	cut, annotated, other := base, base, base
	cut.Cut, annotated.Annotations, other.Sum = "x", map[string]string{"a": "b"}, "h1:y"
	for _, origin := range []string{base.origin("b.yaml"), cut.origin("a.yaml"), annotated.origin("a.yaml"), other.origin("a.yaml")} {
		if seen[origin] {
			t.Errorf("%s twice", origin)
		}
		seen[origin] = true
	}
}
