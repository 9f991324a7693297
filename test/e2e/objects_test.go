// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
)

// eventNotes are the texts of the events about an object of the Ops Cluster.
func eventNotes(ctx context.Context, name, reason string) []string {
	list := &eventsv1.EventList{}
	if err := hub.List(ctx, list, client.InNamespace("default")); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for i := range list.Items {
		if e := &list.Items[i]; e.Regarding.Name == name && e.Reason == reason {
			out = append(out, e.Note)
		}
	}
	return out
}

// tells waits until an Event about an object of the Ops Cluster says something.
func tells(ctx context.Context, name, reason string, words ...string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(eventNotes(ctx, name, reason)).To(ContainElement(Satisfy(func(note string) bool { return containsAll(note, words) })))
	}).WithContext(ctx).WithTimeout(20 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())
}

func keepsUsedEnvironment(ctx SpecContext) {
	Expect(ops.ApplyYAML(ctx, []byte(`
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: testing}
spec: {stage: testing}
---`+location("testing-data", "testing", "Host", "*.db.testing.example")+`---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: names-testing}
spec: {action: Deny, from: {environments: [testing]}, to: {environments: [staging]}}
`))).To(Succeed())
	eventually(ctx, shop, service("orders.db.testing.example"), refuses("D101", "names-testing"))

	Expect(hub.Delete(ctx, suite.Environment("testing"))).To(Succeed())
	e := suite.Environment("testing")
	becomes(ctx, e, have(skottv1.ConditionReady, metav1.ConditionFalse, skottv1.ReasonInUse, "DataLocation testing-data", "DataBoundary names-testing"))
	Expect(try(ctx, shop, service("orders.db.testing.example"))).To(refuses("D101"))

	By("taking away one user after the other")
	remove(ctx, suite.DataBoundary("names-testing"))
	Eventually(func(g Gomega) {
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
		c := meta.FindStatusCondition(e.Status.Conditions, skottv1.ConditionReady)
		g.Expect(c.Message).To(And(ContainSubstring("DataLocation testing-data"), Not(ContainSubstring("names-testing"))))
	}).WithTimeout(20 * time.Second).Should(Succeed())
	remove(ctx, suite.DataLocation("testing-data"))
	gone(ctx, e)

	By("naming every user of an Environment that clusters are of")
	Expect(hub.Delete(ctx, suite.Environment("staging"))).To(Succeed())
	becomes(ctx, suite.Environment("staging"), have(skottv1.ConditionReady, metav1.ConditionFalse, skottv1.ReasonInUse, "ManagementCluster staging"))
	Expect(try(ctx, shop, service("orders.db.prod.example"))).To(refuses("D101", `Environment "staging"`))
	restoreStaging(ctx)
}

// restoreStaging lets the deleted Environment go, and makes it anew.
func restoreStaging(ctx context.Context) {
	GinkgoHelper()
	remove(ctx, suite.ManagementCluster("staging"))
	gone(ctx, suite.Environment("staging"))
	// The guard stands without the Environment and without its ManagementCluster.
	Consistently(func() error { return try(ctx, shop, service("orders.db.prod.example")) }).WithTimeout(time.Second).Should(refuses("D101"))
	declare(ctx)
	settled(ctx)
}

