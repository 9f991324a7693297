// SPDX-License-Identifier: Apache-2.0

// Package reports_test writes reports into a real API server that serves the CRDs of
// OpenReports and of PolicyReports as their projects publish them.
package reports_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/report"
	"github.com/skott-dev/skott/internal/status"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

var (
	server  *testenv.Server
	objects dynamic.Interface
	writer  fleet.Reports
	// crossings are a Service and a Namespace that are there.
	service, space status.Finding
)

func TestReports(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Reports Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	_, servers := suite.Start(ctx, "reports", testenv.Options{Name: "cluster"})
	server = servers[0]
	crds, err := testenv.CRDs(ctx, testenv.OpenReports, testenv.PolicyReports)
	Expect(err).NotTo(HaveOccurred())
	Expect(server.Install(ctx, crds...)).To(Succeed())
	objects, err = dynamic.NewForConfig(server.Config())
	Expect(err).NotTo(HaveOccurred())
	writer = fleet.Reports{Client: objects, Timeout: 10 * time.Second}

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "orders.db.prod.example"}}
	Expect(server.Client().Create(ctx, ns)).To(Succeed())
	Expect(server.Client().Create(ctx, svc)).To(Succeed())
	crossing := []status.Violation{{Boundary: "customer-data", Action: skottv1.ActionDeny, Code: "D101", Path: "spec.externalName",
		From: "production", To: "staging", Message: "D101: spec.externalName is of production"}}
	service = status.Finding{APIVersion: "v1", Kind: "Service", Resource: "services", Namespace: "shop", Name: "db", UID: svc.UID, Violations: crossing, Since: time.Now()}
	space = status.Finding{APIVersion: "v1", Kind: "Namespace", Resource: "namespaces", Name: "shop", UID: ns.UID, Violations: crossing, Since: time.Now()}
}, NodeTimeout(3*time.Minute))

// reports are all there are of an API, by KIND NAMESPACE/NAME.
func reports(ctx context.Context, api report.API) map[string]*unstructured.Unstructured {
	GinkgoHelper()
	out := map[string]*unstructured.Unstructured{}
	namespaced, cluster := api.Resources()
	for _, lister := range []dynamic.NamespaceableResourceInterface{objects.Resource(namespaced), objects.Resource(cluster)} {
		list, err := lister.List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		for i := range list.Items {
			u := &list.Items[i]
			out[u.GetKind()+" "+client.ObjectKeyFromObject(u).String()] = u
		}
	}
	return out
}

