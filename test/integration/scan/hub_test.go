// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// late came to staging when nothing of the old was left.
const late = `
apiVersion: v1
kind: ConfigMap
metadata: {name: late, namespace: shop}
data: {url: "https://late.db.prod.example"}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: late}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  nfs: {server: nas.db.prod.example, path: /orders}
`

// central are the reports in the Ops Cluster that are about other clusters, as CLUSTER KIND NAMESPACE/NAME, by name.
func central(ctx context.Context) map[string]string {
	GinkgoHelper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("openreports.io/v1alpha1")
	list.SetKind("ReportList")
	Expect(hub.List(ctx, list, client.InNamespace("skott-system"), client.HasLabels{skottv1.LabelCentral})).To(Succeed())
	out := map[string]string{}
	for i := range list.Items {
		u := &list.Items[i]
		scope, _, err := unstructured.NestedStringMap(u.Object, "scope")
		Expect(err).NotTo(HaveOccurred())
		out[u.GetName()] = fmt.Sprintf("%s %s %s/%s", u.GetAnnotations()[skottv1.AnnotationCluster], scope["kind"], scope["namespace"], scope["name"])
	}
	return out
}

// hubHolds waits until the Ops Cluster has exactly these reports about other clusters.
func hubHolds(ctx context.Context, wanted ...string) {
	GinkgoHelper()
	soon(ctx, 20*time.Second, func(g Gomega) {
		g.Expect(central(ctx)).To(WithTransform(values, ConsistOf(wanted)))
	})
}

func values(all map[string]string) []string {
	out := []string{}
	for _, text := range all {
		out = append(out, text)
	}
	return out
}

// reportTo says where the reports of staging belong.
func reportTo(ctx context.Context, place skottv1.ReportPlace) {
	GinkgoHelper()
	mc := &skottv1.ManagementCluster{}
	mc.Name = "mc-staging"
	Expect(hub.Patch(ctx, mc, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"scan":{"reports":%q}}}`, place)))).To(Succeed())
}

const (
	lateConfig, lateVolume = "mc-staging ConfigMap shop/late", "mc-staging PersistentVolume /late"
	oldShop, oldPreview    = "mc-staging/customer/shop ConfigMap default/old", "mc-staging/customer/shop ConfigMap preview/old"
)

func reportsInTheHub(ctx SpecContext) {
	Expect(staging.ApplyYAML(ctx, []byte(late))).To(Succeed())
	inCluster := ConsistOf("ConfigMap shop/late", "PersistentVolume /late")
	soon(ctx, 20*time.Second, func(g Gomega) { g.Expect(reports(ctx, staging)).To(inCluster) })
	crds, err := testenv.CRDs(ctx, testenv.OpenReports)
	Expect(err).NotTo(HaveOccurred())
	Expect(ops.Install(ctx, crds...)).To(Succeed())

	By("moving them into the Ops Cluster")
	reportTo(ctx, skottv1.ReportsInHub)
	hubHolds(ctx, lateConfig, lateVolume, oldShop, oldPreview)
	soon(ctx, 20*time.Second, func(g Gomega) { g.Expect(reports(ctx, staging)).To(BeEmpty()) })
	output, err := env.Kubectl(ctx, ops, "get", "reports", "-n", "skott-system", "-l", "skott.dev/management-cluster=mc-staging")
	Expect(err).NotTo(HaveOccurred())
	Expect(output).To(MatchRegexp(`(?s)^NAME[^\n]*(\nmc-staging-[0-9a-f]{8}-[0-9a-f-]{36} [^\n]*){4}\n$`))
	AddReportEntry("kubectl get reports", output)

	By("correcting one")
	rounds := completed("mc-staging")
	Expect(staging.Client().Update(ctx, filled(configMap("shop", "late"), "late.db.stage.example"))).To(Succeed())
	hubHolds(ctx, lateVolume, oldShop, oldPreview)
	Expect(completed("mc-staging")).To(BeTemporally("~", rounds, time.Second), "there was no other round")

	By("moving them back")
	reportTo(ctx, skottv1.ReportsInCluster)
	hubHolds(ctx)
	soon(ctx, 20*time.Second, func(g Gomega) { g.Expect(reports(ctx, staging)).To(ConsistOf("PersistentVolume /late")) })
}

func reportsOfWhatIsGone(ctx SpecContext) {
	reportTo(ctx, skottv1.ReportsInHub)
	hubHolds(ctx, lateVolume, oldShop, oldPreview)
	By("deleting the Cluster")
	Expect(staging.UnregisterWorkload(ctx, "customer", "shop")).To(Succeed())
	hubHolds(ctx, lateVolume)
	soon(ctx, 20*time.Second, func(g Gomega) { g.Expect(rows(ctx)).To(ConsistOf("staging sto2 mc-staging PersistentVolume 1")) })
	By("unregistering the ManagementCluster")
	mc := &skottv1.ManagementCluster{}
	mc.Name = "mc-staging"
	Expect(hub.Delete(ctx, mc)).To(Succeed())
	hubHolds(ctx)
	soon(ctx, 20*time.Second, func(g Gomega) { g.Expect(rows(ctx)).To(BeEmpty()) })
}
