// SPDX-License-Identifier: Apache-2.0

// Package internal holds no code of its own, only the rule of who may import whom.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skott-dev/skott/"

const (
	api    = module + "api/v1alpha1"
	within = module + "internal/"

	apimachinery      = "k8s.io/apimachinery/"
	controllerRuntime = "sigs.k8s.io/controller-runtime"
	clientGo          = "k8s.io/client-go"
	apiserver         = "k8s.io/apiserver"
)

// allowed says what each package may import from this module: address → flow → policy →
// controller, and beside them what imports none of these. A package that is not here has
// no place in the house yet: give it one here and in .golangci.yml, with its reason.
var allowed = map[string][]string{
	api:                 nil,
	within + "address":  nil,
	within + "flow":     {within + "address", api}, // a MovementKind is a row of the table
	within + "calendar": nil,
	within + "policy":   {within + "address", within + "flow", within + "calendar", api},
	// ledger says what DataLocations should be, and reads addresses as everybody does.
	within + "ledger":  {within + "address", api},
	within + "metrics": nil,
	// status judges what was observed; fleet observes, in its terms.
	within + "status": {api},
	within + "fleet":  {api, module + "config/crd", within + "status", within + "report"},
	// report says what status found in the terms of others.
	within + "report":   {within + "status", api},
	within + "evidence": {within + "policy", within + "ledger", api},
	// webhook looks other objects up by their movement kind, and holds the key of fingerprints.
	within + "webhook": {within + "address", within + "flow", within + "policy", within + "metrics", within + "ledger", api},
	// controller writes reports into the Ops Cluster, as fleet does into the others.
	within + "controller": {within + "address", within + "flow", within + "policy", within + "fleet", within + "status", within + "metrics", within + "ledger", within + "audit", within + "report", api, module + "config/crd"},
	// audit reads the texts of denials, and knows the codes and the canary's user.
	within + "audit": {within + "policy", within + "metrics"},
	// docs carries the page that the command line quotes.
	within + "cli": {within + "address", within + "flow", within + "policy", within + "evidence", within + "ledger", api, module + "docs"},
}

// outside says what the pure packages may import from other modules, by prefix. Packages
// that are not here may import what go.mod requires, within the bans.
var outside = map[string][]string{
	api:                 {apimachinery},
	within + "address":  nil,
	within + "flow":     {"sigs.k8s.io/yaml"}, // the table is data
	within + "calendar": nil,
	// What everybody answers under a public suffix belongs to nobody; the list is data.
	within + "ledger":   {apimachinery, "golang.org/x/net/publicsuffix"},
	within + "policy":   {apimachinery, "k8s.io/api/admissionregistration/v1"},
	within + "evidence": {apimachinery},
	within + "metrics":  {"github.com/prometheus/client_golang/"},
	within + "status":   {apimachinery},
	within + "report":   {apimachinery},
}

// pure packages decide: what they return follows from their arguments alone.
var pure = []string{api, within + "address", within + "flow", within + "calendar", within + "policy", within + "ledger", within + "evidence", within + "status", within + "report"}

// ban is an import that no pure package may have, and why.
type ban struct{ path, reason string }

// transitive bans hold for everything a pure package reaches.
var transitive = []ban{
	{controllerRuntime, "a decision must not depend on a client, a cache or a manager: the CLI and the tests make it too"},
	{clientGo, "a decision must not be able to ask an API server: it would then differ from the policies, which cannot"},
	{apiserver, "the evaluator of the API server is what the decision is compared with, not what makes it"},
}

// direct bans hold for the imports of a pure package; apimachinery itself reaches the first
// two.
var direct = []ban{
	{"net/http", "a decision makes no requests and serves none"},
	{"os", "a decision reads no files, flags or variables: it would differ from machine to machine"},
	{"log", "a decision returns what it has to say; its caller logs"},
	{"log/slog", "a decision returns what it has to say; its caller logs"},
}

