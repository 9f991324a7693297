// SPDX-License-Identifier: Apache-2.0

// Package e2e_test tells what goes wrong on a platform, and what a user of Skott then sees: in the conditions and events
// of the Ops Cluster, in the answers of the guarded API servers, and at the metrics endpoint. The operator is the real
// process with the rights of config/, the API servers are real, and Cluster API's core manager runs in the two
// Management Clusters. What Skott says about trouble is tested here; that movements are refused is shown by the demo
// and by test/integration/policy, and how clusters are followed by test/integration/fleet.
package e2e_test

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/test/testenv"
)

// The platform: the Ops Cluster, a production Management Cluster that is its own only Workload Cluster, one of staging
// with the Workload Cluster shop, and an API server that no story begins with.
var (
	env                                   *testenv.Env
	ops, production, staging, shop, spare *testenv.Server
	// hub reads and writes Skott's kinds in the Ops Cluster as the administrator.
	hub client.Client
	// operatorKubeconfig is of the account that config/ gives the operator.
	operatorKubeconfig []byte
	// operator is the one replica that most stories need; nil until the first one started it.
	operator *testenv.Operator
)

// boundaryGrace is long enough to look at a boundary that is being removed.
const boundaryGrace = 5 * time.Second

// operatorFlags shorten what a test would have to wait for. The log is as detailed as it gets, because one story
// looks for secrets in it.
var operatorFlags = []string{
	"--canary-interval=3s", "--probe-interval=1s", "--boundary-grace=" + boundaryGrace.String(), "--zap-log-level=debug",
}

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "E2E Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrllog.SetLogger(GinkgoLogr)
	began := time.Now()
	dir, err := os.MkdirTemp("", "skott-e2e-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx,
		// Audited, to see what the operator may not do.
		testenv.Options{Name: "ops", AuditPolicy: testenv.AuditMetadata},
		testenv.Options{Name: "production"}, testenv.Options{Name: "staging"},
		testenv.Options{Name: "shop"}, testenv.Options{Name: "spare"})
	Expect(err).NotTo(HaveOccurred())
	ops, production, staging, shop, spare = servers[0], servers[1], servers[2], servers[3], servers[4]

	hub, err = ops.HubClient(0)
	Expect(err).NotTo(HaveOccurred())
	Expect(installKinds(ctx)).To(Succeed())
	operatorKubeconfig, err = env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	AddReportEntry("control planes ready after", time.Since(began).String())
}, NodeTimeout(4*time.Minute))

// installKinds runs Cluster API in the Management Clusters, registers their clusters, and installs the kind of Velero
// that names a bucket where a bucket will be named.
func installKinds(ctx context.Context) error {
	locations, err := testenv.BackupStorageLocations(ctx)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() error { return production.StartClusterAPI(ctx) })
	group.Go(func() error { return staging.StartClusterAPI(ctx) })
	group.Go(func() error { return shop.Install(ctx, locations...) })
	group.Go(func() error { return production.Install(ctx, locations...) })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := production.RegisterWorkload(ctx, "platform", "itself", production); err != nil {
		return err
	}
	return staging.RegisterWorkload(ctx, "platform", "shop", shop)
}

// The stories are told in this order on one platform, and each leaves it as it found it. The first needs clusters that
// were never guarded, the last one stops the Ops Cluster.
var _ = Describe("Skott", Ordered, ContinueOnFailure, func() {
	AfterEach(explainFailure)

	It("ends up the same when it is killed again and again while it publishes for the first time",
		diesWhilePublishing, SpecTimeout(3*time.Minute))

	Context("on a platform that runs", func() {
		BeforeEach(func(ctx SpecContext) {
			platformUp(ctx)
			settled(ctx)
		}, NodeTimeout(2*time.Minute))

		It("needs no more rights than config/rbac names", hasEnoughRights, SpecTimeout(time.Minute))
		It("has a label and a declared address in force within two seconds", actsInTime, SpecTimeout(2*time.Minute))
		It("opens nothing when it is killed again and again during changes", diesWhileChanging, SpecTimeout(2*time.Minute))
		It("lets one of two replicas work, and the other one take over", hasAStandby, SpecTimeout(2*time.Minute))

		It("keeps a deleted Environment while it is used, and says by whom", keepsUsedEnvironment, SpecTimeout(time.Minute))
		It("says of an address that two Environments declare that it is contested, and goes on refusing it", guardsContested, SpecTimeout(time.Minute))
		It("says which side of a DataBoundary selects nothing", saysNothingSelected, SpecTimeout(time.Minute))
		It("keeps a deleted DataBoundary in force for the grace, and the protection of the guard for ever", withdrawsSlowly, SpecTimeout(time.Minute))
		It("takes a raised class into account, and lets nobody lower it", followsRaisedClass, SpecTimeout(time.Minute))

		It("says why a ManagementCluster cannot be reached, and recovers when its Secret is put right", saysWhyUnreachable, SpecTimeout(2*time.Minute))
		It("says the same of a cluster Secret of Argo CD", connectsThroughArgoCD, SpecTimeout(2*time.Minute))
		It("gives an API server to the ManagementCluster that named it first", namesTheFirst, SpecTimeout(time.Minute))
		It("keeps guards and recorded clusters when a ManagementCluster is deleted", remembersDeleted, SpecTimeout(2*time.Minute))
		It("labels a Cluster without kubeconfig, and guards it once it has one", waitsForKubeconfig, SpecTimeout(time.Minute))
		It("is late at an API server that is slow or overloaded, and nowhere else", isLateInOnePlace, SpecTimeout(3*time.Minute))

		It("lets a namespace claim an Environment below its cluster's, once, and no other", judgesNamespaces, SpecTimeout(time.Minute))
		It("reads a kind that a user describes, and lists those that nobody has", learnsKindsOfUsers, SpecTimeout(2*time.Minute))
		It("keeps customers' Clusters out of staging", keepsCustomersOut, SpecTimeout(time.Minute))
		It("labels the cluster Secrets of Argo CD", labelsArgoCDSecrets, SpecTimeout(time.Minute))
		It("reports what it put back, counts it, and prints no secret", reportsAndCounts, SpecTimeout(time.Minute))

		It("refuses without the operator and without the Ops Cluster", refusesAlone, SpecTimeout(2*time.Minute))
	})
})
