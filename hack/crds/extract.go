// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// write writes the CRDs of a module that lies in dir, and notes their origin. One that its
// file does not hold is an error.
func (s *source) write(dir, out string, present map[string]string) error {
	for _, file := range slices.Sorted(maps.Keys(s.CRDs)) {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
		if err != nil {
			return err
		}
		crds, err := s.extract(file, content)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for name, crd := range crds {
			encoded, err := json.Marshal(crd)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", file, name, err)
			}
			if err := os.WriteFile(filepath.Join(out, name+".json"), encoded, 0o644); err != nil {
				return err
			}
			present[name] = s.origin(file)
		}
	}
	return nil
}

// extract returns the CRDs that are wanted of a file, by name, ready to be created.
func (s *source) extract(file string, content []byte) (map[string]map[string]any, error) {
	documents := [][]byte{content}
	if strings.HasSuffix(file, ".go") {
		var err error
		if documents, err = texts(content); err != nil {
			return nil, err
		}
	}
	found := map[string]map[string]any{}
	for _, d := range documents {
		if s.Cut != "" {
			d = bytes.ReplaceAll(d, []byte(s.Cut), nil)
		}
		for _, document := range split(d) {
			if !bytes.Contains(document, []byte("CustomResourceDefinition")) {
				continue // a file may hold templates, which are no YAML
			}
			var crd map[string]any
			if err := yaml.Unmarshal(document, &crd); err != nil {
				return nil, err
			}
			metadata, _ := crd["metadata"].(map[string]any)
			name, _ := metadata["name"].(string)
			if crd["kind"] != "CustomResourceDefinition" || !slices.Contains(s.CRDs[file], name) {
				continue
			}
			s.edit(crd, metadata)
			found[name] = crd
		}
	}
	var missing []error
	for _, name := range s.CRDs[file] {
		if found[name] == nil {
			missing = append(missing, fmt.Errorf("no CRD %q", name))
		}
	}
	return found, errors.Join(missing...)
}

// edit makes a CRD acceptable to an API server that has nothing of the project but it.
func (s *source) edit(crd, metadata map[string]any) {
	delete(crd, "status")
	if spec, ok := crd["spec"].(map[string]any); ok {
		delete(spec, "conversion") // its webhook is not served
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
	}
	for key, value := range s.Annotations {
		annotations[key] = value
	}
	delete(annotations, "cert-manager.io/inject-ca-from")
	metadata["annotations"] = annotations
}

// split splits a file at the lines that separate YAML documents.
func split(content []byte) [][]byte {
	var out [][]byte
	begin := 0
	for at := 0; at < len(content); {
		end := len(content)
		if i := bytes.IndexByte(content[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if line := content[at:end]; bytes.HasPrefix(line, []byte("---")) && strings.TrimSpace(string(line[3:])) == "" {
			out = append(out, content[begin:at])
			begin = end
		}
		at = end
	}
	return append(out, content[begin:])
}

// texts are the values of the map literals of Go source: a project may keep its CRDs there.
func texts(source []byte) ([][]byte, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	ast.Inspect(file, func(n ast.Node) bool {
		pair, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if literal, ok := pair.Value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				out = append(out, []byte(text))
			}
		}
		return true
	})
	return out, nil
}
