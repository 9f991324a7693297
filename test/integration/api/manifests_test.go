// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/config/crd"
)

// build is what kubectl kustomize makes of a folder of config/.
func build(ctx context.Context, folder string) []*unstructured.Unstructured {
	GinkgoHelper()
	output, err := env.Kubectl(ctx, server, "kustomize", folder)
	Expect(err).NotTo(HaveOccurred())
	var out []*unstructured.Unstructured
	for text := range strings.SplitSeq(output, "\n---\n") {
		out = append(out, parse(text))
	}
	return out
}

func config(folder string) string { return filepath.Join(root, "config", folder) }

// withComponents is a folder with config/default, all components and an image.
func withComponents() string {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	here, err := filepath.Abs(root)
	Expect(err).NotTo(HaveOccurred())
	top, err := filepath.Rel(folder, here)
	Expect(err).NotTo(HaveOccurred())
	content := fmt.Sprintf("resources: [%[1]s/default]\ncomponents: [%[1]s/argocd, %[1]s/audit, %[1]s/guard, %[1]s/prometheus]\n"+
		"images: [{name: ghcr.io/skott-dev/skott, newTag: v9}]\n", filepath.Join(top, "config"))
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(content), 0o600)).To(Succeed())
	return folder
}

// grant is a question to RBAC and its answer.
type grant struct {
	account, verb, group, resource, namespace, name string
	allowed                                         bool
}

const operator, canary, nobody = "skott-operator", "skott-canary", "default"

