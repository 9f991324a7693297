// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionreviewv1 "k8s.io/api/admission/v1"
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
	"github.com/skott-dev/skott/test/testenv"
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

	It("leaves free text to it alone, when told to, and only while it is refused for", func(ctx SpecContext) {
		const byPolicy = "ValidatingAdmissionPolicy 'skott-config'"
		mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc"}}
		webhook := func(spec string) {
			GinkgoHelper()
			Expect(ops.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"webhook":`+spec+`}}`)))).To(Succeed())
		}
		config := func(in, host string) *corev1.ConfigMap {
			return &corev1.ConfigMap{ObjectMeta: named(in, "c"), Data: map[string]string{"url": "postgres://" + host + "/shop"}}
		}
		exact := &corev1.Service{ObjectMeta: named("default", "s"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: foreignHost}}
		create := func(o client.Object) error {
			return there.Create(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll)
		}
		left := func() []string {
			guard := &skottv1.Guard{}
			Expect(there.Get(ctx, client.ObjectKey{Name: "skott"}, guard)).To(Succeed())
			return guard.Spec.Cluster.TextNamespaces
		}
		Expect(hub.Declare(ctx, `Environment production {stage: production}
			DataLocation database {environmentRef: {name: production}, addresses: [{type: Host, value: `+foreignHost+`}]}
			DataBoundary customer-data {action: Deny}`)).To(Succeed())
		Eventually(func() error { return create(config("default", foreignHost)) }).WithTimeout(30 * time.Second).Should(MatchError(ContainSubstring(byPolicy)))

		By("not before it decides")
		port, err := testenv.FreePort()
		Expect(err).NotTo(HaveOccurred())
		url := fmt.Sprintf(`"mode":"URL","url":"https://127.0.0.1:%d","exemptNamespaces":["kube-public"]`, port)
		webhook(`{` + url + `,"textReader":"Webhook"}`)
		Eventually(said).WithContext(ctx).WithTimeout(30 * time.Second).Should(ContainSubstring("it does not answer yet, and decides nothing"))
		Consistently(func() error { return create(config("default", foreignHost)) }).WithTimeout(3 * time.Second).Should(MatchError(ContainSubstring(byPolicy)))
		Expect(left()).To(BeEmpty())

		By("when it does")
		guard, err := env.NewGuard(ctx, "alone", testenv.KubeconfigFor("alone", accountIn(ctx, deployed, there)), port, "--drain=0s")
		Expect(err).NotTo(HaveOccurred())
		Expect(guard.Start(ctx)).To(Succeed())
		DeferCleanup(guard.Stop)
		Eventually(left).WithTimeout(time.Minute).Should(ConsistOf("kube-node-lease", "kube-public", "kube-system", namespace))
		Eventually(func() error { return create(config("default", foreignHost)) }).WithTimeout(30 * time.Second).Should(MatchError(ContainSubstring(denied)))
		Expect(create(config("kube-system", foreignHost))).To(MatchError(ContainSubstring(byPolicy)))
		Expect(create(config("kube-public", foreignHost))).To(MatchError(ContainSubstring(byPolicy)))
		Expect(create(exact)).To(MatchError(ContainSubstring("ValidatingAdmissionPolicy 'skott-network'")))
		Expect(create(config("default", "db.stage.example"))).To(Succeed())
		Eventually(said).WithContext(ctx).WithTimeout(30 * time.Second).Should(HavePrefix("True/"))

		By("while it is away nothing of that passes")
		Expect(guard.Stop()).To(Succeed())
		Expect(create(config("default", foreignHost))).To(MatchError(ContainSubstring(silent)))
		Expect(create(exact)).To(MatchError(ContainSubstring("ValidatingAdmissionPolicy 'skott-network'")))
		Eventually(said).WithContext(ctx).WithTimeout(time.Minute).Should(HavePrefix("False/"))
		Expect(left()).NotTo(BeEmpty(), "it is refused for")
		Expect(guard.Start(ctx)).To(Succeed())
		Eventually(said).WithContext(ctx).WithTimeout(time.Minute).Should(HavePrefix("True/"))

		By("not when another one answers in its place, and not each time anew")
		Expect(guard.Stop()).To(Succeed())
		stop := admitAll(ctx, there, port)
		Eventually(left).WithTimeout(time.Minute).Should(BeEmpty())
		Consistently(func() error { return create(config("default", foreignHost)) }).WithTimeout(12 * time.Second).Should(MatchError(ContainSubstring(byPolicy)))
		Expect(left()).To(BeEmpty())
		stop()
		Expect(guard.Start(ctx)).To(Succeed())
		Eventually(said).WithContext(ctx).WithTimeout(time.Minute).Should(HavePrefix("True/"))
		Eventually(left).WithTimeout(time.Minute).ShouldNot(BeEmpty(), "it is trusted again after half a minute")

		By("nothing passes while it is told otherwise, told again, and turned off")
		crossing := &load{stop: make(chan struct{}), errs: map[string]int{}}
		for range 3 {
			crossing.all.Go(func() { crossing.send(ctx, func() error { return create(config("default", foreignHost)) }) })
		}
		webhook(`{"textReader":"All"}`)
		Eventually(left).WithTimeout(time.Minute).Should(BeEmpty())
		webhook(`{"textReader":"Webhook"}`)
		Eventually(left).WithTimeout(time.Minute).ShouldNot(BeEmpty())
		webhook(`{"mode":"Off","url":null}`)
		Eventually(func() bool {
			return apierrors.IsNotFound(there.Get(ctx, client.ObjectKeyFromObject(configuration()), configuration()))
		}).WithTimeout(time.Minute).Should(BeTrue())
		Eventually(func() error { return create(config("default", foreignHost)) }).WithTimeout(30 * time.Second).Should(MatchError(ContainSubstring(byPolicy)))
		sent, errs := crossing.end()
		Expect(total(errs)).To(Equal(sent), "a crossing was let through")
		Expect(slices.Collect(maps.Keys(errs))).To(ContainElements(ContainSubstring(byPolicy), ContainSubstring(denied)), "one after the other refused")
		Expect(left()).To(BeEmpty())
	}, SpecTimeout(6*time.Minute))
})

// admitAll serves in place of the webhook, with its certificate, and lets everything pass until it is stopped.
func admitAll(ctx context.Context, cluster client.Client, port int) (stop func()) {
	GinkgoHelper()
	s := &corev1.Secret{}
	Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "skott-guard-tls"}, s)).To(Succeed())
	certificate, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	Expect(err).NotTo(HaveOccurred())
	listener, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	Expect(err).NotTo(HaveOccurred())
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		review := &admissionreviewv1.AdmissionReview{}
		if json.NewDecoder(r.Body).Decode(review) == nil && review.Request != nil {
			review.Response = &admissionreviewv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
			_ = json.NewEncoder(w).Encode(review)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	return func() { _ = server.Close() }
}
