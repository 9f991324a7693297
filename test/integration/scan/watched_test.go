// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// unknownKind is how an API server that does not know the kind Guard refuses what a policy matches.
const unknownKind = "failed to configure policy: failed to find resource referenced by paramKind"

// innocent tries to write an object of several families, none of which crosses.
func innocent(ctx context.Context, s *testenv.Server) error {
	in := metav1.ObjectMeta{Namespace: "default", Name: "innocent"}
	return errors.Join(
		s.Client().Create(ctx, filled(configMap("default", "innocent"), "web.db.stage.example"), client.DryRunAll),
		s.Client().Create(ctx, &corev1.Secret{ObjectMeta: in}, client.DryRunAll),
		s.Client().Create(ctx, &corev1.Service{ObjectMeta: in, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.db.stage.example"}}, client.DryRunAll),
	)
}

// crossing tries to write an object that gets at production.
func crossing(ctx context.Context, s *testenv.Server) error {
	return s.Client().Create(ctx, filled(configMap("default", "crossing"), "orders.db.prod.example"), client.DryRunAll)
}

// namespace tries to write a Namespace, whose labels are guarded whatever the boundaries say.
func namespace(ctx context.Context, s *testenv.Server) error {
	return s.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "another"}}, client.DryRunAll)
}

// failing are the policies of Skott that a server holds, by how they fail.
func failing(ctx context.Context, s *testenv.Server) map[admissionv1.FailurePolicyType][]string {
	GinkgoHelper()
	list := &admissionv1.ValidatingAdmissionPolicyList{}
	Expect(s.Client().List(ctx, list, client.MatchingLabels{skottv1.LabelManagedBy: skottv1.FieldOwner})).To(Succeed())
	out := map[admissionv1.FailurePolicyType][]string{}
	for i := range list.Items {
		out[*list.Items[i].Spec.FailurePolicy] = append(out[*list.Items[i].Spec.FailurePolicy], list.Items[i].Name)
	}
	return out
}

// blind starts a server anew that does not know the kind Guard, while no operator puts that right. It is as every
// server may be for half a minute after it started.
func blind(ctx context.Context, s *testenv.Server) {
	GinkgoHelper()
	Expect(operator.Stop()).To(Succeed())
	config, err := s.ConfigFor(policy.Operator, "system:masters")
	Expect(err).NotTo(HaveOccurred())
	skott, err := testenv.ClientOf(config)
	Expect(err).NotTo(HaveOccurred())
	crd := named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", policy.GuardCRD)
	Expect(skott.Delete(ctx, crd)).To(Succeed())
	Eventually(func() error { return skott.Get(ctx, client.ObjectKeyFromObject(crd), crd) }).WithContext(ctx).WithTimeout(30 * time.Second).
		Should(MatchError(ContainSubstring("not found")))
	Expect(s.Restart(ctx)).To(Succeed())
	Eventually(func() error { return namespace(ctx, s) }).WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(100 * time.Millisecond).
		Should(MatchError(ContainSubstring(unknownKind)))
}

// watchThenDeny is the last story of the platform: from a boundary that only watches to its first refusal.
func watchThenDeny(ctx SpecContext) {
	Expect(ops.Declare(ctx, platform)).To(Succeed())
	watched, err := env.NewServer(ctx, testenv.Options{Name: "watched"})
	Expect(err).NotTo(HaveOccurred())
	Expect(ops.Connect(ctx, "mc-watched", "staging", watched.Kubeconfig(), "learn: {disabled: true}")).To(Succeed())
	mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc-watched"}}
	soon(ctx, 2*time.Minute, func(g Gomega) { g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionGuarded)).To(HavePrefix("True/")) })
	Expect(failing(ctx, watched)[admissionv1.Fail]).To(ConsistOf("skott-cluster", "skott-guard"), "they refuse whatever the boundaries say")
	Expect(failing(ctx, watched)[admissionv1.Ignore]).To(ContainElements("skott-storage", "skott-network", "skott-workload", "skott-config", "skott-delivery"))
	Expect(crossing(ctx, watched)).To(Succeed())

	By("starting its API server while that does not know the Guard")
	blind(ctx, watched)
	Expect(innocent(ctx, watched)).To(Succeed())
	Expect(failing(ctx, watched)).To(HaveKey(admissionv1.Ignore))

	By("denying for the first time, when it was put right")
	Expect(operator.Start(ctx)).To(Succeed())
	soon(ctx, 2*time.Minute, func(g Gomega) { // as docs/operations.md says to wait for it
		_, err := env.Kubectl(ctx, watched, "create", "namespace", "skott-wait", "--dry-run=server")
		g.Expect(err).NotTo(HaveOccurred())
	})
	Expect(innocent(ctx, watched)).To(Succeed())
	soon(ctx, 2*time.Minute, func(g Gomega) { g.Expect(suite.Asks(ctx, hub, mc, skottv1.ConditionGuarded)).To(HavePrefix("True/")) })
	began := time.Now()
	change(ctx, `{"spec":{"action":"Deny"}}`)
	Eventually(func() error { return crossing(ctx, watched) }).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(50 * time.Millisecond).
		Should(MatchError(ContainSubstring(`crosses DataBoundary "customer-data"`)))
	Expect(failing(ctx, watched)).NotTo(HaveKey(admissionv1.Ignore))
	AddReportEntry(fmt.Sprintf("the first crossing was refused after %s", time.Since(began).Round(10*time.Millisecond)))
	Expect(innocent(ctx, watched)).To(Succeed())

	By("starting its API server while that does not know the Guard")
	blind(ctx, watched)
	for _, err := range []error{innocent(ctx, watched), crossing(ctx, watched)} {
		Expect(err).To(MatchError(ContainSubstring(unknownKind)))
	}
}
