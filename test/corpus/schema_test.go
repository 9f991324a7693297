// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"slices"
	"strings"
	"testing"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/test/testenv"
)

// TestRowsAreInTheSchema finds every field of the table, and what stands beside it, in the
// CRDs of the projects, in at least one of the versions that they serve. bases.yaml lists
// what is newer than the CRDs that tests can have.
func TestRowsAreInTheSchema(t *testing.T) {
	published, err := testenv.CRDs(t.Context(), testenv.Modules()...)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := testenv.CatalogueCRDs()
	if err != nil {
		t.Fatal(err)
	}
	bases, err := readBases()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[*flow.Kind]bool{}
	for _, crd := range slices.Concat(crds, published) {
		resource, group, _ := strings.Cut(crd.GetName(), ".")
		k := flow.Builtin().Lookup(group, resource)
		if k == nil || seen[k] {
			continue
		}
		seen[k] = true
		schemas := Schemas(crd)
		for _, v := range k.Versions {
			if schemas[v] == nil {
				t.Logf("%s of %s: version %s is not served", k.Kind, group, v)
			}
		}
		scope, _ := crd.Object["spec"].(map[string]any)["scope"].(string)
		if k.Namespaced != (scope == "Namespaced") {
			t.Errorf("%s of %s: its scope is %s", k.Kind, group, scope)
		}
		for i := range k.Fields {
			row(t, k, &k.Fields[i], schemas, bases[group+"/"+k.Kind])
		}
	}
	t.Logf("%d of %d kinds", len(seen), len(flow.Builtin().Kinds()))
}

// row finds one field in one of the versions.
func row(t *testing.T, k *flow.Kind, f *flow.Field, schemas map[string]*Schema, b *base) {
	t.Helper()
	full := f.Path
	if k.Root != "" {
		full = k.Root + "." + full
	}
	if b != nil && b.Never[full] != "" || inPodSpec(k, full) {
		return
	}
	at := k.Kind + " of " + k.Group + ", " + full
	p := &planter{kind: k}
	var problems []string
	for version, s := range schemas {
		leaf, err := s.Resolve(slices.Concat(k.Steps(), f.Steps()))
		if err == nil {
			err = leaf.Takes(f.Form)
		}
		for j := range f.With {
			steps := p.companion(f, j)
			if steps == nil || err != nil {
				continue
			}
			_, err = s.Resolve(steps)
		}
		if err == nil {
			return
		}
		problems = append(problems, version+": "+err.Error())
	}
	slices.Sort(problems)
	t.Errorf("%s: %s", at, strings.Join(problems, "; "))
}

// inPodSpec reports whether a row is one of those that every pod spec has: what a project
// embeds may be older, or less.
func inPodSpec(k *flow.Kind, path string) bool {
	return slices.ContainsFunc(k.PodSpecs, func(spec string) bool { return strings.HasPrefix(path, spec+".") })
}