func guardsContested(ctx SpecContext) {
	Expect(ops.ApplyYAML(ctx, []byte(location("staging-claim", "staging", "Bucket", "https://S3.sto2.example:443/prod-backups/")))).To(Succeed())
	becomes(ctx, suite.DataLocation("staging-claim"), have(skottv1.ConditionContested, metav1.ConditionTrue, skottv1.ReasonContested, "prod-backups", "also of production"))
	becomes(ctx, suite.DataLocation("production-data"), have(skottv1.ConditionContested, metav1.ConditionTrue, skottv1.ReasonContested, "prod-backups", "also of staging"))
	for _, name := range []string{"production", "staging"} {
		becomes(ctx, suite.Environment(name), have(skottv1.ConditionSeparated, metav1.ConditionFalse, skottv1.ReasonContestedAddresses, "s3.sto2.example/prod-backups"))
	}
	becomes(ctx, suite.DataBoundary("customer-data"), have(skottv1.ConditionNoViolations, metav1.ConditionFalse, skottv1.ReasonViolations, "s3.sto2.example/prod-backups"))
	becomes(ctx, suite.DataBoundary("customer-data"), have(skottv1.ConditionEnforced, metav1.ConditionTrue, skottv1.ReasonEnforced))
	Expect(try(ctx, shop, bucket("default", "prod-backups"))).To(refuses("D102"))
	Expect(try(ctx, production, bucket("default", "prod-backups"))).To(Succeed())
	tells(ctx, "production-data", skottv1.ReasonContested, "prod-backups", "also of staging")
	tells(ctx, "staging-claim", skottv1.ReasonContested, "prod-backups", "also of production")
	tells(ctx, "customer-data", skottv1.ReasonViolations, "s3.sto2.example/prod-backups")

	remove(ctx, suite.DataLocation("staging-claim"))
	tells(ctx, "production-data", skottv1.ReasonNotContested, "Contested is False")
	becomes(ctx, suite.DataLocation("production-data"), have(skottv1.ConditionContested, metav1.ConditionFalse, skottv1.ReasonNotContested))
	Eventually(func(g Gomega) {
		e := &skottv1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "staging"}}
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
		g.Expect(e.Status.Contested).To(HaveValue(BeZero()))
	}).WithTimeout(20 * time.Second).Should(Succeed())
}

func saysNothingSelected(ctx SpecContext) {
	Expect(ops.ApplyYAML(ctx, []byte(`
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: from-nothing}
spec: {action: Deny, from: {environments: [nowhere]}}
---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: to-nothing}
spec: {action: Deny, to: {selector: {matchLabels: {tier: none}}}}
`))).To(Succeed())
	becomes(ctx, suite.DataBoundary("from-nothing"), have(skottv1.ConditionPublished, metav1.ConditionFalse, skottv1.ReasonNothingSelected, "spec.from"))
	becomes(ctx, suite.DataBoundary("to-nothing"), have(skottv1.ConditionPublished, metav1.ConditionFalse, skottv1.ReasonNothingSelected, "spec.to"))
	becomes(ctx, suite.DataBoundary("to-nothing"), have(skottv1.ConditionReady, metav1.ConditionFalse, skottv1.ReasonNothingSelected, "spec.to"))
	becomes(ctx, suite.DataBoundary("customer-data"), have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady))

	By("selecting an Environment by labelling it")
	Expect(hub.Patch(ctx, suite.Environment("staging"), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"tier":"none"}}}`)))).To(Succeed())
	becomes(ctx, suite.DataBoundary("to-nothing"), have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady))
	Expect(hub.Patch(ctx, suite.Environment("staging"), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"tier":null}}}`)))).To(Succeed())
	remove(ctx, suite.DataBoundary("from-nothing"), suite.DataBoundary("to-nothing"))
}

