// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// row is one object, made from the least of its kind: accepted when want is empty, else
// refused with a message that holds it.
type row struct {
	what string
	set  edits
	want string
}

var (
	secretRef  = map[string]any{"namespace": "skott-system", "name": "mc"}
	noMembers  = map[string]any{}
	oneOfThree = "spec.connection: Invalid value: exactly one of kubeconfigSecretRef, argoCDClusterSecretRef, inCluster must be set"
	fromNobody = "Invalid value: at least one of classes, environments, selector must be set"
)

// connection is a connection with the named members.
func connection(members ...string) edits {
	out := map[string]any{}
	for _, m := range members {
		out[m] = secretRef
		if m == "inCluster" {
			out[m] = noMembers
		}
	}
	return edits{"spec/connection": out}
}

var creates = map[string][]row{
	"Environment": {
		{"the least", edits{}, ""},
		{"no spec", edits{"spec": absent}, "spec: Required value"},
		{"a spec that is null", edits{"spec": nil}, "spec"},
		{"stage production", edits{"spec/stage": "production"}, ""},
		{"stage testing", edits{"spec/stage": "testing"}, ""},
		{"stage integration", edits{"spec/stage": "integration"}, ""},
		{"stage development", edits{"spec/stage": "development"}, ""},
		{"no stage", edits{"spec/stage": absent}, "spec.stage: Required value"},
		{"stage null", edits{"spec/stage": nil}, "spec.stage"},
		{"stage empty", edits{"spec/stage": ""}, `spec.stage: Unsupported value: ""`},
		{"stage by another name", edits{"spec/stage": "prod"}, `spec.stage: Unsupported value: "prod"`},
		{"stage in upper case", edits{"spec/stage": "Production"}, `spec.stage: Unsupported value: "Production"`},
		{"stage a number", edits{"spec/stage": int64(1)}, "spec.stage: Invalid value"},
		{"stage a list", edits{"spec/stage": []any{"staging"}}, "spec.stage: Invalid value"},
		{"production of class Production", edits{"spec/stage": "production", "spec/class": "Production"}, ""},
		{"production of class NonProduction", edits{"spec/stage": "production", "spec/class": "NonProduction"},
			"spec.class: Invalid value: class must be Production when stage is production"},
		{"staging of class NonProduction", edits{"spec/class": "NonProduction"}, ""},
		{"staging raised to class Production", edits{"spec/class": "Production"}, ""},
		{"class empty", edits{"spec/class": ""}, `spec.class: Unsupported value: ""`},
		{"class null, which is the same as none", edits{"spec/class": nil}, ""},
		{"class in lower case", edits{"spec/class": "production"}, `spec.class: Unsupported value: "production"`},
		{"two datacenters", edits{"spec/datacenters": []any{"osl2", "sto2"}}, ""},
		{"a datacenter of one character", edits{"spec/datacenters": []any{"a"}}, ""},
		{"a datacenter twice", edits{"spec/datacenters": []any{"sto2", "sto2"}}, `spec.datacenters[1]: Duplicate value: "sto2"`},
		{"a datacenter in upper case", edits{"spec/datacenters": []any{"Sto2"}}, "spec.datacenters[0]"},
		{"a datacenter with an underscore", edits{"spec/datacenters": []any{"sto2", "sto_2"}}, "spec.datacenters[1]"},
		{"a datacenter that ends with a dash", edits{"spec/datacenters": []any{"sto-"}}, "spec.datacenters[0]"},
		{"a datacenter in Unicode", edits{"spec/datacenters": []any{"malmö"}}, "spec.datacenters[0]"},
		{"customer namespaces by prefix", edits{"spec/customerNamespaces": []any{"cust-*", "cust-acme"}}, ""},
		{"customer namespaces: every one", edits{"spec/customerNamespaces": []any{"*"}}, "spec.customerNamespaces[0]"},
		{"customer namespaces: two stars", edits{"spec/customerNamespaces": []any{"c**"}}, "spec.customerNamespaces[0]"},
		{"customer namespaces: a star inside", edits{"spec/customerNamespaces": []any{"c*t"}}, "spec.customerNamespaces[0]"},
		{"a name of 63 characters", edits{"metadata/name": strings.Repeat("a", 63)}, ""},
		{"a name of 64 characters", edits{"metadata/name": strings.Repeat("a", 64)},
			"metadata.name must be at most 63 characters, as it is used as a label value"},
		{"the name of a place that is none", edits{"metadata/name": "@ops"}, "metadata.name"},
	},
	"ManagementCluster": {
		{"the least", edits{}, ""},
		{"no environmentRef", edits{"spec/environmentRef": absent},
			"spec.environmentRef: Invalid value: environmentRef is required when role is Management"},
		{"environmentRef null", edits{"spec/environmentRef": nil}, "spec.environmentRef"},
		{"an Ops Cluster without environmentRef", edits{"spec/environmentRef": absent, "spec/role": "Ops"}, ""},
		{"an Ops Cluster with environmentRef", edits{"spec/role": "Ops"}, ""},
		{"environmentRef without a name", edits{"spec/environmentRef": noMembers}, "spec.environmentRef.name: Required value"},
		{"environmentRef of an empty name", edits{"spec/environmentRef/name": ""}, "spec.environmentRef.name"},
		{"environmentRef with dots", edits{"spec/environmentRef/name": "prod.eu-1"}, ""},
		{"environmentRef @ops", edits{"spec/environmentRef/name": "@ops"}, "spec.environmentRef.name"},
		{"environmentRef in upper case", edits{"spec/environmentRef/name": "Production"}, "spec.environmentRef.name"},
		{"environmentRef as a text", edits{"spec/environmentRef": "production"}, "spec.environmentRef"},
		{"no datacenter", edits{"spec/datacenter": absent}, "spec.datacenter: Required value"},
		{"datacenter empty", edits{"spec/datacenter": ""}, "spec.datacenter"},
		{"datacenter in upper case", edits{"spec/datacenter": "STO2"}, "spec.datacenter"},
		{"datacenter with a digit first", edits{"spec/datacenter": "2sto"}, ""},
		{"datacenter with a slash", edits{"spec/datacenter": "sto2/a"}, "spec.datacenter"},
		{"no role", edits{"spec/role": absent}, "spec.role: Required value"},
		{"role in lower case", edits{"spec/role": "ops"}, `spec.role: Unsupported value: "ops"`},
		{"role Workload", edits{"spec/role": "Workload"}, `spec.role: Unsupported value: "Workload"`},
		{"no connection", edits{"spec/connection": absent}, "spec.connection: Required value"},
		{"connection null", edits{"spec/connection": nil}, "spec.connection"},
		{"connection with no member", connection(), oneOfThree},
		{"connection with an unknown member only", edits{"spec/connection": map[string]any{"token": "x"}}, oneOfThree},
		{"connection by kubeconfig", connection("kubeconfigSecretRef"), ""},
		{"connection by Argo CD", connection("argoCDClusterSecretRef"), ""},
		{"connection in cluster", connection("inCluster"), ""},
		{"connection by kubeconfig and Argo CD", connection("kubeconfigSecretRef", "argoCDClusterSecretRef"), oneOfThree},
		{"connection by kubeconfig and in cluster", connection("kubeconfigSecretRef", "inCluster"), oneOfThree},
		{"connection by Argo CD and in cluster", connection("argoCDClusterSecretRef", "inCluster"), oneOfThree},
		{"connection by all three", connection("kubeconfigSecretRef", "argoCDClusterSecretRef", "inCluster"), oneOfThree},
		{"kubeconfig without a namespace", edits{"spec/connection": map[string]any{"kubeconfigSecretRef": map[string]any{"name": "mc"}}},
			"spec.connection.kubeconfigSecretRef.namespace: Required value"},
		{"kubeconfig without a name", edits{"spec/connection": map[string]any{"kubeconfigSecretRef": map[string]any{"namespace": "a"}}},
			"spec.connection.kubeconfigSecretRef.name: Required value"},
		{"a name of 64 characters", edits{"metadata/name": strings.Repeat("a", 64)},
			"metadata.name must be at most 63 characters, as it is used as a label value"},
		{"a webhook that is off", edits{"spec/webhook/mode": "Off"}, ""},
		{"a webhook at a URL", edits{"spec/webhook": map[string]any{"mode": "URL", "url": "https://127.0.0.1:9443"}}, ""},
		{"a webhook at no URL", edits{"spec/webhook/mode": "URL"}, "spec.webhook.url: Invalid value: url is required when mode is URL"},
		{"a URL of a webhook that is deployed", edits{"spec/webhook": map[string]any{"mode": "Deploy", "url": "https://127.0.0.1:9443"}},
			"spec.webhook: Invalid value: url, urls and caBundle are for mode URL"},
		{"a webhook without TLS", edits{"spec/webhook": map[string]any{"mode": "URL", "url": "http://127.0.0.1:9443"}},
			`spec.webhook.url: Invalid value: "http://127.0.0.1:9443": must be https://HOST or https://HOST:PORT`},
		{"a webhook of one Cluster without TLS", edits{"spec/webhook": map[string]any{"mode": "URL", "url": "https://127.0.0.1:9443", "urls": map[string]any{"a/b": "http://127.0.0.1"}}},
			"spec.webhook.urls: Invalid value: each must be https://HOST or https://HOST:PORT"},
	},
	"DataLocation": {
		{"the least", edits{}, ""},
		{"no environmentRef", edits{"spec/environmentRef": absent}, "spec.environmentRef: Required value"},
		{"environmentRef @canary", edits{"spec/environmentRef/name": "@canary"}, "spec.environmentRef.name"},
		{"no addresses", edits{"spec/addresses": absent}, "spec.addresses: Required value"},
		{"addresses null", edits{"spec/addresses": nil}, "spec.addresses"},
		{"addresses empty", edits{"spec/addresses": []any{}}, "spec.addresses"},
		{"an address that is a text", edits{"spec/addresses": []any{"s3://b"}}, "spec.addresses[0]"},
		{"an address that is null", edits{"spec/addresses": []any{nil}}, "spec.addresses[0]"},
		{"no type", edits{"spec/addresses/0/type": absent}, "spec.addresses[0].type: Required value"},
		{"type null", edits{"spec/addresses/0/type": nil}, "spec.addresses[0].type"},
		{"type empty", edits{"spec/addresses/0/type": ""}, `spec.addresses[0].type: Unsupported value: ""`},
		{"type unknown", edits{"spec/addresses/0/type": "Database"}, `spec.addresses[0].type: Unsupported value: "Database"`},
		{"type in lower case", edits{"spec/addresses/0/type": "project"}, `spec.addresses[0].type: Unsupported value: "project"`},
		{"type a number", edits{"spec/addresses/0/type": int64(1)}, "spec.addresses[0].type"},
		{"the second of two addresses wrong", edits{"spec/addresses": []any{
			map[string]any{"type": "Host", "value": "db.example"}, map[string]any{"type": "Host", "value": "prod"}}},
			"spec.addresses[1].value: Invalid value: must be a DNS name"},
		{"shared", edits{"spec/shared": true}, ""},
		{"not shared", edits{"spec/shared": false}, ""},
		{"shared by a text", edits{"spec/shared": "true"}, "spec.shared"},
		{"shared null, which is the same as none", edits{"spec/shared": nil}, ""},
		{"a retention of a day and a half", edits{"spec/retention": "36h"}, ""},
		{"a retention in days", edits{"spec/retention": "90d"}, "spec.retention: Invalid value"},
		{"a retention of less than nothing", edits{"spec/retention": "-1h"}, "spec.retention: Invalid value"},
	},
	"DataBoundary": {
		{"the least", edits{}, ""},
		{"no action", edits{"spec/action": absent}, "spec.action: Required value"},
		{"action Warn", edits{"spec/action": "Warn"}, ""},
		{"action Audit", edits{"spec/action": "Audit"}, ""},
		{"action empty", edits{"spec/action": ""}, `spec.action: Unsupported value: ""`},
		{"action in lower case", edits{"spec/action": "deny"}, `spec.action: Unsupported value: "deny"`},
		{"action Allow", edits{"spec/action": "Allow"}, `spec.action: Unsupported value: "Allow"`},
		{"from nobody", edits{"spec/from": noMembers}, "spec.from: " + fromNobody},
		{"to nobody", edits{"spec/to": noMembers}, "spec.to: " + fromNobody},
		{"from a class", edits{"spec/from": map[string]any{"classes": []any{"Production"}}}, ""},
		{"from both classes", edits{"spec/from": map[string]any{"classes": []any{"Production", "NonProduction"}}}, ""},
		{"from a class twice", edits{"spec/from": map[string]any{"classes": []any{"Production", "Production"}}}, `spec.from.classes[1]: Duplicate value: "Production"`},
		{"from a class in lower case", edits{"spec/from": map[string]any{"classes": []any{"production"}}}, "spec.from.classes[0]: Unsupported value"},
		{"from no class", edits{"spec/from": map[string]any{"classes": []any{}}}, "spec.from.classes"},
		{"to an Environment", edits{"spec/to": map[string]any{"environments": []any{"staging"}}}, ""},
		{"to no Environment", edits{"spec/to": map[string]any{"environments": []any{}}}, "spec.to.environments"},
		{"to an Environment twice", edits{"spec/to": map[string]any{"environments": []any{"a", "a"}}}, "spec.to.environments[1]: Duplicate value"},
		{"to @unassigned", edits{"spec/to": map[string]any{"environments": []any{"@unassigned"}}}, "spec.to.environments[0]"},
		{"to by labels", edits{"spec/to": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"a": "b"}}}}, ""},
		{"a draft", edits{"spec/draft": map[string]any{"action": "Audit"}}, ""},
		{"a draft without action", edits{"spec/draft": noMembers}, "spec.draft.action: Required value"},
		{"a draft from nobody", edits{"spec/draft": map[string]any{"action": "Deny", "from": noMembers}}, "spec.draft.from: " + fromNobody},
		{"a draft to nobody", edits{"spec/draft": map[string]any{"action": "Deny", "to": noMembers}}, "spec.draft.to: " + fromNobody},
		{"a name of 63 characters", edits{"metadata/name": strings.Repeat("a", 63)}, ""},
		{"a name of 64 characters", edits{"metadata/name": strings.Repeat("a", 64)}, "metadata.name must be at most 63 characters"},
	},
	"MovementKind": {
		{"the least", edits{}, ""},
		{"of the core group", edits{"spec/group": absent}, ""},
		{"of Skott's own group", edits{"spec/group": "skott.dev"}, "spec.group: Invalid value: must not be a group that a cluster needs to work, or Skott's own"},
		{"of every group", edits{"spec/group": "*"}, `spec.group: Invalid value: "*": must be an API group; a MovementKind is about one kind, * would have to read every object of a cluster`},
		{"of every resource", edits{"spec/resource": "*"}, `spec.resource: Invalid value: "*": must be one resource in plural and lower case; * would have to read every object of a cluster`},
		{"that says nothing", edits{"spec/fields": absent}, "spec: Invalid value: fields or podSpecs must say where an address stands, or hidden why none can be seen"},
		{"that only says what is hidden", edits{"spec/fields": absent, "spec/hidden": "All of it."}, ""},
		{"a path that ends in a dot", edits{"spec/fields/0/path": "spec.bucket."}, `spec.fields[0].path: Invalid value: "spec.bucket.": is no path behind "spec.bucket."`},
		{"a path through a list", edits{"spec/fields/0/path": "spec.targets[name].bucket"}, ""},
		{"a Reference to nothing", edits{"spec/fields/0/form": "Reference"}, "spec.fields[0].to: Invalid value: to is required when form is Reference"},
		{"a target of what is no Reference", edits{"spec/fields/0/to": map[string]any{"resource": "stores"}}, "spec.fields[0].to: Invalid value: is only for form Reference"},
		{"a Join without type", edits{"spec/fields/0/form": "Join"}, "spec.fields[0].type: Invalid value: type is required when form is Join"},
		{"a form that is none", edits{"spec/fields/0/form": "Guess"}, "spec.fields[0].form: Unsupported value"},
	},
	"Guard": {
		{"the least", edits{}, ""},
		{"empty maps", edits{"spec/addresses": noMembers, "spec/crossings": noMembers, "spec/environments": noMembers}, ""},
		{"addresses null", edits{"spec/addresses": nil}, "spec.addresses"},
		{"an owner that is a number", edits{"spec/addresses": map[string]any{"a": int64(1)}}, "spec.addresses.a"},
		{"a class that is none", edits{"spec/environments/production": "Live"}, "spec.environments.production: Unsupported value"},
		{"crossings one level deep", edits{"spec/crossings/production": "staging"}, "spec.crossings.production"},
		{"a depth that is a text", edits{"spec/depths": []any{"2"}}, "spec.depths[0]"},
	},
}

var _ = Describe("Creating", func() {
	for kind, rows := range creates {
		Context(kind, func() {
			for _, r := range rows {
				verb := "accepts: "
				if r.want != "" {
					verb = "refuses: "
				}
				It(verb+r.what, func(ctx SpecContext) {
					expectAnswer(try(ctx, least(kind, "new", r.set)), r.want)
				})
			}
		})
	}

	It("refuses a misspelt field from kubectl, and names it", func(ctx SpecContext) {
		_, err := env.KubectlInput(ctx, server, `{apiVersion: skott.dev/v1alpha1, kind: Environment,
			metadata: {name: x}, spec: {stage: staging, clas: NonProduction}}`, "apply", "-f", "-")
		Expect(err).To(MatchError(ContainSubstring(`unknown field "spec.clas"`)))
	})
})

// expectAnswer compares the answer of the API server with what a row wants.
func expectAnswer(err error, want string) {
	GinkgoHelper()
	if want == "" {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	Expect(err).To(MatchError(ContainSubstring(want)))
}