// clocks read the time. now is an argument of a decision, so that a test can choose it.
var clocks = map[string][]string{
	"time":                                 {"Now", "Since", "Until", "Tick", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep"},
	"k8s.io/apimachinery/pkg/apis/meta/v1": {"Now", "NowMicro"},
}

// goPackage is what go list says of a package, without its tests.
type goPackage struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports, Deps   []string
}

// packages lists the packages of a pattern of this module. Packages that do not build are
// listed all the same, as far as their imports can be read.
func packages(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	args := append([]string{"list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,Deps"}, patterns...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	var out []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // this folder has a test only
			out = append(out, p)
		}
	}
}

// isOrBelow reports whether an import path is a path or lies below it.
func isOrBelow(importPath, path string) bool {
	return importPath == path || strings.HasPrefix(importPath, strings.TrimSuffix(path, "/")+"/")
}

func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// violations are the sentences that say what a package does against the rule.
func violations(p goPackage) []string {
	var out []string
	say := func(words ...string) { out = append(out, strings.Join(words, " ")) }
	mayImport, known := allowed[p.ImportPath]
	if !known {
		say("has no place in the import rule: see allowed in internal/imports_test.go")
	}
	if strings.Contains(strings.TrimPrefix(p.ImportPath, within), "/") && strings.HasPrefix(p.ImportPath, within) {
		say("lies more than one level below internal: related packages end far apart there")
	}
	for _, i := range p.Imports {
		others, limited := outside[p.ImportPath]
		switch {
		case isStandard(i):
		case strings.HasPrefix(i, module):
			if known && !slices.Contains(mayImport, i) {
				say("imports", i+": imports point one way, address → flow → policy → controller")
			}
		case limited && !slices.ContainsFunc(others, func(prefix string) bool { return isOrBelow(i, prefix) }):
			say("imports", i+": it may import, of other modules,", strings.Join(append(others, "nothing else"), ", "))
		}
	}
	for _, d := range p.Deps {
		if isOrBelow(d, module+"test") {
			say("reaches", d+": test/ is imported by tests only")
		}
	}
	if !slices.Contains(pure, p.ImportPath) {
		return out
	}
	for _, b := range direct {
		if slices.Contains(p.Imports, b.path) {
			say("imports", b.path+":", b.reason)
		}
	}
	for _, b := range transitive {
		if i := slices.IndexFunc(p.Deps, func(d string) bool { return isOrBelow(d, b.path) }); i >= 0 {
			say("reaches", p.Deps[i]+":", b.reason)
		}
	}
	return out
}

// readsClock are the places of a file where it names a function that reads the time.
func readsClock(t *testing.T, file string, source any) []string {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]string{} // by the name of the import in this file
	var out []string
	for _, i := range parsed.Imports {
		importPath, _ := strconv.Unquote(i.Path.Value)
		functions, ok := clocks[importPath]
		if !ok {
			continue
		}
		name := path.Base(importPath)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			out = append(out, files.Position(i.Pos()).String()+": imports all of "+importPath)
		}
		names[name] = functions
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if of, ok := selector.X.(*ast.Ident); ok && slices.Contains(names[of.Name], selector.Sel.Name) {
			out = append(out, files.Position(n.Pos()).String()+": "+of.Name+"."+selector.Sel.Name)
		}
		return true
	})
	return out
}

func TestImports(t *testing.T) {
	all := packages(t, "./api/...", "./internal/...")
	if len(all) == 0 {
		t.Fatal("go list found no package")
	}
	inside := 0
	for _, p := range all {
		for _, v := range violations(p) {
			t.Errorf("%s %s", p.ImportPath, v)
		}
		if strings.HasPrefix(p.ImportPath, within) {
			inside++
		}
		if !slices.Contains(pure, p.ImportPath) {
			continue
		}
		for _, file := range p.GoFiles {
			for _, place := range readsClock(t, filepath.Join(p.Dir, file), nil) {
				t.Errorf("%s: now is an argument of a pure package", place)
			}
		}
	}
	if inside > 12 {
		t.Errorf("%d packages in internal, the most is 12", inside)
	}
}