func withdrawsSlowly(ctx SpecContext) {
	Expect(hub.Delete(ctx, suite.DataBoundary("customer-data"))).To(Succeed())
	b := suite.DataBoundary("customer-data")
	becomes(ctx, b, have(skottv1.ConditionPublished, metav1.ConditionFalse, skottv1.ReasonBeingRemoved))
	ends := b.DeletionTimestamp.Add(boundaryGrace)
	Expect(meta.FindStatusCondition(b.Status.Conditions, skottv1.ConditionPublished).Message).
		To(ContainSubstring(ends.UTC().Format(time.RFC3339)), "until when it acts")
	tells(ctx, "customer-data", skottv1.ReasonPublished, "clusters hold revision")
	tells(ctx, "customer-data", skottv1.ReasonEnforced, "clusters refused the live proof")
	tells(ctx, "customer-data", skottv1.ReasonBeingRemoved, ends.UTC().Format(time.RFC3339))
	tells(ctx, "staging", skottv1.ReasonEnforced, `cluster "staging/platform/shop" refused its live proof`)
	Expect(b.Finalizers).To(ContainElement(skottv1.Finalizer))

	By("acting as long as it said")
	var permitted time.Time
	Eventually(func() error {
		err := try(ctx, shop, bucket("default", "prod-backups"))
		if err == nil {
			permitted = time.Now()
		}
		return err
	}).WithTimeout(boundaryGrace + 20*time.Second).WithPolling(20 * time.Millisecond).Should(Succeed())
	Expect(permitted).To(BeTemporally(">=", ends))
	AddReportEntry("the first permitted answer came after the end of the grace by", permitted.Sub(ends).String())
	gone(ctx, b)
	Eventually(func() []string { return eventNotes(ctx, "customer-data", "Withdrawn") }).WithTimeout(10 * time.Second).
		Should(ContainElement(ContainSubstring("was deleted and is withdrawn")))
	g, err := guardOf(ctx, shop)
	Expect(err).NotTo(HaveOccurred())
	for from, to := range g.Spec.Crossings {
		Expect(to).NotTo(ContainElement("customer-data"), from)
	}

	By("protecting the guard without any boundary")
	names := map[string]bool{}
	output, err := env.Kubectl(ctx, shop, "get", "validatingadmissionpolicybindings", "-o", "name")
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(output) {
		names[strings.TrimSpace(line)] = true
	}
	Expect(names).To(HaveKey("validatingadmissionpolicybinding.admissionregistration.k8s.io/skott-guard-deny"))
	_, err = env.Kubectl(ctx, shop, "delete", "guard", "skott")
	Expect(err).To(refuses("D501"))
	_, err = env.Kubectl(ctx, staging, "label", "--overwrite", "--namespace=platform", "clusters.cluster.x-k8s.io", "shop", "skott.dev/datacenter=osl2")
	Expect(err).To(refuses("D503"))
	becomes(ctx, suite.ManagementCluster("staging"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))

	Expect(ops.ApplyYAML(ctx, []byte(boundary))).To(Succeed())
	eventually(ctx, shop, bucket("default", "prod-backups"), refuses("D102"))
}

func followsRaisedClass(ctx SpecContext) {
	sealed := `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: testing}
spec: {stage: testing}
`
	writeSecret(ctx, system, "spare", map[string][]byte{"value": spare.Kubeconfig()})
	Expect(ops.ApplyYAML(ctx, []byte(sealed+"---"+managementCluster("spare", "testing")+"---"+
		location("testing-data", "testing", "Host", "*.db.testing.example")))).To(Succeed())
	becomes(ctx, suite.ManagementCluster("spare"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	// It runs no Cluster API, which is a reason not to be Ready, and none not to be guarded.
	becomes(ctx, suite.ManagementCluster("spare"), have(skottv1.ConditionReady, metav1.ConditionFalse, skottv1.ReasonClusterAPINotServed))
	eventually(ctx, spare, service("orders.db.prod.example"), refuses("D101"))
	Expect(try(ctx, shop, service("orders.db.testing.example"))).To(Succeed())

	By("raising it")
	Expect(ops.ApplyYAML(ctx, []byte(strings.Replace(sealed, "stage: testing", "stage: testing, class: Production", 1)))).To(Succeed())
	eventually(ctx, spare, service("orders.db.prod.example"), Succeed())
	eventually(ctx, shop, service("orders.db.testing.example"), refuses("D101", `Environment "testing"`))
	output, err := env.Kubectl(ctx, spare, "get", "guard", "skott")
	Expect(err).NotTo(HaveOccurred())
	Expect(output).To(MatchRegexp(`testing +testing +Production`))

	By("lowering it")
	Expect(hub.Patch(ctx, suite.Environment("testing"), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"class":"NonProduction"}}`)))).
		To(MatchError(ContainSubstring("cannot be lowered")))

	By("deleting the ManagementCluster: what was of it stays forbidden")
	remove(ctx, suite.ManagementCluster("spare"))
	Expect(hub.Get(ctx, client.ObjectKey{Name: "clusters.spare.testing.0"}, suite.DataLocation(""))).To(Succeed())
	Consistently(func() error { return try(ctx, shop, service("orders.db.testing.example")) }).WithTimeout(time.Second).Should(refuses("D101"))
	remove(ctx, suite.DataLocation("clusters.spare.testing.0"), suite.DataLocation("testing-data"), suite.Environment("testing"))
}
