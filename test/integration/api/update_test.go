// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// change is an update of one stored object: accepted when want is empty, else refused with
// a message that holds it.
type change struct {
	what     string
	from, to edits
	want     string
}

const (
	stageFixed = "spec.stage: Invalid value: stage of a production Environment is immutable"
	classFixed = "spec.class: Invalid value: class Production cannot be lowered"
	classWrong = "spec.class: Invalid value: class must be Production when stage is production"
	nameFixed  = `spec.environmentRef.name: Invalid value: "staging": environmentRef.name is immutable`
)

var changes = map[string][]change{
	"Environment": {
		{"production, class omitted, to NonProduction", edits{"spec/stage": "production"}, edits{"spec/class": "NonProduction"}, classWrong},
		{"production to NonProduction", edits{"spec/stage": "production", "spec/class": "Production"}, edits{"spec/class": "NonProduction"}, classWrong},
		{"production, class dropped", edits{"spec/stage": "production", "spec/class": "Production"}, edits{"spec/class": absent}, ""},
		{"production, class stated", edits{"spec/stage": "production"}, edits{"spec/class": "Production"}, ""},
		{"production to staging", edits{"spec/stage": "production"}, edits{"spec/stage": "staging"}, stageFixed},
		{"production to staging, of class Production", edits{"spec/stage": "production"}, edits{"spec/stage": "staging", "spec/class": "Production"}, stageFixed},
		{"production to staging, class dropped", edits{"spec/stage": "production", "spec/class": "Production"},
			edits{"spec/stage": "staging", "spec/class": absent}, classFixed},
		{"production to staging of class NonProduction", edits{"spec/stage": "production", "spec/class": "Production"},
			edits{"spec/stage": "staging", "spec/class": "NonProduction"}, stageFixed},
		{"a raised one, class dropped", edits{"spec/class": "Production"}, edits{"spec/class": absent}, classFixed},
		{"a raised one, class null", edits{"spec/class": "Production"}, edits{"spec/class": nil}, classFixed},
		{"a raised one to NonProduction", edits{"spec/class": "Production"}, edits{"spec/class": "NonProduction"}, classFixed},
		{"a raised one to another stage", edits{"spec/class": "Production"}, edits{"spec/stage": "testing"}, ""},
		{"a raised one to another stage, class dropped", edits{"spec/class": "Production"}, edits{"spec/stage": "testing", "spec/class": absent}, classFixed},
		{"a raised one to production, class dropped", edits{"spec/class": "Production"}, edits{"spec/stage": "production", "spec/class": absent}, ""},
		{"staging raised", edits{}, edits{"spec/class": "Production"}, ""},
		{"staging to production", edits{}, edits{"spec/stage": "production"}, ""},
		{"staging to testing", edits{"spec/class": "NonProduction"}, edits{"spec/stage": "testing"}, ""},
		{"datacenters", edits{"spec/datacenters": []any{"sto2"}}, edits{"spec/datacenters": []any{"osl2"}}, ""},
	},
	"ManagementCluster": {
		{"another Environment", edits{}, edits{"spec/environmentRef/name": "staging"}, nameFixed},
		{"environmentRef dropped", edits{"spec/role": "Ops"}, edits{"spec/environmentRef": absent},
			"spec.environmentRef: Invalid value: environmentRef is immutable"},
		{"environmentRef added", edits{"spec/role": "Ops", "spec/environmentRef": absent},
			edits{"spec/environmentRef": map[string]any{"name": "staging"}}, "spec.environmentRef: Invalid value: environmentRef is immutable"},
		{"an Ops Cluster that stays without environmentRef", edits{"spec/role": "Ops", "spec/environmentRef": absent}, connection("inCluster"), ""},
		{"another datacenter", edits{}, edits{"spec/datacenter": "osl2"}, `spec.datacenter: Invalid value: "osl2": datacenter is immutable`},
		{"another role", edits{}, edits{"spec/role": "Ops"}, "spec.role: Invalid value: role is immutable"},
		{"another role the other way", edits{"spec/role": "Ops"}, edits{"spec/role": "Management"}, "spec.role: Invalid value: role is immutable"},
		{"another connection", connection("inCluster"), connection("kubeconfigSecretRef"), ""},
		{"a second connection", connection("inCluster"), connection("inCluster", "kubeconfigSecretRef"), oneOfThree},
		{"no connection", connection("inCluster"), connection(), oneOfThree},
	},
	"DataLocation": {
		{"another Environment", edits{}, edits{"spec/environmentRef/name": "staging"}, nameFixed},
		{"another address", edits{}, edits{"spec/addresses/0/value": "openstack/def"}, ""},
		{"a wrong address", edits{}, edits{"spec/addresses/0/value": "openstack"}, "spec.addresses[0].value: Invalid value: must be PROVIDER/ID"},
		{"shared", edits{}, edits{"spec/shared": true}, ""},
	},
	"DataBoundary": {
		{"another action", edits{}, edits{"spec/action": "Audit"}, ""},
		{"from nobody", edits{}, edits{"spec/from": noMembers}, "spec.from: " + fromNobody},
	},
}

var _ = Describe("Changing", func() {
	for kind, rows := range changes {
		Context(kind, func() {
			for _, r := range rows {
				verb := "accepts: "
				if r.want != "" {
					verb = "refuses: "
				}
				It(verb+r.what, func(ctx SpecContext) {
					stored := least(kind, "", r.from)
					stored.SetGenerateName("change-")
					Expect(c.Create(ctx, stored)).To(Succeed())
					DeferCleanup(func(ctx SpecContext) error { return c.Delete(ctx, stored) })
					expectAnswer(c.Update(ctx, r.to.apply(stored), client.DryRunAll), r.want)
				})
			}
		})
	}
})
