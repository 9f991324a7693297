// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
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
		Expect(ops.Declare(ctx, platform)).To(Succeed())
		join(ctx, production, "osl2", production.Kubeconfig())
		join(ctx, staging, "sto2", staging.Kubeconfig())
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf(append([]string{inProduction}, inStaging...)))
		})
		b := boundary(ctx)
		Expect(b.Status.Violations).To(HaveValue(BeEquivalentTo(6)))
		Expect(suite.Says(b, skottv1.ConditionNoViolations)).To(And(HavePrefix("False/Violations: 6 objects cross, the first since "),
			ContainSubstring("2 ConfigMap in mc-staging")))
		AddReportEntry("NoViolations", suite.Says(b, skottv1.ConditionNoViolations))

		By("reporting each of them beside it, and nothing of the innocent")
		soon(ctx, 30*time.Second, func(g Gomega) { g.Expect(reports(ctx, staging)).To(ConsistOf(reported)) })
		Expect(suite.Says(environment(ctx, "staging"), skottv1.ConditionSeparated)).To(HavePrefix("False/"))
		Expect(suite.Says(environment(ctx, "production"), skottv1.ConditionSeparated)).To(HavePrefix("False/"))
		Expect(metric(`skott_violations{`)).To(BeEquivalentTo(6))

		By("doing what the README says")
		output, err := env.Kubectl(ctx, ops, "get", "databoundaries")
		Expect(err).NotTo(HaveOccurred())
		Expect(output).To(MatchRegexp(`(?s)VIOLATIONS.*customer-data +Audit .* 6 `))
		output, err = env.Kubectl(ctx, ops, "describe", "databoundary", "customer-data")
		Expect(err).NotTo(HaveOccurred())
		Expect(output).To(And(MatchRegexp(`Cluster: +mc-staging`), MatchRegexp(`Kind: +BackupStorageLocation.velero.io`),
			MatchRegexp(`Crossing .*ConfigMap kube-system/dns-of-old in cluster mc-staging crosses: .*data\["upstream"\] names host`)))
		AddReportEntry("kubectl describe", output)
	}, SpecTimeout(2*time.Minute))

	It("shows what a draft would refuse beside what is refused", func(ctx SpecContext) {
		Expect(boundary(ctx).Status.Draft).To(BeNil())
		change(ctx, `{"spec":{"draft":{"action":"Deny"}}}`)
		drafted := func(violations, refused int) func(Gomega) {
			return func(g Gomega) {
				g.Expect(boundary(ctx).Status.Draft).To(HaveValue(And(HaveField("Violations", HaveValue(BeEquivalentTo(violations))), HaveField("NewlyRefused", HaveValue(BeEquivalentTo(refused))))))
			}
		}
		soon(ctx, time.Minute, drafted(6, 6))
		Expect(rows(ctx)).To(ConsistOf(append([]string{inProduction}, inStaging...)), "what is enforced is counted as before")

		By("drafting less than is enforced")
		change(ctx, `{"spec":{"draft":{"action":"Warn"}}}`)
		soon(ctx, time.Minute, drafted(6, 0))

		By("enforcing it, and drafting that nothing of staging may get into production either")
		change(ctx, `{"spec":{"action":"Deny","draft":{"action":"Deny","from":{"environments":["staging"]},"to":{"environments":["production"]}}}}`)
		soon(ctx, time.Minute, drafted(0, 0))
		Expect(production.ApplyYAML(ctx, []byte(upstream))).To(Succeed(), "the draft refuses nothing")
		soon(ctx, time.Minute, drafted(1, 1))
		Expect(production.Client().Delete(ctx, configMap("default", "upstream"))).To(Succeed())
		soon(ctx, 10*time.Second, drafted(0, 0))
		change(ctx, `{"spec":{"action":"Audit","draft":null}}`)
		soon(ctx, time.Minute, func(g Gomega) { g.Expect(boundary(ctx).Status.Draft).To(BeNil()) })
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf(append([]string{inProduction}, inStaging...)))
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).NotTo(ContainSubstring("not all was scanned"))
		})
	}, SpecTimeout(6*time.Minute))

	It("sees within seconds what is added and what is corrected, without another round", func(ctx SpecContext) {
		rounds := completed("mc-staging")
		Expect(staging.Client().Create(ctx, filled(configMap("kube-public", "added"), "late.db.prod.example"))).To(Succeed())
		soon(ctx, 10*time.Second, func(g Gomega) { g.Expect(rows(ctx)).To(ContainElement("staging sto2 mc-staging ConfigMap 3")) })
		Expect(staging.Client().Update(ctx, filled(configMap("kube-public", "added"), "late.db.stage.example"))).To(Succeed())
		Expect(staging.Client().Delete(ctx, configMap("shop", "orders"))).To(Succeed())
		Expect(staging.ApplyYAML(ctx, []byte(corrected))).To(Succeed())
		soon(ctx, 10*time.Second, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf(inProduction, "staging sto2 mc-staging ConfigMap 1",
				"staging sto2 mc-staging Deployment.apps 1", "staging sto2 mc-staging BackupStorageLocation.velero.io 1"))
		})
		Expect(completed("mc-staging")).To(BeTemporally("~", rounds, time.Second), "there was no other round")
		soon(ctx, 10*time.Second, func(g Gomega) {
			g.Expect(reports(ctx, staging)).To(ConsistOf("ConfigMap kube-system/dns-of-old", "Deployment shop/importer", "BackupStorageLocation velero/default"))
		})
	}, SpecTimeout(2*time.Minute))

	It("clears what is declared to be shared within seconds", func(ctx SpecContext) {
		Expect(ops.Declare(ctx, shared)).To(Succeed())
		soon(ctx, 10*time.Second, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf(inProduction, "staging sto2 mc-staging Deployment.apps 1", "staging sto2 mc-staging BackupStorageLocation.velero.io 1"))
		})
	}, SpecTimeout(2*time.Minute))

	left := []string{inProduction, "staging sto2 mc-staging Deployment.apps 1", "staging sto2 mc-staging BackupStorageLocation.velero.io 1"}

	It("keeps what it knows of a cluster that does not answer, and says how old that is", func(ctx SpecContext) {
		Expect(staging.Stop()).To(Succeed())
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).To(MatchRegexp(`^False/Violations: 3 objects cross, .*not all was scanned: mc-staging \(does not answer; last scanned 20[0-9T:-]+Z\)`))
		})
		Expect(rows(ctx)).To(ConsistOf(left))
		AddReportEntry("NoViolations", suite.Says(boundary(ctx), skottv1.ConditionNoViolations))

		By("starting the operator anew meanwhile, which then knows only what the status says")
		Expect(operator.Stop()).To(Succeed())
		Expect(operator.Start(ctx)).To(Succeed())
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).To(And(HavePrefix("False/Violations: 3 objects cross"), ContainSubstring("mc-staging (does not answer")))
		})
		Consistently(func() []string { return rows(ctx) }).WithTimeout(5 * time.Second).WithPolling(200 * time.Millisecond).Should(ConsistOf(left))
		Expect(staging.Restart(ctx)).To(Succeed())
		soon(ctx, 2*time.Minute, func(g Gomega) {
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).NotTo(ContainSubstring("not all was scanned"))
		})
		Expect(rows(ctx)).To(ConsistOf(left))
	}, SpecTimeout(6*time.Minute))

	It("loses nothing when the operator starts anew, and sees what was corrected meanwhile", func(ctx SpecContext) {
		since := map[string]time.Time{}
		for _, r := range boundary(ctx).Status.Breakdown {
			since[r.Cluster+r.Kind] = r.Since.Time
		}
		Expect(operator.Stop()).To(Succeed())
		Expect(staging.Client().Delete(ctx, named("velero.io/v1", "BackupStorageLocation", "velero", "default"))).To(Succeed())
		Expect(operator.Start(ctx)).To(Succeed())
		fewest := 99
		soon(ctx, time.Minute, func(g Gomega) {
			now := rows(ctx)
			fewest = min(fewest, len(now))
			g.Expect(now).To(ConsistOf(left[:2]))
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).NotTo(ContainSubstring("not all was scanned"))
		})
		Expect(fewest).To(Equal(2), "no row is ever missing")
		for _, r := range boundary(ctx).Status.Breakdown {
			Expect(r.Since.Time).To(Equal(since[r.Cluster+r.Kind]))
		}
	}, SpecTimeout(3*time.Minute))

	It("names kinds that may not be read, and takes that for no clean result", func(ctx SpecContext) {
		By("connecting a cluster with rights that leave out scanning")
		Expect(untouched.ApplyYAML(ctx, fmt.Appendf(nil, limited, ""))).To(Succeed())
		config, err := untouched.ConfigFor("skott-bootstrap")
		Expect(err).NotTo(HaveOccurred())
		join(ctx, untouched, "sto2", testenv.KubeconfigFor("limited", config))
		By("correcting the rest")
		Expect(staging.Client().Delete(ctx, named("apps/v1", "Deployment", "shop", "importer"))).To(Succeed())
		Expect(production.Client().Delete(ctx, named("apps/v1", "Deployment", "default", "exporter"))).To(Succeed())
		soon(ctx, time.Minute, func(g Gomega) {
			g.Expect(rows(ctx)).To(BeEmpty())
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).To(And(
				HavePrefix(`Unknown/NotScanned: nothing is known to cross, but not all was scanned: mc-untouched (ClusterRole "skott-scanner" could not be granted: `),
				ContainSubstring("attempting to grant RBAC permissions not currently held; not read: "), ContainSubstring(": forbidden, ")))
		})
		AddReportEntry("NoViolations", suite.Says(boundary(ctx), skottv1.ConditionNoViolations))

		By("allowing it")
		Expect(untouched.ApplyYAML(ctx, fmt.Appendf(nil, limited, ", skott-scanner"))).To(Succeed())
		soon(ctx, 2*time.Minute, func(g Gomega) {
			g.Expect(suite.Says(boundary(ctx), skottv1.ConditionNoViolations)).To(HavePrefix("True/NoViolations: nothing crosses in the 3 clusters that were scanned"))
		})
	}, SpecTimeout(5*time.Minute))

	It("is found to cross in the Workload Clusters under it too, and in a namespace of another Environment", func(ctx SpecContext) {
		workload, err := env.NewServer(ctx, testenv.Options{Name: "workload"})
		Expect(err).NotTo(HaveOccurred())
		Expect(workload.Client().Create(ctx, filled(configMap("default", "old"), "orders.db.prod.example"))).To(Succeed())
		Expect(workload.ApplyYAML(ctx, []byte(preview))).To(Succeed())
		Expect(ops.Declare(ctx, integration)).To(Succeed())
		Expect(staging.StartClusterAPI(ctx)).To(Succeed())
		Expect(staging.RegisterWorkload(ctx, "customer", "shop", workload)).To(Succeed())
		soon(ctx, 2*time.Minute, func(g Gomega) {
			g.Expect(rows(ctx)).To(ConsistOf("staging sto2 mc-staging/customer/shop ConfigMap 1", "integration sto2 mc-staging/customer/shop ConfigMap 1"))
		})
	}, SpecTimeout(5*time.Minute))

	It("is found to hold what may not be where it is", func(ctx SpecContext) {
		cross := rows(ctx)
		declare := func(namespaces string) {
			staging := &skottv1.Environment{}
			staging.Name = "staging"
			Expect(hub.Patch(ctx, staging, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"customerNamespaces":`+namespaces+`}}`)))).To(Succeed())
		}
		declare(`["customer"]`)
		misplaced := "staging sto2 mc-staging Cluster.cluster.x-k8s.io 1"
		soon(ctx, 30*time.Second, func(g Gomega) { g.Expect(rows(ctx)).To(ConsistOf(append([]string{misplaced}, cross...))) })
		soon(ctx, 10*time.Second, func(g Gomega) {
			g.Expect(reports(ctx, staging)).To(ConsistOf("Cluster customer/shop"))
			output, err := env.Kubectl(ctx, ops, "describe", "databoundary", "customer-data")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(output).To(MatchRegexp(`Cluster customer/shop in cluster mc-staging crosses: .*namespace "customer" holds customers' Clusters.*SKOTT-D402`))
		})
		By("taking that back")
		declare("null")
		soon(ctx, 30*time.Second, func(g Gomega) { g.Expect(rows(ctx)).To(ConsistOf(cross)) })
	}, SpecTimeout(2*time.Minute))

	It("has its reports in the Ops Cluster where that is asked for, and nowhere twice", reportsInTheHub, SpecTimeout(3*time.Minute))
	It("leaves no report in the Ops Cluster of what is gone", reportsOfWhatIsGone, SpecTimeout(3*time.Minute))
	It("has nothing innocent refused while it only watches, not even by policies that cannot work, and fails closed from the first refusal",
		watchThenDeny, SpecTimeout(8*time.Minute))
})
