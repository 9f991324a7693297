// SPDX-License-Identifier: Apache-2.0

// Package learn_test lets the operator learn the addresses of a platform: a production Environment of two sites and one
// of staging, with real API servers and the kinds of Velero. Nobody declares an address unless a story is about that.
package learn_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

var (
	env *testenv.Env
	// sto2 and osl2 are the Management Clusters of production.
	ops, sto2, osl2, staging *testenv.Server
	hub                      client.Client
	operatorKubeconfig       []byte
	operator                 *testenv.Operator
	// barman is a kind that no cluster serves at first.
	barman []*unstructured.Unstructured
)

func TestLearn(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Learn Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "learn", suite.Named("ops", "sto2", "osl2", "staging")...)
	ops, sto2, osl2, staging = servers[0], servers[1], servers[2], servers[3]
	hub, operatorKubeconfig = suite.Install(ctx, env, ops)
	locations, err := testenv.BackupStorageLocations(ctx)
	Expect(err).NotTo(HaveOccurred())
	barman, err = testenv.CRDs(ctx, testenv.BarmanCloud)
	Expect(err).NotTo(HaveOccurred())
	var group errgroup.Group
	for _, s := range servers[1:] {
		group.Go(func() error { return s.Install(ctx, locations...) })
	}
	Expect(group.Wait()).To(Succeed())
}, NodeTimeout(4*time.Minute))

const platform = `
Environment production {stage: production}
Environment staging {stage: staging}
DataBoundary customer-data {action: Deny}
`

// connect makes a server a ManagementCluster of its name, in a datacenter of its name.
func connect(ctx context.Context, s *testenv.Server, environment string, kubeconfig []byte) {
	GinkgoHelper()
	Expect(ops.Connect(ctx, s.Name(), environment, kubeconfig, "datacenter: "+s.Name())).To(Succeed())
}

func startOperator(ctx context.Context) {
	GinkgoHelper()
	var err error
	operator, err = env.StartOperator(ctx, "operator", operatorKubeconfig, "--canary-interval=3s", "--probe-interval=1s", "--zap-log-level=debug")
	Expect(err).NotTo(HaveOccurred())
}

func create(ctx context.Context, s *testenv.Server, text string) *unstructured.Unstructured {
	GinkgoHelper()
	u := testenv.Parse(text)
	Expect(s.Client().Create(ctx, u)).To(Succeed())
	return u
}

// try asks whether an object would be admitted.
func try(ctx context.Context, s *testenv.Server, text string) error {
	GinkgoHelper()
	return s.Client().Create(ctx, testenv.Parse(text), client.DryRunAll)
}

var refused = MatchError(ContainSubstring("SKOTT-D"))

func bucket(name, bucket string) string {
	return fmt.Sprintf(`
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {name: %s, namespace: default}
spec: {provider: aws, objectStorage: {bucket: %s}, config: {s3Url: "https://s3.sto2.example"}}
`, name, bucket)
}

func eventually(ctx context.Context, what func(Gomega), within time.Duration) time.Duration {
	GinkgoHelper()
	began := time.Now()
	Eventually(what).WithContext(ctx).WithTimeout(within).WithPolling(20 * time.Millisecond).Should(Succeed())
	return time.Since(began)
}

// becomesRefused waits until a server refuses an object, and says how long that took.
func becomesRefused(ctx context.Context, s *testenv.Server, text string) time.Duration {
	GinkgoHelper()
	return eventually(ctx, func(g Gomega) { g.Expect(try(ctx, s, text)).To(refused) }, 20*time.Second)
}

// learned are the learned locations of an address.
func learned(ctx context.Context, value string) []skottv1.DataLocation {
	GinkgoHelper()
	list := &skottv1.DataLocationList{}
	Expect(hub.List(ctx, list, client.MatchingLabels{skottv1.LabelOrigin: skottv1.OriginLearned})).To(Succeed())
	var out []skottv1.DataLocation
	for _, d := range list.Items {
		if d.Spec.Addresses[0].Value == value && strings.HasPrefix(d.Name, "learned.") {
			out = append(out, d)
		}
	}
	return out
}
