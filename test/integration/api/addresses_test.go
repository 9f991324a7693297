// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const field = "spec.addresses[0].value: "

// addressRow is a line of test/corpus/addresses.yaml.
type addressRow struct {
	Type, Value, Canonical string
	Invalid                bool
}

func corpus() []addressRow {
	GinkgoHelper()
	content, err := os.ReadFile(filepath.Join(root, "test/corpus/addresses.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var rows []addressRow
	Expect(yaml.UnmarshalStrict(content, &rows)).To(Succeed())
	return rows
}

// tryAddress creates a DataLocation with one address.
func tryAddress(ctx context.Context, kind string, value any) error {
	return try(ctx, least("DataLocation", "new", edits{"spec/addresses/0": map[string]any{"type": kind, "value": value}}))
}

// schemaOf is the schema of a kind, as generated.
func schemaOf(kind string) map[string]any {
	GinkgoHelper()
	for _, crd := range crds() {
		if name, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind"); name != kind {
			continue
		}
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		schema, found, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema")
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(BeTrue())
		return schema
	}
	Fail("no CRD of kind " + kind)
	return nil
}

// addressSchema is the schema of one address.
func addressSchema() map[string]any {
	schema, found, err := unstructured.NestedMap(schemaOf("DataLocation"), "properties", "spec", "properties", "addresses", "items")
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue())
	return schema
}

// addressTypes are the types of the CRD.
func addressTypes() []string {
	types, found, err := unstructured.NestedStringSlice(addressSchema(), "properties", "type", "enum")
	Expect(err).NotTo(HaveOccurred())
	Expect(found).To(BeTrue())
	return types
}

// messages are the messages of the rules that stand on one schema.
func messages(schema map[string]any) []string {
	rules, _ := schema["x-kubernetes-validations"].([]any)
	var out []string
	for _, rule := range rules {
		out = append(out, rule.(map[string]any)["message"].(string))
	}
	return out
}

var _ = Describe("An address", func() {
	It("is accepted and refused as the corpus says, and each rule refuses something", func(ctx SpecContext) {
		rows := corpus()
		unused, accepted := map[string]bool{}, map[string]bool{}
		for _, m := range messages(addressSchema()) {
			unused[m] = true
		}
		for _, r := range rows {
			err := tryAddress(ctx, r.Type, r.Value)
			if !r.Invalid {
				Expect(err).NotTo(HaveOccurred(), "%s %q", r.Type, r.Value)
				Expect(r.Canonical).NotTo(BeEmpty(), "%s %q", r.Type, r.Value)
				Expect(tryAddress(ctx, r.Type, r.Canonical)).To(Succeed(), "canonical %s %q", r.Type, r.Canonical)
				accepted[r.Type] = true
				continue
			}
			Expect(err).To(MatchError(ContainSubstring(field)), "%s %q", r.Type, r.Value)
			maps.DeleteFunc(unused, func(m string, _ bool) bool { return strings.Contains(err.Error(), m) })
		}
		Expect(slices.Collect(maps.Keys(unused))).To(BeEmpty(), "rules that no line of the corpus meets")
		Expect(slices.Sorted(maps.Keys(accepted))).To(Equal(slices.Sorted(slices.Values(addressTypes()))))
	})

	It("is refused whatever its type when its value is no usable text", func(ctx SpecContext) {
		for _, kind := range addressTypes() {
			for what, value := range map[string]any{
				"null": nil, "empty": "", "number": int64(443), "bool": true, "list": []any{"a"}, "map": map[string]any{"a": "b"},
				"blank": "   ", "Unicode": "прод.example/данные", "NUL": "s3.example/b\x00", "line break": "db.example\ndb.example",
			} {
				Expect(tryAddress(ctx, kind, value)).To(MatchError(ContainSubstring("spec.addresses[0].value")), "%s %s", kind, what)
			}
			absentValue := least("DataLocation", "new", edits{"spec/addresses/0": map[string]any{"type": kind}})
			Expect(try(ctx, absentValue)).To(MatchError(ContainSubstring(field + "Required value")))
		}
	})

	It("of 200 KB is refused in a short message", func(ctx SpecContext) {
		for _, kind := range addressTypes() {
			for _, value := range []string{strings.Repeat("a", 200<<10), "s3.example/" + strings.Repeat("a/", 100<<10), strings.Repeat("a.", 100<<10) + "example"} {
				err := tryAddress(ctx, kind, value)
				Expect(err).To(MatchError(ContainSubstring(field + "Too long")))
				Expect(len(err.Error())).To(BeNumerically("<", 2000), kind)
			}
		}
	})

	// The rules cost something per address, and the API server bounds the sum.
	It("may be one of 256 that are as long as they can be", func(ctx SpecContext) {
		for kind, value := range map[string]string{
			"Bucket": longest("s3.example/"), "Host": strings.Repeat("a.", 508) + "example", "CIDR": "sto2/" + "2001:db8:0:0:0:0:0:1/128",
			"Volume": longest("driver/"), "Snapshot": longest("driver/"), "ClusterEndpoint": longest("cluster/ns/"), "Registry": longest("registry.example/"),
			"Git": longest("https://git.example/"), "SecretPath": longest("vault.example/"), "Project": longest("aws/"),
			"Credential": "hmac-sha256:" + strings.Repeat("a", 64),
		} {
			addresses := make([]any, 256)
			for i := range addresses {
				addresses[i] = map[string]any{"type": kind, "value": value}
			}
			Expect(try(ctx, least("DataLocation", "new", edits{"spec/addresses": addresses}))).To(Succeed(), kind)
		}
		public := make([]any, 256)
		for i := range public {
			public[i] = map[string]any{"type": "CIDR", "value": "192.0.2.1/24"}
		}
		Expect(try(ctx, least("DataLocation", "new", edits{"spec/addresses": public}))).To(Succeed())
	})
})

// longest is a text of 1024 characters.
func longest(prefix string) string { return prefix + strings.Repeat("a", 1024-len(prefix)) }
