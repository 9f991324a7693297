// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mit = `Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the “Software”), to deal
in the Software without restriction, including without limitation the rights
to use it. The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.`

const bsd2 = `Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:
 * Redistributions of source code must retain the above copyright notice
 * Redistributions in binary form must reproduce the above copyright notice
EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.`

var bsd3 = strings.Replace(bsd2, "EVEN", `Neither the name of Google Inc. nor the names of its
contributors may be used to endorse or promote products derived from this
software without specific prior written permission. EVEN`, 1)

func TestClassify(t *testing.T) {
	apache, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text string
		want []string
		err  string
	}{
		"apache":              {text: string(apache), want: []string{"Apache-2.0"}},
		"mit":                 {text: mit, want: []string{"MIT"}},
		"three clauses":       {text: bsd3, want: []string{"BSD-3-Clause"}},
		"two clauses":         {text: bsd2, want: []string{"BSD-2-Clause"}},
		"one after the other": {text: bsd3 + "\n" + bsd2 + "\n" + mit, want: []string{"BSD-3-Clause", "BSD-2-Clause", "MIT"}},
		"nothing":             {text: "All rights reserved.", err: "is no licence that is allowed"},
		"part of one":         {text: mit[:300], err: "is no licence that is allowed"},
		"copyleft":            {text: "GNU GENERAL PUBLIC LICENSE Version 3", err: `speaks of "gnu": a person has to decide`},
		"copyleft beside":     {text: mit + "\nParts are under the LGPL.", err: `speaks of "lgpl": a person has to decide`},
		"rider":               {text: string(apache) + "\n\"Commons Clause\" License Condition v1.0", err: `speaks of "commons clause": a person has to decide`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := classify(tt.text)
			said := ""
			if err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(tt.err, said); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLicences holds that all that is linked into the programs may be.
func TestLicences(t *testing.T) {
	modules, err := linked(context.Background(), "github.com/skott-dev/skott/cmd/...")
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) < 30 {
		t.Errorf("only %d modules found", len(modules))
	}
	if err := problems(modules); err != nil {
		t.Error(err)
	}
}

func TestProblems(t *testing.T) {
	err := problems([]*linkedModule{
		{path: "example.com/a", version: "v1.0.0", licences: []string{"MIT"}},
		{path: "example.com/b", version: "v1.0.0"},
		{path: "example.com/c", version: "v2.0.0", licences: []string{"MIT"}, unknown: []string{"x/COPYING: is no licence that is allowed"}},
	})
	want := "example.com/b v1.0.0 has no licence file\nexample.com/c v2.0.0: x/COPYING: is no licence that is allowed"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestDescribe(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.0", Path: "example.com/p", Settings: []debug.BuildSetting{{Key: "-trimpath", Value: "true"}},
		Deps: []*debug.Module{{Path: "example.com/A", Version: "v1.2.3+incompatible", Sum: "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}},
	}
	modules := []*linkedModule{{path: "example.com/A", version: "v1.2.3+incompatible", licences: []string{"MIT"}}}
	got, err := describe("p", []byte("program"), info, modules)
	if err != nil {
		t.Fatal(err)
	}
	again, err := describe("p", []byte("program"), info, modules)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again); diff != "" {
		t.Errorf("the same program is described differently: %s", diff)
	}
	want := component{
		Type: "library", Ref: "pkg:golang/example.com/a@v1.2.3%2Bincompatible", Name: "example.com/A", Version: "v1.2.3+incompatible",
		PackageURL: "pkg:golang/example.com/a@v1.2.3%2Bincompatible", Scope: "required", Licenses: choices([]string{"MIT"}),
		Hashes: []hash{{"SHA-256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
	}
	if diff := cmp.Diff(want, got.Components[1]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"pkg:golang/std@1.26.0", want.Ref}, got.Dependencies[0].DependsOn); diff != "" {
		t.Error(diff)
	}
	if _, err := describe("p", nil, info, nil); err == nil {
		t.Error("a module that go.mod does not name was described")
	}
}