// The commands and the embedded CRD ship; they must not carry the test environment.
func TestNothingThatShipsReachesTest(t *testing.T) {
	for _, p := range packages(t, "./cmd/...", "./config/...") {
		for _, d := range p.Deps {
			if isOrBelow(d, module+"test") {
				t.Errorf("%s reaches %s: test/ is imported by tests only", p.ImportPath, d)
			}
		}
	}
}

// A rule that cannot fail proves nothing.
func TestRuleFails(t *testing.T) {
	policy := within + "policy"
	for name, c := range map[string]struct {
		p    goPackage
		want string
	}{
		"Backwards":          {goPackage{ImportPath: within + "address", Imports: []string{within + "flow"}}, "imports point one way"},
		"FleetImportsPolicy": {goPackage{ImportPath: within + "fleet", Imports: []string{policy}}, "imports point one way"},
		"MetricsImportsFlow": {goPackage{ImportPath: within + "metrics", Imports: []string{within + "flow"}}, "imports point one way"},
		"PolicyImportsFleet": {goPackage{ImportPath: policy, Imports: []string{within + "fleet"}}, "imports point one way"},
		"WebhookController":  {goPackage{ImportPath: within + "webhook", Imports: []string{within + "controller"}}, "imports point one way"},
		"APIImportsInternal": {goPackage{ImportPath: api, Imports: []string{within + "address"}}, "imports point one way"},
		"APIImportsCoreAPI":  {goPackage{ImportPath: api, Imports: []string{"k8s.io/api/core/v1"}}, "may import, of other modules"},
		"AddressImportsYAML": {goPackage{ImportPath: within + "address", Imports: []string{"sigs.k8s.io/yaml"}}, "nothing else"},
		"Transitive":         {goPackage{ImportPath: policy, Deps: []string{"fmt", controllerRuntime + "/pkg/client"}}, "reaches " + controllerRuntime},
		"ClientGo":           {goPackage{ImportPath: policy, Deps: []string{clientGo + "/rest"}}, "reaches " + clientGo},
		"APIServer":          {goPackage{ImportPath: within + "flow", Deps: []string{apiserver + "/pkg/cel"}}, "reaches " + apiserver},
		"HTTP":               {goPackage{ImportPath: within + "flow", Imports: []string{"net/http"}}, "makes no requests"},
		"OS":                 {goPackage{ImportPath: policy, Imports: []string{"os"}}, "reads no files"},
		"Log":                {goPackage{ImportPath: api, Imports: []string{"log"}}, "its caller logs"},
		"Deep":               {goPackage{ImportPath: within + "flow/velero"}, "more than one level"},
		"Unknown":            {goPackage{ImportPath: within + "util"}, "has no place"},
		"TestEnvironment":    {goPackage{ImportPath: within + "fleet", Deps: []string{module + "test/testenv"}}, "imported by tests only"},
	} {
		t.Run(name, func(t *testing.T) {
			got := violations(c.p)
			if !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Errorf("violations = %q, want one with %q", got, c.want)
			}
		})
	}
	fine := goPackage{ImportPath: policy, Imports: []string{"fmt", within + "flow", api, apimachinery + "pkg/types"}, Deps: []string{"net/http", "os"}}
	if got := violations(fine); len(got) > 0 {
		t.Errorf("violations = %q of a package that keeps the rule", got)
	}
}

func TestClockIsFound(t *testing.T) {
	source := `package p
import ("time"; . "time"; clock "time"; metav1 "k8s.io/apimachinery/pkg/apis/meta/v1")
var a, b, c, d, e = time.Now(), clock.Since, metav1.Now(), time.Duration(1), later.Now()`
	if got := readsClock(t, "p.go", source); len(got) != 4 {
		t.Errorf("found %q, want the dot import, time.Now, clock.Since and metav1.Now", got)
	}
}

func TestIsOrBelow(t *testing.T) {
	for importPath, want := range map[string]bool{
		controllerRuntime:                true,
		controllerRuntime + "/pkg/cache": true,
		controllerRuntime + "-extra/pkg": false,
	} {
		if got := isOrBelow(importPath, controllerRuntime); got != want {
			t.Errorf("isOrBelow(%q) = %t, want %t", importPath, got, want)
		}
	}
}
