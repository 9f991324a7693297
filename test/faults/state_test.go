// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// environmentDeleted deletes an Environment that data is declared of: it stays, and so does what it forbids.
func environmentDeleted(ctx context.Context) {
	writes(ctx, `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: second-production}
spec: {stage: production}
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: of-second}
spec: {environmentRef: {name: second-production}, addresses: [{type: Host, value: of-second.prod.example}]}
`)
	acts(ctx, "of-second.prod.example", staging, shop)
	e := &skottv1.Environment{ObjectMeta: metav1.ObjectMeta{Name: "second-production"}}
	Expect(hub.Delete(ctx, e)).To(Succeed())
	Eventually(func() string { return condition(ctx, e, skottv1.ConditionReady) }).WithContext(ctx).WithTimeout(20 * time.Second).
		Should(And(HavePrefix("False/"+skottv1.ReasonInUse), ContainSubstring("DataLocation of-second")))
	Expect(deniedBySkott(tries(ctx, shop, service("of-second.prod.example")))).To(BeTrue())
	requests.healed()
	remove(ctx, suite.DataLocation("of-second"), e)
}

// boundariesDisagree adds a boundary that only warns of what another one denies.
func boundariesDisagree(ctx context.Context) {
	writes(ctx, `
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: lenient}
spec: {action: Warn}
`)
	lenient := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "lenient"}}
	Eventually(func() string { return condition(ctx, lenient, skottv1.ConditionPublished) }).WithContext(ctx).WithTimeout(30 * time.Second).Should(HavePrefix("True/"))
	settled(ctx)
	requests.healed()
	remove(ctx, lenient)
}

// bookSplit declares more addresses than one Guard holds: parts together mean the same.
func bookSplit(ctx context.Context) {
	var objects []client.Object
	var hosts []string
	label := strings.Repeat("a", 60)
	for i := range 10 {
		name := fmt.Sprintf("many-%d", i)
		var b strings.Builder
		fmt.Fprintf(&b, "apiVersion: skott.dev/v1alpha1\nkind: DataLocation\nmetadata: {name: %s}\nspec:\n  environmentRef: {name: production}\n  addresses:\n", name)
		for n := range 256 {
			host := fmt.Sprintf("h%d-%d.%s.%s.%s.prod.example", i, n, label, label, label)
			fmt.Fprintf(&b, "  - {type: Host, value: %s}\n", host)
			if n == 255 {
				hosts = append(hosts, host)
			}
		}
		writes(ctx, b.String())
		objects = append(objects, suite.DataLocation(name))
	}
	for _, host := range []string{hosts[0], hosts[len(hosts)-1]} {
		acts(ctx, host, staging, shop)
	}
	guards := &unstructured.UnstructuredList{}
	guards.SetGroupVersionKind(skottv1.GroupVersion.WithKind("GuardList"))
	Expect(shop.Client().List(ctx, guards)).To(Succeed())
	Expect(len(guards.Items)).To(BeNumerically(">", 1), "parts")
	settled(ctx)
	requests.healed()
	remove(ctx, objects...)
	settled(ctx)
	Eventually(func(g Gomega) {
		g.Expect(shop.Client().List(ctx, guards)).To(Succeed())
		g.Expect(guards.Items).To(HaveLen(1))
	}).WithContext(ctx).WithTimeout(30 * time.Second).Should(Succeed())
}

// restored takes a backup of an etcd, lets things change, and puts the backup back, with the API server restarted as a
// restore asks for.
func restored(ctx context.Context, d *testenv.Etcd, s *testenv.Server, change func()) {
	GinkgoHelper()
	backup := d.Data() + "-backup"
	Expect(d.Stop()).To(Succeed())
	Expect(os.CopyFS(backup, os.DirFS(d.Data()))).To(Succeed())
	DeferCleanup(os.RemoveAll, backup)
	Expect(d.Start(ctx)).To(Succeed())
	Eventually(s.Ready).WithContext(ctx).WithTimeout(30 * time.Second).Should(Succeed())
	change()
	Expect(s.Stop()).To(Succeed())
	Expect(d.Stop()).To(Succeed())
	Expect(os.RemoveAll(d.Data())).To(Succeed())
	Expect(os.CopyFS(d.Data(), os.DirFS(backup))).To(Succeed())
	Expect(d.Start(ctx)).To(Succeed())
	requests.healed()
	Expect(s.Restart(ctx)).To(Succeed())
}

// hubRestored goes back to an Ops Cluster of before an address was declared. What is declared again acts again.
func hubRestored(ctx context.Context) {
	restored(ctx, hubEtcd, ops, func() {
		writes(ctx, location("after-the-backup"))
		acts(ctx, "after-the-backup.prod.example", staging, shop)
	})
	Eventually(func() error { return hub.Get(ctx, client.ObjectKey{Name: "after-the-backup"}, suite.DataLocation("")) }).
		WithContext(ctx).WithTimeout(30 * time.Second).Should(Satisfy(apierrors.IsNotFound))
	writes(ctx, location("declared-again"))
	Eventually(func(g Gomega) {
		if !operator.Running() { // a kubelet does it
			g.Expect(operator.Start(ctx)).To(Succeed())
		}
		g.Expect(deniedBySkott(tries(ctx, shop, service("declared-again.prod.example")))).To(BeTrue())
	}).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())
	decides(ctx, ops)
	remove(ctx, suite.DataLocation("declared-again"))
}

// clusterRestored goes back to a Workload Cluster whose Guard knew less, of which no watch tells.
func clusterRestored(ctx context.Context) {
	restored(ctx, shopEtcd, shop, func() {
		writes(ctx, location("after-the-backup"))
		acts(ctx, "after-the-backup.prod.example", staging, shop)
	})
	acts(ctx, "after-the-backup.prod.example", shop)
	decides(ctx, shop)
	remove(ctx, suite.DataLocation("after-the-backup"))
}
