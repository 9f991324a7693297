// SPDX-License-Identifier: Apache-2.0

// Package faults_test harms a platform in one named way after the other, on real processes, while crossing and permitted
// requests go to every guarded cluster without a pause. It counts what was answered, and ends with the sums: crossings
// admitted, innocents refused, requests sent. See docs/faults.md.
package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/test/testenv"
)

// The platform: the Ops Cluster and the shop, each with an etcd of its own, and two Management Clusters. The operator
// reaches production over wire and staging over trouble; the load reaches everything directly.
var (
	env                            *testenv.Env
	hubEtcd, shopEtcd              *testenv.Etcd
	ops, production, staging, shop *testenv.Server
	wire                           *testenv.Wire
	trouble                        *testenv.Trouble
	hub                            client.Client
	operatorKubeconfig             []byte
	binary                         string
	operator                       *testenv.Operator
	requests                       *load
)

const (
	canaryInterval = 3 * time.Second
	boundaryGrace  = 5 * time.Second
	// shopQuota is small, to be filled.
	shopQuota = 64 << 20
)

var operatorFlags = []string{
	"--canary-interval=" + canaryInterval.String(), "--probe-interval=1s", "--boundary-grace=" + boundaryGrace.String(),
}

func TestFaults(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Fault Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrllog.SetLogger(GinkgoLogr)
	dir, err := os.MkdirTemp("", "skott-faults-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	hubEtcd, err = env.NewEtcd(ctx, "hub")
	Expect(err).NotTo(HaveOccurred())
	shopEtcd, err = env.NewEtcd(ctx, "shop", fmt.Sprintf("--quota-backend-bytes=%d", shopQuota))
	Expect(err).NotTo(HaveOccurred())
	pinned, err := pinFlags(dir)
	Expect(err).NotTo(HaveOccurred())
	servers, err := env.NewServers(ctx, testenv.Options{Name: "ops", Etcd: hubEtcd}, testenv.Options{Name: "production"},
		testenv.Options{Name: "staging"}, testenv.Options{Name: "shop", Etcd: shopEtcd, Flags: pinned})
	Expect(err).NotTo(HaveOccurred())
	ops, production, staging, shop = servers[0], servers[1], servers[2], servers[3]

	hub, err = ops.HubClient(10 * time.Second)
	Expect(err).NotTo(HaveOccurred())
	Expect(install(ctx)).To(Succeed())
	operatorKubeconfig, err = env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	binary, err = env.BuildManager(ctx, "manager")
	Expect(err).NotTo(HaveOccurred())
	Expect(connect(ctx)).To(Succeed())
	operator, err = env.StartOperatorOf(ctx, binary, "skott", operatorKubeconfig, operatorFlags...)
	Expect(err).NotTo(HaveOccurred())
	settled(ctx)
	requests = startLoad()
}, NodeTimeout(4*time.Minute))

// pinFlags make an API server read config/static-admission.
func pinFlags(dir string) ([]string, error) {
	root, err := testenv.Root()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "admission.yaml")
	content := fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ValidatingAdmissionPolicyConfiguration
    staticManifestsDir: %s
`, filepath.Join(root, "config/static-admission"))
	return []string{"--admission-control-config-file=" + file, "--feature-gates=ManifestBasedAdmissionControlConfig=true"},
		os.WriteFile(file, []byte(content), 0o600)
}

// install brings Cluster API to staging, and the kind of Velero that names a bucket to all who will name one.
func install(ctx context.Context) error {
	locations, err := testenv.BackupStorageLocations(ctx)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return staging.StartClusterAPI(ctx) })
	group.Go(func() error { return shop.Install(ctx, locations...) })
	group.Go(func() error { return production.Install(ctx, locations...) })
	if err := group.Wait(); err != nil {
		return err
	}
	return staging.RegisterWorkload(ctx, "platform", "shop", shop)
}

// The stories run in this order on one platform. Each ends when everything has converged by itself.
var _ = Describe("Skott under faults", Ordered, ContinueOnFailure, func() {
	for _, f := range faults {
		It(f.name, func(ctx SpecContext) {
			requests.begin(f.name)
			f.harm(ctx)
			if requests.current().healed.IsZero() {
				requests.healed()
			}
			settled(ctx)
			requests.converged()
			statusIsSo(ctx)
		}, SpecTimeout(3*time.Minute))
	}
	AfterEach(explainFailure)

	It("lets nothing cross and refuses nothing innocent", func(ctx SpecContext) {
		requests.begin("none, again")
		Eventually(requests.total).WithContext(ctx).WithTimeout(3*time.Minute).Should(BeNumerically(">=", minimum), "requests sent")
		requests.stop()
		sum := requests.sum()
		Expect(len(faults)).To(BeNumerically(">=", 12))
		Expect(sum.admitted).To(BeZero(), "crossings admitted: %v", sum.samples)
		Expect(sum.refused).To(BeZero(), "innocents refused: %v", sum.samples)
		Expect(requests.longestGap()).To(BeNumerically("<", gapBound), "a window after an administrator's own change")
		Expect(requests.longestStart()).To(BeNumerically("<", startBound), "refusals of an API server that has just started")
	}, SpecTimeout(4*time.Minute))
})

var _ = AfterSuite(func() {
	if requests != nil {
		requests.stop()
		requests.print()
	}
})
