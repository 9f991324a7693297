// SPDX-License-Identifier: Apache-2.0

package address

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// row is a line of the corpus, which a real API server answers too.
type row struct {
	Type             Type
	Value, Canonical string
	Invalid          bool
}

func corpus(t testing.TB) []row {
	t.Helper()
	content, err := os.ReadFile("../../test/corpus/addresses.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := yaml.UnmarshalStrict(content, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestParseCorpus(t *testing.T) {
	for _, r := range corpus(t) {
		got, err := Parse(r.Type, r.Value)
		switch {
		case r.Invalid:
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("Parse(%s, %q) = %q, %v, want ErrInvalid", r.Type, r.Value, got, err)
			}
		case err != nil || got.String() != r.Canonical || got.Type() != r.Type:
			t.Errorf("Parse(%s, %q) = %q, %v, want %q", r.Type, r.Value, got, err, r.Canonical)
		default:
			if again, err := Parse(r.Type, got.String()); again != got {
				t.Errorf("Parse(%s, %q) = %q, %v, want the same", r.Type, got, again, err)
			}
		}
	}
}

// definition validates one address as an API server does, by the schema of the CRD.
type definition struct {
	schema validation.SchemaValidator
	rules  *cel.Validator
	typed  *schema.Structural
}

func readDefinition(t testing.TB) definition {
	t.Helper()
	content, err := os.ReadFile("../../config/crd/bases/skott.dev_datalocations.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		t.Fatal(err)
	}
	external := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties["addresses"].Items.Schema
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(external, internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(internal)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		t.Fatal(err)
	}
	return definition{schema: validator, rules: cel.NewValidator(structural, false, celconfig.PerCallLimit), typed: structural}
}

func (d definition) accepts(kind Type, value string) bool {
	object := map[string]any{"type": string(kind), "value": value}
	if len(validation.ValidateCustomResource(field.NewPath("a"), object, d.schema)) > 0 {
		return false
	}
	errs, _ := d.rules.Validate(context.Background(), field.NewPath("a"), d.typed, object, nil, celconfig.RuntimeCELCostBudget)
	return len(errs) == 0
}

// The definition and Parse are the same rule.
func TestDefinitionAgrees(t *testing.T) {
	d := readDefinition(t)
	for _, r := range corpus(t) {
		if got := d.accepts(r.Type, r.Value); got == r.Invalid {
			t.Errorf("the definition accepts %s %q: %t, and the corpus says the opposite", r.Type, r.Value, got)
		}
	}
}

// The expressions of the definition stand in grammar word for word.
func TestDefinitionHoldsGrammar(t *testing.T) {
	content, err := os.ReadFile("../../api/v1alpha1/datalocation_types.go")
	if err != nil {
		t.Fatal(err)
	}
	for kind, rule := range grammar {
		for want := range strings.SplitSeq(rule.String(), "|^") {
			want = "matches('^(?i)" + strings.TrimPrefix(want, "^") + "')"
			if !strings.Contains(string(content), want) {
				t.Errorf("%s: the definition does not hold %s", kind, want)
			}
		}
	}
}

// FuzzParse holds that an address is canonical once and for all, and that the definition
// accepts the same texts.
func FuzzParse(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(string(r.Type), r.Value)
	}
	d := readDefinition(f)
	f.Fuzz(func(t *testing.T, kind, value string) {
		a, err := Parse(Type(kind), value)
		if accepted := d.accepts(Type(kind), value); accepted != (err == nil) {
			t.Fatalf("Parse(%s, %q): %v, but the definition accepts it: %t", kind, value, err, accepted)
		}
		if err != nil {
			if a.IsValid() || !errors.Is(err, ErrInvalid) {
				t.Fatalf("Parse(%s, %q) = %q, %v", kind, value, a, err)
			}
			return
		}
		if again, err := Parse(a.Type(), a.String()); again != a {
			t.Fatalf("Parse(%s, %q) = %q, and of that %q: %v", kind, value, a, again, err)
		}
		if a.Key() == "" {
			t.Fatalf("Parse(%s, %q) = %q without a key", kind, value, a)
		}
	})
}
