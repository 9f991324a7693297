// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// tries is how often each time is taken; tolerated is what a loaded machine is granted beyond the promised two seconds.
const tries, tolerated = 10, 10 * time.Second

// actsInTime measures from the answer of the API server to the person who wrote something to the moment it acts.
func actsInTime(ctx SpecContext) {
	var addresses, labels []time.Duration
	var added []client.Object
	for n := range tries {
		name := fmt.Sprintf("timed-%d", n)
		Expect(ops.ApplyYAML(ctx, []byte(location(name, "production", "Bucket", "https://s3.sto2.example/"+name)))).To(Succeed())
		began := time.Now()
		eventually(ctx, shop, bucket("default", name), refuses("D102"))
		addresses = append(addresses, time.Since(began))
		added = append(added, suite.DataLocation(name))
	}
	for n := range tries {
		name := fmt.Sprintf("timed-%d", n)
		Expect(staging.RegisterWorkload(ctx, "platform", name, shop, testenv.WithoutKubeconfig())).To(Succeed())
		began := time.Now()
		Eventually(func() map[string]string { return labelsOf(ctx, staging, "platform", name) }).
			WithTimeout(20 * time.Second).WithPolling(10 * time.Millisecond).Should(HaveKeyWithValue(skottv1.LabelEnvironment, "staging"))
		labels = append(labels, time.Since(began))
	}
	for what, took := range map[string][]time.Duration{"a declared address acts after": addresses, "a new Cluster is labelled after": labels} {
		slices.Sort(took)
		AddReportEntry(what, fmt.Sprintf("%d tries: median %s, worst %s", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond)))
		Expect(took[len(took)-1]).To(BeNumerically("<", tolerated), what)
	}
	var group errgroup.Group
	for n := range tries {
		group.Go(func() error { return staging.UnregisterWorkload(ctx, "platform", fmt.Sprintf("timed-%d", n)) })
	}
	Expect(group.Wait()).To(Succeed())
	remove(ctx, added...)
}
