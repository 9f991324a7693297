// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

var (
	inStaging = []string{
		"staging sto2 mc-staging ConfigMap 2", "staging sto2 mc-staging Service 1",
		"staging sto2 mc-staging Deployment.apps 1", "staging sto2 mc-staging BackupStorageLocation.velero.io 1",
	}
	inProduction = "production osl2 mc-production Deployment.apps 1"
	reported     = []string{
		"ConfigMap shop/orders", "ConfigMap kube-system/dns-of-old", "Service shop/orders-db",
		"Deployment shop/importer", "BackupStorageLocation velero/default",
	}
)

var _ = Describe("A platform that is older than its guard", Ordered, func() {
	It("is found to cross within a minute, in every namespace, with where and since when", func(ctx SpecContext) {
		Expect(ops.ApplyYAML(ctx, []byte(platform))).To(Succeed())
		join(ctx, production, "osl2")
		join(ctx, staging, "sto2")
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf(append([]string{inProduction}, inStaging...)))
		})
		b := boundary(ctx)
		Expect(b.Status.Violations).To(HaveValue(BeEquivalentTo(6)))
		Expect(says(b, skottv1.ConditionNoViolations)).To(And(HavePrefix("False/Violations: 6 objects cross, the first since "),
			ContainSubstring("2 ConfigMap in mc-staging")))
		AddReportEntry("NoViolations", says(b, skottv1.ConditionNoViolations))

		By("reporting each of them beside it, and nothing of the innocent")
		soon(ctx, 30*time.Second, func(g Gomega) { g.Expect(reports(ctx, staging)).To(ConsistOf(reported)) })
	}, SpecTimeout(2*time.Minute))
})
