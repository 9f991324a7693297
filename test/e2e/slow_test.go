// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

func isLateInOnePlace(ctx SpecContext) {
	between, err := testenv.NewTrouble(spare)
	Expect(err).NotTo(HaveOccurred())
	defer between.Close()
	Expect(staging.RegisterWorkload(ctx, "platform", "far", spare,
		testenv.WithKubeconfig(between.Kubeconfig(administrator(ctx, spare, "far-admin"))))).To(Succeed())
	Eventually(func() map[string]string { return labelsOf(ctx, staging, "platform", "far") }).WithTimeout(60 * time.Second).
		Should(HaveKeyWithValue(skottv1.LabelGuarded, "true"))
	others := steady(ctx)
	for _, round := range []struct {
		name        string
		begin, calm func()
	}{
		{"slow", func() { between.Delay(3 * time.Second) }, func() { between.Delay(0) }},
		{"overloaded", func() { between.Answer(http.StatusTooManyRequests) }, func() { between.Answer(0) }},
	} {
		By("declaring an address while one API server is " + round.name)
		round.begin()
		Expect(ops.ApplyYAML(ctx, []byte(location(round.name, "production", "Host", round.name+".sto2.example")))).To(Succeed())
		began := time.Now()
		eventually(ctx, shop, service(round.name+".sto2.example"), refuses("D101"))
		eventually(ctx, staging, service(round.name+".sto2.example"), refuses("D101"))
		prompt := time.Since(began)
		Expect(prompt).To(BeNumerically("<", tolerated))
		AddReportEntry("beside an API server that is "+round.name+", an address acts elsewhere after", prompt.String())
		if round.name == "overloaded" {
			Expect(try(ctx, spare, service(round.name+".sto2.example"))).To(Succeed(), "there the address is late")
			becomes(ctx, suite.DataBoundary("customer-data"), have(skottv1.ConditionPublished, metav1.ConditionFalse, skottv1.ReasonPublishing, "platform/far"))
		}
		becomes(ctx, suite.ManagementCluster("staging"), have(skottv1.ConditionGuarded, metav1.ConditionFalse, skottv1.ReasonNotGuarded, "platform/far"))
		becomes(ctx, suite.ManagementCluster("production"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
		Expect(try(ctx, spare, service("orders.db.prod.example"))).To(refuses("D101"), "what it holds acts at its usual speed")

		round.calm()
		began = time.Now()
		eventually(ctx, spare, service(round.name+".sto2.example"), refuses("D101"))
		becomes(ctx, suite.ManagementCluster("staging"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
		AddReportEntry("after it was "+round.name+" it was proved again within", time.Since(began).String())
	}
	Expect(between.Turned()).NotTo(BeZero())
	Expect(others()).To(BeEmpty(), "no ManagementCluster stopped being Ready")
	Expect(staging.UnregisterWorkload(ctx, "platform", "far")).To(Succeed())
	remove(ctx, suite.DataLocation("slow"), suite.DataLocation("overloaded"))
}
