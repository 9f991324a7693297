// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// document is a CycloneDX 1.6 document, as far as a Go program needs one. It has no time and
// no random serial number: the same program gives the same document.
type document struct {
	BOMFormat    string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string          `json:"type"`
	Ref        string          `json:"bom-ref"`
	Name       string          `json:"name"`
	Version    string          `json:"version,omitempty"`
	PackageURL string          `json:"purl,omitempty"`
	Scope      string          `json:"scope,omitempty"`
	Hashes     []hash          `json:"hashes,omitempty"`
	Licenses   []licenseChoice `json:"licenses,omitempty"`
	Properties []property      `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licenseChoice struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// writeSBOM describes a program by what its linker wrote into it, which no go.mod that
// changed meanwhile can contradict.
func writeSBOM(program, out string, modules []*linkedModule) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	d, err := describe(filepath.Base(program), content, info, modules)
	if err != nil {
		return err
	}
	encoded, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, filepath.Base(program)+".cdx.json"), append(encoded, '\n'), 0o644)
}

func describe(name string, content []byte, info *debug.BuildInfo, modules []*linkedModule) (*document, error) {
	sum := sha256.Sum256(content)
	root := component{
		Type: "application", Ref: "program", Name: name, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
		Licenses: choices([]string{"Apache-2.0"}), Properties: []property{{"go:package", info.Path}},
	}
	for _, s := range info.Settings {
		root.Properties = append(root.Properties, property{"go:build:" + s.Key, s.Value})
	}
	d := &document{BOMFormat: "CycloneDX", SpecVersion: "1.6", SerialNumber: serial(sum), Version: 1, Metadata: metadata{root}}
	std := component{
		Type: "library", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"), Scope: "required", Licenses: choices([]string{"BSD-3-Clause"}),
	}
	std.PackageURL = "pkg:golang/std@" + std.Version
	std.Ref = std.PackageURL
	d.Components = []component{std}
	licences := map[string][]string{}
	for _, m := range modules {
		licences[m.path+"@"+m.version] = m.licences
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		of, known := licences[dep.Path+"@"+dep.Version]
		if !known {
			return nil, fmt.Errorf("it was built with %s %s, which go.mod does not name: build it again", dep.Path, dep.Version)
		}
		url := "pkg:golang/" + strings.ToLower(dep.Path) + "@" + strings.ReplaceAll(dep.Version, "+", "%2B")
		c := component{Type: "library", Ref: url, Name: dep.Path, Version: dep.Version, PackageURL: url, Scope: "required", Licenses: choices(of)}
		if tree, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(dep.Sum, "h1:")); err == nil && len(tree) == sha256.Size {
			// Of the module's file tree, as go.sum has it.
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(tree)}}
		}
		d.Components = append(d.Components, c)
	}
	d.Dependencies = []dependency{{Ref: root.Ref, DependsOn: make([]string, len(d.Components))}}
	for i := range d.Components {
		d.Dependencies[0].DependsOn[i] = d.Components[i].Ref
	}
	return d, nil
}

func choices(ids []string) []licenseChoice {
	out := make([]licenseChoice, len(ids))
	for i, id := range ids {
		out[i].License.ID = id
	}
	return out
}

// serial is a name-based UUID (RFC 9562, version 8) of the program.
func serial(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
