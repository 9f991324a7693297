// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// randomSpec is a spec of few names, so that two of them have much in common.
func randomSpec(r *rand.Rand) skottv1.GuardSpec {
	texts := func() map[string]string {
		out := map[string]string{}
		for range r.IntN(6) {
			out[fmt.Sprintf("host-%d/path~1\"", r.IntN(8))] = []string{"", "production", "staging"}[r.IntN(3)]
		}
		return out
	}
	spec := skottv1.GuardSpec{
		Action: skottv1.ActionDeny, Revision: fmt.Sprint(r.IntN(3)), Environments: map[string]skottv1.Class{}, Namespaces: texts(),
		Crossings: map[string]map[string]string{}, Addresses: texts(), Parents: texts(), Hosts: texts(), Aliases: texts(),
		Depths: []int64{}, SuffixLabels: []int64{}, PrefixLengths: []int64{}, CustomerNamespaces: []string{},
	}
	for range r.IntN(3) {
		spec.Depths = append(spec.Depths, r.Int64N(3))
		spec.Environments[fmt.Sprint(r.IntN(3))] = skottv1.ClassProduction
		spec.Crossings[fmt.Sprint(r.IntN(3))] = texts()
	}
	if r.IntN(2) == 0 {
		spec.Families = []string{"storage"}
	}
	return spec
}

// merge is RFC 7396, written down once more.
func merge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if t, ok := target.(map[string]any); ok {
		for k, v := range t {
			out[k] = v
		}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = merge(out[k], v)
		}
	}
	return out
}

// TestTransition: what a patch leaves is what would have been applied.
func TestTransition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		from, to := &encoding{guard: &skottv1.Guard{Spec: randomSpec(r)}}, &encoding{guard: &skottv1.Guard{Spec: randomSpec(r)}}
		encoded := to.from(from).patch
		if encoded == nil {
			t.Fatal("there is no patch")
		}
		var before, patch, want any
		for into, text := range map[*any][]byte{&before: from.encoded(), &patch: encoded, &want: to.encoded()} {
			if err := json.Unmarshal(text, into); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, merge(before, patch)); diff != "" {
			t.Fatalf("%s patched by %s (-want +got):\n%s", from.encoded(), encoded, diff)
		}
	}
}

// TestNoPatch: where a patch would be large, or cannot say what differs, there is none.
func TestNoPatch(t *testing.T) {
	plain := func() skottv1.GuardSpec { return randomSpec(rand.New(rand.NewPCG(1, 2))) }
	kinds, unknown, many := plain(), plain(), plain()
	kinds.MovementKinds = []skottv1.MovementKindSpec{{Group: "example.org"}}
	unknown.Hosts = nil
	for i := range 10000 {
		many.Addresses[fmt.Sprintf("host-%d.example", i)] = "production"
	}
	for what, spec := range map[string]skottv1.GuardSpec{"movement kinds": kinds, "a map that is missing": unknown, "thousands of addresses": many} {
		from, to := &encoding{guard: &skottv1.Guard{Spec: plain()}}, &encoding{guard: &skottv1.Guard{Spec: spec}}
		if patch := to.from(from).patch; patch != nil {
			t.Errorf("%s: there is a patch of %d bytes", what, len(patch))
		}
	}
}

// TestOnlyOurs: whoever has written into the spec is seen by the owners of its fields.
func TestOnlyOurs(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const spec, labels = `{"f:spec":{"f:movementKinds":{}}}`, `{"f:metadata":{"f:labels":{"f:x":{}}}}`
	ours := entry(skottv1.FieldOwner, metav1.ManagedFieldsOperationApply, spec)
	for what, c := range map[string]struct {
		owners []metav1.ManagedFieldsEntry
		want   bool
	}{
		"nobody":                       {nil, false},
		"ours":                         {[]metav1.ManagedFieldsEntry{ours}, true},
		"somebody's label":             {[]metav1.ManagedFieldsEntry{ours, entry("other", metav1.ManagedFieldsOperationUpdate, labels)}, true},
		"somebody's field":             {[]metav1.ManagedFieldsEntry{ours, entry("other", metav1.ManagedFieldsOperationUpdate, spec)}, false},
		"somebody's field in our name": {[]metav1.ManagedFieldsEntry{ours, entry(skottv1.FieldOwner, metav1.ManagedFieldsOperationUpdate, spec)}, false},
		"fields that are not told":     {[]metav1.ManagedFieldsEntry{ours, {Manager: "other"}}, false},
	} {
		if got := onlyOurs(c.owners); got != c.want {
			t.Errorf("%s: onlyOurs is %v, want %v", what, got, c.want)
		}
	}
}
