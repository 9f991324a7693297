// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apply is server-side apply by one owner, without force.
func apply(ctx SpecContext, owner string, o *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner(owner))
	return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), options...)
}

// keep deletes an object by name when the spec is over.
func keep(o *unstructured.Unstructured) {
	DeferCleanup(func(ctx SpecContext) error { return client.IgnoreNotFound(c.Delete(ctx, o.DeepCopy())) })
}

func read(ctx SpecContext, o *unstructured.Unstructured) *unstructured.Unstructured {
	GinkgoHelper()
	out := o.DeepCopy()
	Expect(c.Get(ctx, client.ObjectKeyFromObject(o), out)).To(Succeed())
	return out
}

func at(o *unstructured.Unstructured, path ...string) any {
	GinkgoHelper()
	value, _, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	Expect(err).NotTo(HaveOccurred())
	return value
}

var _ = Describe("Server-side apply", func() {
	It("refuses to lower an Environment by no longer stating its class", func(ctx SpecContext) {
		o := least("Environment", "apply-lower", edits{"spec/class": "Production"})
		keep(o)
		Expect(apply(ctx, "argocd", o)).To(Succeed())
		Expect(apply(ctx, "argocd", edits{"spec/class": absent}.apply(o))).To(MatchError(ContainSubstring(classFixed)))
		Expect(at(read(ctx, o), "spec", "class")).To(Equal("Production"))
	})

	It("merges the datacenters of two owners", func(ctx SpecContext) {
		o := least("Environment", "apply-merge", edits{"spec/datacenters": []any{"sto2"}})
		keep(o)
		Expect(apply(ctx, "one", o)).To(Succeed())
		Expect(apply(ctx, "two", edits{"spec/datacenters": []any{"osl2"}}.apply(o))).To(Succeed())
		Expect(at(read(ctx, o), "spec", "datacenters")).To(ConsistOf("sto2", "osl2"))
	})

	It("gives the addresses of a location one owner", func(ctx SpecContext) {
		o := least("DataLocation", "apply-atomic", nil)
		keep(o)
		Expect(apply(ctx, "one", o)).To(Succeed())
		other := edits{"spec/addresses": []any{map[string]any{"type": "Project", "value": "openstack/def"}}}.apply(o)
		Expect(apierrors.IsConflict(apply(ctx, "two", other))).To(BeTrue())
		Expect(apply(ctx, "two", other, client.ForceOwnership)).To(Succeed())
		Expect(at(read(ctx, o), "spec", "addresses")).To(HaveLen(1))
	})

	It("replaces the maps of a Guard whole, so that no old address stays", func(ctx SpecContext) {
		o := least("Guard", "apply-guard", edits{"spec/addresses": map[string]any{"a": "production", "b": "production"},
			"spec/crossings": map[string]any{"production": map[string]any{"staging": "x", "testing": "x"}}})
		keep(o)
		Expect(apply(ctx, "skott", o)).To(Succeed())
		Expect(apply(ctx, "another", edits{"spec/addresses": map[string]any{"c": "production"},
			"spec/crossings": map[string]any{"production": map[string]any{"staging": "x"}}}.apply(o), client.ForceOwnership)).To(Succeed())
		Expect(at(read(ctx, o), "spec", "addresses")).To(Equal(map[string]any{"c": "production"}))
		Expect(at(read(ctx, o), "spec", "crossings", "production")).To(Equal(map[string]any{"staging": "x"}))
	})

	It("keeps the conditions of two owners apart by type", func(ctx SpecContext) {
		o := least("Environment", "apply-conditions", nil)
		keep(o)
		Expect(apply(ctx, "one", o)).To(Succeed())
		condition := func(kind string) *unstructured.Unstructured {
			return edits{"spec": absent, "status/conditions": []any{map[string]any{"type": kind, "status": "True",
				"reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}}}.apply(o)
		}
		for owner, kind := range map[string]string{"one": "Ready", "two": "Complete"} {
			Expect(c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(condition(kind)), client.FieldOwner(owner))).To(Succeed())
		}
		Expect(at(read(ctx, o), "status", "conditions")).To(HaveLen(2))
	})
})

var _ = Describe("The status", func() {
	for kind := range full {
		It("of "+kind+" and its spec are written apart", func(ctx SpecContext) {
			complete := object(kind, "status-apart", full[kind][0])
			if complete.Object["status"] == nil {
				Expect(kind).To(Equal("Guard"))
				stored := complete.DeepCopy()
				keep(complete)
				Expect(c.Create(ctx, stored)).To(Succeed())
				Expect(apierrors.IsNotFound(c.Status().Update(ctx, stored))).To(BeTrue())
				return
			}
			stored := complete.DeepCopy()
			keep(complete)
			Expect(c.Create(ctx, stored)).To(Succeed())
			Expect(stored.Object).NotTo(HaveKey("status"), "create keeps no status")

			stored.Object["status"] = complete.DeepCopy().Object["status"]
			stored.SetLabels(map[string]string{"a": "b"})
			Expect(c.Update(ctx, stored)).To(Succeed())
			Expect(stored.Object).NotTo(HaveKey("status"), "update keeps no status")
			generation := stored.GetGeneration()

			stored.Object["status"] = complete.DeepCopy().Object["status"]
			stored.Object["spec"] = map[string]any{}
			Expect(c.Status().Update(ctx, stored)).To(Succeed())
			after := read(ctx, stored)
			Expect(after.Object["spec"]).To(Equal(complete.Object["spec"]), "a status update keeps the spec")
			Expect(after.Object["status"]).To(Equal(complete.Object["status"]))
			Expect(after.GetGeneration()).To(Equal(generation))
		})
	}
})

// columns are what kubectl get -o wide prints for the complete object of a kind, in its
// order, without the age.
var columns = map[string][2]string{
	"environments": {
		"NAME STAGE READY SEPARATED MANAGEMENT WORKLOAD REASON",
		"columns staging False True 1 2 NotReady"},
	"managementclusters": {
		"NAME ENVIRONMENT DATACENTER ROLE READY GUARDED CLUSTERS VERSION REASON",
		"columns production sto2 Management False True 3 v1.36.3 NotReady"},
	"databoundaries": {
		"NAME ACTION READY ENFORCED DESIRED UNREACHABLE ADDRESSES VIOLATIONS REVISION",
		"columns Deny False 2 3 1 4 5 abc"},
	"guards": {
		"NAME CLUSTER ENVIRONMENT STAGE CLASS DATACENTER MANAGEMENT ACTION REVISION",
		"columns cust-acme/acme staging staging NonProduction sto2 mc Deny abc"},
}

var _ = Describe("kubectl", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		for kind, second := range map[string]string{"Environment": "Separated", "ManagementCluster": "Guarded",
			"DataLocation": "Contested", "DataBoundary": "Enforced", "Guard": ""} {
			complete := object(kind, "columns", full[kind][0])
			stored := complete.DeepCopy()
			keep(complete)
			Expect(c.Create(ctx, stored)).To(Succeed())
			if second == "" {
				continue
			}
			list := complete.Object["status"].(map[string]any)["conditions"].([]any)
			stored.Object["status"] = complete.Object["status"]
			edit(stored.Object, []string{"status", "conditions"}, append(list, map[string]any{"type": second, "status": "True",
				"reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}))
			Expect(c.Status().Update(ctx, stored)).To(Succeed())
		}
	})

	for plural, want := range columns {
		It("get -o wide prints the columns of "+plural, func(ctx SpecContext) {
			output, err := env.Kubectl(ctx, server, "get", plural, "columns", "-o", "wide")
			Expect(err).NotTo(HaveOccurred())
			lines := strings.Split(strings.TrimSpace(output), "\n")
			Expect(lines).To(HaveLen(2))
			// Where AGE stands is the API server's business.
			header, row := strings.Fields(lines[0]), strings.Fields(lines[1])
			Expect(row).To(HaveLen(len(header)))
			for i, title := range header {
				if title == "AGE" {
					header, row = append(header[:i:i], header[i+1:]...), append(row[:i:i], row[i+1:]...)
					break
				}
			}
			Expect(strings.Join(header, " ")).To(Equal(want[0]))
			Expect(strings.Join(row, " ")).To(Equal(want[1]))
		})
	}

	// The one here was never learned, and its columns for that are empty.
	It("get -o wide prints where and when a datalocation was seen", func(ctx SpecContext) {
		output, err := env.Kubectl(ctx, server, "get", "datalocations", "-o", "wide")
		Expect(err).NotTo(HaveOccurred())
		header, _, _ := strings.Cut(output, "\n")
		Expect(strings.Fields(header)).To(ConsistOf("NAME", "ENVIRONMENT", "TYPE", "ADDRESS", "ORIGIN", "SEEN", "FIRST", "LAST", "CONTESTED", "READY", "SHARED", "AGE"))
	})

	It("get without -o wide leaves out the columns of priority 10", func(ctx SpecContext) {
		output, err := env.Kubectl(ctx, server, "get", "environments", "columns")
		Expect(err).NotTo(HaveOccurred())
		Expect(output).NotTo(ContainSubstring("REASON"))
	})

	It("get skott lists all five kinds", func(ctx SpecContext) {
		output, err := env.Kubectl(ctx, server, "get", "skott", "-o", "name")
		Expect(err).NotTo(HaveOccurred())
		for _, kind := range []string{"environment", "managementcluster", "datalocation", "databoundary", "guard"} {
			Expect(output).To(ContainSubstring(kind + ".skott.dev/columns\n"))
		}
	})

	for short, name := range map[string]string{"skenv": "environment", "skmc": "managementcluster", "skloc": "datalocation", "skb": "databoundary"} {
		It("knows "+short, func(ctx SpecContext) {
			output, err := env.Kubectl(ctx, server, "get", short, "columns", "-o", "name")
			Expect(err).NotTo(HaveOccurred())
			Expect(output).To(Equal(name + ".skott.dev/columns\n"))
		})
	}

	It("explains the fields", func(ctx SpecContext) {
		output, err := env.Kubectl(ctx, server, "explain", "datalocation.spec.addresses.value")
		Expect(err).NotTo(HaveOccurred())
		Expect(output).To(ContainSubstring("value in any usual spelling of its type"))
	})
})
