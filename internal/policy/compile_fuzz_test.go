// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/json"
	"testing"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// FuzzCompile holds that whatever MovementKind is accepted becomes a policy that the API
// server accepts: no name or path in it ends a text of CEL or names something of its own.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"Mover","resource":"movers","versions":["v1"],"fields":[{"path":"spec.url","direction":"From"}]}`,
		`{"kind":"Mover","resource":"movers","versions":["v1"],"subresources":["status"],"fields":[{"path":"spec.bucket","form":"Bucket","direction":"Names","with":{"endpoint":"spec.endpoint","prefix":"spec.prefix","provider":"spec.provider"}}]}`,
		`{"kind":"Mover","resource":"movers","versions":["v1"],"fields":[{"path":"spec.list[name].repo","form":"Git","direction":"From","end":"Source","with":{"path":"spec.list[name].path"}},{"path":"spec.to","direction":"To","end":"Destination"}]}`,
		`{"kind":"Mover","resource":"movers","versions":["v1"],"podSpecs":["spec.template.spec"],"fields":[{"path":"metadata.annotations{example.com/it's}","form":"Join","const":"a\\b","type":"Volume","direction":"To"}]}`,
		`{"kind":"Mover","resource":"movers","versions":["v1"],"fields":[{"path":"spec.repos[name].bucket","form":"Bucket","direction":"From","with":{"endpoint":"spec.global{[name]-path}"}},{"path":"data{*}","direction":"Names","createOnly":true}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var spec skottv1.MovementKindSpec
		if json.Unmarshal(content, &spec) != nil {
			return
		}
		spec.Group = "fuzz.example" // so that its policy holds nothing else
		rules, errs := policy.NewRules(spec)
		if errs[0] != nil || len(rules.Families([]string{spec.Group})) == len(rules.Families(nil)) {
			return
		}
		for _, p := range rules.Policies([]flow.Family{flow.Family(spec.Group)}, true) {
			compilePolicy(t, p)
		}
	})
}
