// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// replica starts one of several operators, which takes audit events at the same address as the others once it leads,
// and has a decision record of its own, as each pod has a disk of its own.
func replica(ctx context.Context, name string) *testenv.Operator {
	GinkgoHelper()
	o, err := env.StartOperatorOf(ctx, binary, name, kubeconfig, append(flags, "--leader-elect", "--decision-log="+recordOf(name))...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(o.Stop)
	return o
}

func recordOf(name string) string { return filepath.Join(dir, name+".jsonl") }

// scanned reports whether an operator has scanned both clusters.
func scanned(o *testenv.Operator) bool {
	for _, cluster := range []string{webhooked, followed} {
		if o.Metric(fmt.Sprintf("skott_scan_age_seconds{cluster=%q}", cluster)) == "" {
			return false
		}
	}
	return true
}

// crossing is how much the boundary says crosses, and how sure it is of that.
func crossing(ctx context.Context) (objects int32, condition string) {
	GinkgoHelper()
	b := &skottv1.DataBoundary{}
	Expect(hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, b)).To(Succeed())
	if b.Status.Violations != nil {
		objects = *b.Status.Violations
	}
	return objects, suite.Says(b, skottv1.ConditionNoViolations)
}

// reports are those in the guarded cluster and those in the Ops Cluster, by where they are and what they are about, each
// with the revision in which it stands there.
func reports(ctx context.Context) map[string]string {
	GinkgoHelper()
	out := map[string]string{}
	for _, s := range []*testenv.Server{ops, staging} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("openreports.io/v1alpha1")
		list.SetKind("ReportList")
		Expect(s.Client().List(ctx, list)).To(Succeed())
		for i := range list.Items {
			u := &list.Items[i]
			name, _, err := unstructured.NestedString(u.Object, "scope", "name")
			Expect(err).NotTo(HaveOccurred())
			key := s.Name() + " " + name
			Expect(out).NotTo(HaveKey(key), "there is one for each object")
			out[key] = u.GetName() + " " + string(u.GetUID()) + " " + u.GetResourceVersion()
		}
	}
	return out
}

func remove(ctx context.Context, s *testenv.Server, name string) {
	GinkgoHelper()
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	Expect(client.IgnoreNotFound(s.Client().Delete(ctx, o))).To(Succeed())
}

// settled is the count once the new operator has been told of all that was denied before it came: API servers send what
// nobody has taken again, and statuses follow after a few seconds.
func settled(ctx context.Context) int64 {
	GinkgoHelper()
	Expect(attempt(ctx, staging, "first", nil)).To(MatchError(ContainSubstring("SKOTT-D101")))
	Eventually(ofName("first")).WithContext(ctx).WithTimeout(time.Minute).Should(HaveLen(1))
	count := int64(-1)
	Eventually(func() int64 {
		last := count
		count = counted(ctx)
		return count - last
	}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(5 * time.Second).Should(BeZero())
	return count
}

func failover(ctx SpecContext) {
	Expect(operator.Stop()).To(Succeed())
	remove(ctx, staging, "before") // may have been admitted before there was a guard
	remove(ctx, test, "unheard")
	operator, record = replica(ctx, "first"), recordOf("first")
	Eventually(scanned).WithContext(ctx).WithArguments(operator).WithTimeout(time.Minute).Should(BeTrue())
	standby := replica(ctx, "second")
	Eventually(func(g Gomega) {
		objects, condition := crossing(ctx)
		g.Expect(objects).To(BeEquivalentTo(4))
		g.Expect(condition).To(And(HavePrefix("False/Violations: 4 objects cross"), Not(ContainSubstring("not all was scanned"))))
		g.Expect(reports(ctx)).To(And(HaveLen(4), HaveKey("ops old"), HaveKey("ops older"), HaveKey("staging old"), HaveKey("staging older")))
		g.Expect(collected(ctx, webhooked)).To(Equal("True/Receiving"))
	}).WithContext(ctx).WithTimeout(time.Minute).Should(Succeed())
	before := settled(ctx)
	Expect(attempt(ctx, staging, "led", nil)).To(MatchError(ContainSubstring("SKOTT-D101")))
	Eventually(counted).WithContext(ctx).WithTimeout(30 * time.Second).Should(Equal(before + 1))
	stand := reports(ctx)
	Expect(scanned(standby)).To(BeFalse(), "who does not lead scans nothing")

	By("killing the leader")
	Expect(operator.Stop()).To(Succeed())
	Expect(attempt(ctx, staging, "between", nil)).To(MatchError(ContainSubstring("SKOTT-D101")), "nobody listens, and it is refused")
	operator, record = standby, recordOf("second")
	Eventually(func(g Gomega) {
		objects, condition := crossing(ctx)
		Expect(objects).To(BeEquivalentTo(4), "at no time")
		Expect(condition).To(HavePrefix("False/Violations: 4 objects cross"), "at no time")
		Expect(reports(ctx)).To(Equal(stand), "at no time")
		g.Expect(scanned(standby)).To(BeTrue())
		g.Expect(condition).NotTo(ContainSubstring("not all was scanned"))
	}).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())

	By("counting with the new one what was denied meanwhile, and what is denied now")
	Expect(attempt(ctx, staging, "after", nil)).To(MatchError(ContainSubstring("SKOTT-D101")))
	for _, name := range []string{"after", "between"} {
		Eventually(ofName(name)).WithContext(ctx).WithTimeout(time.Minute).Should(HaveLen(1), name)
	}
	Eventually(counted).WithContext(ctx).WithTimeout(30 * time.Second).Should(Equal(before + 3))
	Eventually(collected).WithContext(ctx).WithArguments(webhooked).WithTimeout(30 * time.Second).Should(Equal("True/Receiving"))

	By("correcting one of each, which the new one notices, and writes nothing else")
	remove(ctx, staging, "older")
	remove(ctx, test, "older")
	delete(stand, "ops older")
	delete(stand, "staging older")
	Eventually(reports).WithContext(ctx).WithTimeout(30 * time.Second).Should(Equal(stand))
	Eventually(func() int32 { objects, _ := crossing(ctx); return objects }).WithContext(ctx).WithTimeout(30 * time.Second).Should(BeEquivalentTo(2))
}