var grants = []grant{
	{operator, "watch", "skott.dev", "environments", "", "", true},
	{operator, "patch", "skott.dev", "databoundaries", "", "", true},
	{operator, "patch", "skott.dev", "managementclusters/status", "", "", true},
	{operator, "update", "skott.dev", "environments/finalizers", "", "", true},
	{operator, "delete", "skott.dev", "environments", "", "", false},
	{operator, "create", "skott.dev", "databoundaries", "", "", false},
	{operator, "create", "skott.dev", "guards", "", "", true},
	{operator, "create", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", "", true},
	{operator, "update", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "", "", true},
	{operator, "create", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "", false},
	{operator, "patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "guards.skott.dev", true},
	{operator, "patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "environments.skott.dev", false},
	{operator, "watch", "apiextensions.k8s.io", "customresourcedefinitions", "", "guards.skott.dev", true},
	{operator, "list", "apiextensions.k8s.io", "customresourcedefinitions", "", "", true},
	{operator, "create", "apiextensions.k8s.io", "customresourcedefinitions", "", "", true},
	{operator, "delete", "apiextensions.k8s.io", "customresourcedefinitions", "", "guards.skott.dev", false},
	{operator, "get", "", "secrets", "skott-system", "mc-sto2-prod", true},
	{operator, "get", "", "secrets", "argocd", "cluster-a", false},
	{operator, "list", "", "secrets", "", "", false},
	{operator, "create", "", "secrets", "skott-system", "", true}, // the key of fingerprints
	{operator, "create", "", "secrets", "default", "", false},
	{operator, "create", "", "serviceaccounts/token", "skott-system", canary, true},
	{operator, "create", "", "serviceaccounts/token", "skott-system", operator, true},
	{operator, "create", "", "serviceaccounts/token", "skott-system", nobody, false},
	{operator, "create", "", "serviceaccounts/token", "kube-system", operator, false},
	{operator, "create", "coordination.k8s.io", "leases", "skott-system", "", true},
	{operator, "create", "coordination.k8s.io", "leases", "kube-system", "", false},
	{operator, "create", "events.k8s.io", "events", "default", "", true},
	{operator, "list", "", "namespaces", "", "", true},
	{operator, "patch", "", "namespaces", "", "default", false},
	{operator, "create", "", "pods", "skott-system", "", false},
	{operator, "escalate", "rbac.authorization.k8s.io", "clusterroles", "", "", false},
	{operator, "impersonate", "", "users", "", "", false},
	{canary, "create", "", "pods", "skott-system", "", true},
	{canary, "create", "", "secrets", "skott-system", "", true},
	{canary, "create", "", "configmaps", "skott-system", "", true},
	{canary, "create", "", "services", "skott-system", "", true},
	{canary, "create", "", "persistentvolumeclaims", "skott-system", "", true},
	{canary, "create", "", "pods", "default", "", false},
	{canary, "get", "", "secrets", "skott-system", "mc-sto2-prod", false},
	{canary, "patch", "", "secrets", "skott-system", "mc-sto2-prod", false},
	{canary, "patch", "", "namespaces", "", "skott-system", true},
	{canary, "patch", "", "namespaces", "", "default", false},
	{canary, "patch", "skott.dev", "guards", "", "skott", true},
	{canary, "create", "skott.dev", "guards", "", "", true},
	{canary, "delete", "skott.dev", "guards", "", "skott", false},
	{canary, "patch", "skott.dev", "environments", "", "", false},
	{nobody, "get", "skott.dev", "datalocations", "", "", false},
}

var _ = Describe("The manifests", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		_, err := env.Kubectl(ctx, server, "apply", "--server-side", "--force-conflicts", "-k", config("default"))
		Expect(err).NotTo(HaveOccurred())
	})

	It("of config/default apply again without a change or a warning", func(ctx SpecContext) {
		output, err := env.Kubectl(ctx, server, "apply", "--server-side", "-k", config("default"))
		Expect(err).NotTo(HaveOccurred())
		Expect(output).NotTo(ContainSubstring("Warning"))
	})

	It("of config/default hold every CRD but that of the Guard, which the operator installs", func(ctx SpecContext) {
		var names []string
		for _, o := range build(ctx, config("default")) {
			if o.GetKind() == "CustomResourceDefinition" {
				names = append(names, o.GetName())
			}
		}
		guard, err := crd.Guard()
		Expect(err).NotTo(HaveOccurred())
		Expect(append(names, guard.Name)).To(ConsistOf(func() (all []string) {
			for _, o := range crds() {
				all = append(all, o.GetName())
			}
			return all
		}()))
	})

	It("build with all components", func(ctx SpecContext) {
		var seen []string
		for _, o := range build(ctx, withComponents()) {
			seen = append(seen, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName())
			if o.GetKind() == "Deployment" {
				containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
				Expect(containers[0]).To(HaveKeyWithValue("image", "ghcr.io/skott-dev/skott:v9"))
				Expect(containers[0]).To(HaveKeyWithValue("args", ContainElement("--audit-bind-address=:9444")))
			}
		}
		Expect(seen).To(ContainElements("ServiceMonitor skott-system/skott-operator", "Role argocd/skott-operator", "RoleBinding argocd/skott-operator",
			"Service skott-system/skott-operator-audit"))
	})

	It("hold no wildcard in a role, and aggregate none", func(ctx SpecContext) {
		for _, o := range append(build(ctx, config("default")), parseFile("argocd/role.yaml")) {
			rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
			for _, rule := range rules {
				for field, values := range rule.(map[string]any) {
					Expect(values).NotTo(ContainElement("*"), "%s %s: %s", o.GetKind(), o.GetName(), field)
				}
			}
			for label := range o.GetLabels() {
				Expect(label).NotTo(HavePrefix("rbac.authorization.k8s.io/aggregate"), o.GetName())
			}
		}
	})

	It("run a Pod that the restricted level admits, at the image's own user", func(ctx SpecContext) {
		for _, folder := range []string{config("default"), withComponents()} {
			pods := 0
			for _, o := range build(ctx, folder) {
				if o.GetKind() != "Deployment" {
					continue
				}
				replicas, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
				Expect(replicas).To(BeEquivalentTo(2))
				spec, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
				pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": spec}}
				pod.SetName("restricted")
				pod.SetNamespace("skott-system")
				Expect(c.Create(ctx, pod.DeepCopy(), client.DryRunAll)).To(Succeed())
				edit(pod.Object, []string{"spec", "containers", "0", "securityContext", "allowPrivilegeEscalation"}, true)
				Expect(c.Create(ctx, pod, client.DryRunAll)).To(MatchError(ContainSubstring(`violates PodSecurity "restricted:latest"`)))
				pods++
			}
			Expect(pods).To(Equal(1), folder)
		}
	})

	It("grant the two accounts what they need and no more", func(ctx SpecContext) {
		for _, g := range grants {
			resource, subresource, _ := strings.Cut(g.resource, "/")
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:   "system:serviceaccount:skott-system:" + g.account,
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:skott-system", "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: g.verb, Group: g.group, Resource: resource,
					Subresource: subresource, Namespace: g.namespace, Name: g.name},
			}}
			Expect(c.Create(ctx, review)).To(Succeed())
			Expect(review.Status.Allowed).To(Equal(g.allowed), "%+v", g)
		}
	})

	It("let an editor write all that people write, and no Guard", func(ctx SpecContext) {
		Expect(server.ApplyYAML(ctx, []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: alice}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: skott-editor}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}]`))).To(Succeed())
		config, err := server.ConfigFor("alice")
		Expect(err).NotTo(HaveOccurred())
		alice, err := client.New(config, client.Options{})
		Expect(err).NotTo(HaveOccurred())
		for kind := range minimal {
			err := alice.Create(ctx, least(kind, "by-alice", nil), client.DryRunAll)
			if kind == "Guard" {
				Expect(err).To(MatchError(ContainSubstring("guards.skott.dev is forbidden")))
				continue
			}
			Expect(err).NotTo(HaveOccurred(), kind)
		}
	})

	It("of config/samples apply, and apply again unchanged", func(ctx SpecContext) {
		_, err := env.Kubectl(ctx, server, "apply", "-k", config("samples"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) error {
			_, err := env.Kubectl(ctx, server, "delete", "-k", config("samples"))
			return err
		})
		output, err := env.Kubectl(ctx, server, "apply", "-k", config("samples"))
		Expect(err).NotTo(HaveOccurred())
		Expect(output).NotTo(ContainSubstring("Warning"))
		for line := range strings.SplitSeq(strings.TrimSpace(output), "\n") {
			Expect(line).To(HaveSuffix(" unchanged"))
		}
	})

	It("of config/samples name only Environments that they hold", func(ctx SpecContext) {
		environments, named := map[string]bool{}, map[string]bool{}
		for _, o := range build(ctx, config("samples")) {
			if o.GetKind() == "Environment" {
				environments[o.GetName()] = true
			}
			if name, ok, _ := unstructured.NestedString(o.Object, "spec", "environmentRef", "name"); ok {
				named[name] = true
			}
		}
		Expect(named).To(Equal(environments))
	})
})

// parseFile is the first document of a file of config/.
func parseFile(name string) *unstructured.Unstructured {
	GinkgoHelper()
	content, err := os.ReadFile(config(name))
	Expect(err).NotTo(HaveOccurred())
	first, _, _ := strings.Cut(string(content), "\n---\n")
	return parse(first)
}
