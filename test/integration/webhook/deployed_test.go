// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/suite"
)

// Nothing here runs pods: that the operator gives a cluster all that runs the webhook, and
// does not let it decide, is what can be seen of it.
var _ = Describe("An operator with an image of the guard webhook", Ordered, func() {
	const image = "registry.example/skott@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	var ops, there client.Client
	all := func() []client.Object {
		guard := metav1.ObjectMeta{Namespace: namespace, Name: "skott-guard"}
		return []client.Object{
			&appsv1.Deployment{ObjectMeta: guard}, &corev1.Service{ObjectMeta: guard}, &policyv1.PodDisruptionBudget{ObjectMeta: guard},
			&corev1.ServiceAccount{ObjectMeta: guard}, &corev1.Secret{ObjectMeta: named(namespace, "skott-guard-tls")},
			&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: policy.WebhookProbe}},
		}
	}
	said := func(ctx context.Context) string {
		return suite.Asks(ctx, ops, suite.ManagementCluster("mc"), skottv1.ConditionWebhookActs)
	}

	BeforeAll(func(ctx SpecContext) {
		var kubeconfig []byte
		ops, kubeconfig = suite.Install(ctx, env, hub)
		there = clientOf(deployed.Config())
		Expect(hub.Declare(ctx, "Environment staging {stage: staging}")).To(Succeed())
		Expect(hub.Connect(ctx, "mc", "staging", deployed.Kubeconfig())).To(Succeed())
		operator, err := env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s", "--guard-image="+image)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(operator.Stop)
	}, NodeTimeout(4*time.Minute))

	It("deploys it, says that it does not act, and lets it decide nothing", func(ctx SpecContext) {
		Eventually(said).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(200 * time.Millisecond).Should(HavePrefix("False/" + skottv1.ReasonWebhookAway + ": "))
		AddReportEntry("what the ManagementCluster says", said(ctx))
		Eventually(func(g Gomega) {
			for _, o := range all() {
				g.Expect(there.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed(), "%T", o)
			}
		}).WithTimeout(30 * time.Second).Should(Succeed())
		deployment := &appsv1.Deployment{}
		Expect(there.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "skott-guard"}, deployment)).To(Succeed())
		Expect(deployment.Spec.Template.Spec.Containers[0].Image).To(Equal(image))
		Consistently(func() bool {
			return apierrors.IsNotFound(there.Get(ctx, client.ObjectKeyFromObject(configuration()), configuration()))
		}).WithTimeout(5 * time.Second).Should(BeTrue())
		Expect(there.Create(ctx, secret("default", "s", innocent))).To(Succeed())
	}, SpecTimeout(3*time.Minute))

	It("puts it back", func(ctx SpecContext) {
		Expect(there.Delete(ctx, &appsv1.Deployment{ObjectMeta: named(namespace, "skott-guard")})).To(Succeed())
		service := &corev1.Service{}
		Expect(there.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "skott-guard"}, service)).To(Succeed())
		service.Spec.Selector["somebody"] = "else"
		Expect(there.Update(ctx, service)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(there.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "skott-guard"}, &appsv1.Deployment{})).To(Succeed())
			g.Expect(there.Get(ctx, client.ObjectKeyFromObject(service), service)).To(Succeed())
			g.Expect(service.Spec.Selector).To(HaveLen(1))
		}).WithTimeout(30 * time.Second).Should(Succeed())
	}, SpecTimeout(time.Minute))

	It("gives it the key of fingerprints while there are any, or may be", func(ctx SpecContext) {
		given := &corev1.Secret{ObjectMeta: named(namespace, "skott-guard-key")}
		gone := func() bool { return apierrors.IsNotFound(there.Get(ctx, client.ObjectKeyFromObject(given), given)) }
		Expect(gone()).To(BeTrue())
		mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc"}}
		Expect(ops.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"learn":{"secrets":true}}}`)))).To(Succeed())
		made := &corev1.Secret{ObjectMeta: named(namespace, "skott-fingerprints")}
		Eventually(func(g Gomega) {
			g.Expect(ops.Get(ctx, client.ObjectKeyFromObject(made), made)).To(Succeed())
			g.Expect(made.Data["key"]).To(HaveLen(32))
			g.Expect(there.Get(ctx, client.ObjectKeyFromObject(given), given)).To(Succeed())
			g.Expect(given.Data).To(Equal(made.Data))
		}).WithTimeout(30 * time.Second).Should(Succeed())
		known := &skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: "credential"}, Spec: skottv1.DataLocationSpec{
			EnvironmentRef: skottv1.EnvironmentReference{Name: "staging"},
			Addresses:      []skottv1.Address{{Type: skottv1.AddressType(address.Credential), Value: address.NewKey(made.Data["key"]).Fingerprint(credential).String()}},
		}}
		Expect(ops.Create(ctx, known)).To(Succeed())
		Expect(ops.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"learn":null}}`)))).To(Succeed())
		Consistently(gone).WithTimeout(4 * time.Second).Should(BeFalse())
		Expect(ops.Delete(ctx, known)).To(Succeed())
		Eventually(gone).WithTimeout(30 * time.Second).Should(BeTrue())
	}, SpecTimeout(2*time.Minute))

	It("takes it away when it is turned off", func(ctx SpecContext) {
		mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc"}}
		Expect(ops.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"webhook":{"mode":"Off"}}}`)))).To(Succeed())
		Eventually(func(g Gomega) {
			for _, o := range all() {
				g.Expect(apierrors.IsNotFound(there.Get(ctx, client.ObjectKeyFromObject(o), o))).To(BeTrue(), "%T", o)
			}
			g.Expect(said(ctx)).To(ContainSubstring("/" + skottv1.ReasonWebhookOff + ": "))
		}).WithTimeout(time.Minute).Should(Succeed())
	}, SpecTimeout(2*time.Minute))
})