var _ = Describe("The reports of a cluster", func() {
	for _, api := range report.APIs {
		It("are exactly those of what crosses, in "+api.Group, func(ctx SpecContext) {
			groups := []string{"apps", api.Group}
			inNamespace, beside := api.Kind+" shop/skott-"+string(service.UID), "Cluster"+api.Kind+" /skott-"+string(space.UID)
			foreign := &unstructured.Unstructured{}
			foreign.SetGroupVersionKind(api.WithKind(api.Kind))
			foreign.SetNamespace("shop")
			foreign.SetName("somebody-elses")
			namespaced, _ := api.Resources()
			_, err := objects.Resource(namespaced).Namespace("shop").Create(ctx, foreign, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			theirs := api.Kind + " shop/somebody-elses"

			Expect(writer.Hold(ctx, groups, []status.Finding{service, space})).To(Succeed())
			written := reports(ctx, api)
			Expect(written).To(And(HaveLen(3), HaveKey(inNamespace), HaveKey(beside), HaveKey(theirs)))
			u := written[inNamespace]
			Expect(u.GetOwnerReferences()).To(ConsistOf(HaveField("UID", service.UID)))
			results, _, err := unstructured.NestedSlice(u.Object, "results")
			Expect(err).NotTo(HaveOccurred())
			Expect(results).To(ConsistOf(And(HaveKeyWithValue("result", "fail"), HaveKeyWithValue("policy", "customer-data"), HaveKeyWithValue("rule", "D101"),
				HaveKeyWithValue("message", ContainSubstring("spec.externalName")), HaveKeyWithValue("properties", HaveKeyWithValue("fromEnvironment", "production")))),
				"the API server prunes what the schema does not know")
			Expect(u.Object["scope"]).To(HaveKeyWithValue("uid", string(service.UID)))

			By("writing nothing when nothing changed, and putting back what somebody changed")
			Expect(writer.Hold(ctx, groups, []status.Finding{service, space})).To(Succeed())
			Expect(reports(ctx, api)[inNamespace].GetResourceVersion()).To(Equal(u.GetResourceVersion()))
			changed := u.DeepCopy()
			Expect(unstructured.SetNestedField(changed.Object, int64(0), "summary", "fail")).To(Succeed())
			Expect(server.Client().Update(ctx, changed)).To(Succeed())
			Expect(writer.Hold(ctx, groups, []status.Finding{service, space})).To(Succeed())
			Expect(reports(ctx, api)[inNamespace].Object["summary"]).To(HaveKeyWithValue("fail", BeEquivalentTo(1)))

			By("leaving it as it is after a restart, which finds everything anew")
			u = reports(ctx, api)[inNamespace]
			again := service
			again.Since = again.Since.Add(time.Hour)
			Expect(writer.Hold(ctx, groups, []status.Finding{again, space})).To(Succeed())
			Expect(reports(ctx, api)[inNamespace].GetResourceVersion()).To(Equal(u.GetResourceVersion()))

			By("deleting what was corrected, and nothing of others")
			Expect(writer.Hold(ctx, groups, []status.Finding{space})).To(Succeed())
			Expect(reports(ctx, api)).To(And(HaveLen(2), HaveKey(beside), HaveKey(theirs)))
			Expect(writer.Hold(ctx, groups, nil)).To(Succeed())
			Expect(reports(ctx, api)).To(And(HaveLen(1), HaveKey(theirs)))
			Expect(objects.Resource(namespaced).Namespace("shop").Delete(ctx, "somebody-elses", metav1.DeleteOptions{})).To(Succeed())
		}, SpecTimeout(time.Minute))
	}

	It("of other clusters stand in one namespace, and those of a cluster that is not known yet stay", func(ctx SpecContext) {
		groups := []string{report.OpenReports.Group, report.PolicyReports.Group}
		Expect(writer.Hold(ctx, groups, []status.Finding{service})).To(Succeed())
		own := "Report shop/skott-" + string(service.UID)
		other := service
		other.UID = "0f0e0d0c-0000-4000-8000-000000000001"
		all := map[string][]status.Finding{"mc": {space}, "mc/customer/shop": {other}}
		nobody := func(string) bool { return false }
		all["mc/copy/shop"] = []status.Finding{other} // an API server that was restored from the other's backup
		about := func(cluster string, uid types.UID) string {
			sum := sha256.Sum256([]byte(cluster))
			return fmt.Sprintf("Report default/mc-%x-%s", sum[:4], uid)
		}

		Expect(writer.Central(ctx, groups, "default", all, nobody)).To(Succeed())
		written := reports(ctx, report.OpenReports)
		Expect(written).To(And(HaveLen(4), HaveKey(own), HaveKey(about("mc", space.UID)), HaveKey(about("mc/copy/shop", other.UID))))
		u := written[about("mc/customer/shop", other.UID)]
		Expect(u.GetOwnerReferences()).To(BeEmpty(), "nothing here owns it, or it would be collected")
		Expect(u.GetAnnotations()).To(HaveKeyWithValue(skottv1.AnnotationCluster, "mc/customer/shop"))
		Expect(u.GetLabels()).To(HaveKeyWithValue(skottv1.LabelManagementCluster, "mc"))
		results, _, err := unstructured.NestedSlice(u.Object, "results")
		Expect(err).NotTo(HaveOccurred())
		Expect(results).To(ConsistOf(HaveKeyWithValue("properties", HaveKeyWithValue("cluster", "mc/customer/shop"))))

		By("keeping what is about a cluster of which nothing is known, and writing nothing twice")
		Expect(writer.Central(ctx, groups, "default", map[string][]status.Finding{"mc": {space}}, func(cluster string) bool { return cluster == "mc/customer/shop" })).To(Succeed())
		Expect(reports(ctx, report.OpenReports)[about("mc/customer/shop", other.UID)].GetResourceVersion()).To(Equal(u.GetResourceVersion()))
		By("deleting what was corrected there, and what is about a cluster that is gone")
		Expect(writer.Central(ctx, groups, "default", map[string][]status.Finding{"mc": nil}, nobody)).To(Succeed())
		Expect(reports(ctx, report.OpenReports)).To(And(HaveLen(1), HaveKey(own)))
		Expect(writer.Hold(ctx, groups, nil)).To(Succeed())
		Expect(reports(ctx, report.OpenReports)).To(BeEmpty())
	}, SpecTimeout(time.Minute))

	It("are of OpenReports alone where both are served, and none are where neither is", func(ctx SpecContext) {
		Expect(writer.Hold(ctx, []string{"apps"}, []status.Finding{service})).To(Succeed())
		Expect(reports(ctx, report.OpenReports)).To(BeEmpty())
		Expect(writer.Hold(ctx, []string{report.PolicyReports.Group}, []status.Finding{service})).To(Succeed())
		Expect(reports(ctx, report.PolicyReports)).To(HaveLen(1))
		Expect(writer.Hold(ctx, []string{report.OpenReports.Group, report.PolicyReports.Group}, []status.Finding{service})).To(Succeed())
		Expect(reports(ctx, report.PolicyReports)).To(BeEmpty())
		Expect(reports(ctx, report.OpenReports)).To(HaveLen(1))
	}, SpecTimeout(time.Minute))

	It("are written although one of them cannot be", func(ctx SpecContext) {
		nowhere := service
		nowhere.Namespace, nowhere.UID = "gone", "1"
		Expect(writer.Hold(ctx, []string{report.OpenReports.Group}, []status.Finding{nowhere, service, space})).To(MatchError(ContainSubstring(`"gone" not found`)))
		Expect(reports(ctx, report.OpenReports)).To(HaveLen(2))
	}, SpecTimeout(time.Minute))
})
