// SPDX-License-Identifier: Apache-2.0

// Package parity_test compares a staging cluster with one of production, on real API servers: what protects production
// must be named when staging lacks it, and nothing else.
package parity_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

var (
	env                      *testenv.Env
	ops, production, staging *testenv.Server
	hub                      client.Client
)

func TestParity(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Parity Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "parity", suite.Named("ops", "production", "staging")...)
	ops, production, staging = servers[0], servers[1], servers[2]
	var kubeconfig []byte
	hub, kubeconfig = suite.Install(ctx, env, ops)
	for _, s := range servers[1:] {
		Expect(ops.Declare(ctx, "Environment "+s.Name()+" {stage: "+s.Name()+"}")).To(Succeed())
		Expect(ops.Connect(ctx, "mc-"+s.Name(), s.Name(), s.Kubeconfig())).To(Succeed())
	}
	operator, err := env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s", "--survey-interval=1s", "--zap-log-level=debug")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(operator.Stop)
}, NodeTimeout(4*time.Minute))

// measures are what protects production here.
const measures = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: signed-images}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [nothing.example], apiVersions: [v1], operations: [CREATE], resources: [things]}]}
  validations: [{expression: "true"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: signed-images}
spec: {policyName: signed-images, validationActions: [%s]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: sidecars}
webhooks:
- name: inject.sidecars.example
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
  clientConfig: {url: "https://127.0.0.1:9/x"}
  rules: [{apiGroups: [nothing.example], apiVersions: [v1], operations: [CREATE], resources: [things]}]
---
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: web}
spec: {podSelector: {}}
`

// onlyHere are no measures that another cluster should have.
const onlyHere = `
apiVersion: v1
kind: Namespace
metadata: {name: production-alone, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: limits-of-mc-production}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [nothing.example], apiVersions: [v1], operations: [CREATE], resources: [things]}]}
  validations: [{expression: "true"}]
`

func environment(ctx context.Context, name string) *skottv1.Environment {
	GinkgoHelper()
	e := &skottv1.Environment{}
	Expect(hub.Get(ctx, client.ObjectKey{Name: name}, e)).To(Succeed())
	return e
}

// says is STATUS/REASON: MESSAGE of condition SecurityParity.
func says(ctx context.Context, name string) string {
	return suite.Asks(ctx, hub, suite.Environment(name), skottv1.ConditionSecurityParity)
}

func eventually(ctx context.Context, want OmegaMatcher) {
	GinkgoHelper()
	Eventually(func() string { return says(ctx, "staging") }).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).Should(want)
}

var _ = Describe("Security parity", Ordered, func() {
	It("holds between clusters that have nothing but Skott", func(ctx SpecContext) {
		eventually(ctx, HavePrefix("True/Parity: 1 clusters have all 1 security measures of production"))
		Expect(says(ctx, "production")).To(Equal("none"))
	}, SpecTimeout(2*time.Minute))

	It("names what production has and staging lacks", func(ctx SpecContext) {
		Expect(staging.ApplyYAML(ctx, []byte("{apiVersion: v1, kind: Namespace, metadata: {name: web}}"))).To(Succeed())
		Expect(production.ApplyYAML(ctx, fmt.Appendf(nil, measures, "Deny"))).To(Succeed())
		Expect(production.ApplyYAML(ctx, []byte(onlyHere))).To(Succeed())
		eventually(ctx, And(HavePrefix("False/MeasuresMissing: 5 of 6 security measures of production are missing or weaker"),
			ContainSubstring("ValidatingAdmissionPolicy signed-images (Fail) in mc-staging"),
			ContainSubstring("ValidatingAdmissionPolicyBinding signed-images (Deny) in mc-staging"),
			ContainSubstring("MutatingWebhookConfiguration sidecars/inject.sidecars.example (Fail) in mc-staging"),
			ContainSubstring("PodSecurity web (restricted) in mc-staging"), ContainSubstring("NetworkPolicy web in mc-staging")))
		p := environment(ctx, "staging").Status.Parity
		Expect(p.MissingCount).To(HaveValue(BeEquivalentTo(5)))
		Expect(p.Missing).To(ContainElement(And(HaveField("Kind", "PodSecurity"), HaveField("Clusters", []string{"mc-staging"}), HaveField("Role", "Management"))))
		AddReportEntry("what the Environment says", says(ctx, "staging"))
	}, SpecTimeout(2*time.Minute))

	It("is satisfied when staging has them too, and not when they are weaker", func(ctx SpecContext) {
		Expect(staging.ApplyYAML(ctx, fmt.Appendf(nil, measures, "Audit"))).To(Succeed())
		eventually(ctx, Equal("False/MeasuresMissing: 1 of 6 security measures of production are missing or weaker: ValidatingAdmissionPolicyBinding signed-images (Deny) in mc-staging"))
		Expect(environment(ctx, "staging").Status.Parity.Missing[0].Weaker).To(HaveValue(BeTrue()))
		Expect(staging.ApplyYAML(ctx, fmt.Appendf(nil, measures, "Deny"))).To(Succeed())
		eventually(ctx, HavePrefix("True/Parity: 1 clusters have all 6 security measures"))
	}, SpecTimeout(2*time.Minute))

	It("says what it may not read, and takes that for no clean result", func(ctx SpecContext) {
		// The scanner's role reads some of the same kinds. Either is granted again by itself, perhaps before the next look.
		takeAway := func() {
			for _, name := range []string{"skott-surveyor", "skott-scanner"} {
				role := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}}
				role.Name = name
				Expect(client.IgnoreNotFound(staging.Client().Delete(ctx, role))).To(Succeed())
			}
		}
		Eventually(func() string { takeAway(); return says(ctx, "staging") }).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).
			Should(And(HavePrefix("Unknown/NotCompared: "), ContainSubstring("NetworkPolicy in mc-staging: forbidden")))
		By("granting it again by itself")
		eventually(ctx, HavePrefix("True/Parity"))
	}, SpecTimeout(3*time.Minute))
})
