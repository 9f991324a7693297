// SPDX-License-Identifier: Apache-2.0

// Package rbac_test holds every account of Skott to the rights that it needs: what is granted in the Ops Cluster, in a
// Management Cluster and in a Workload Cluster is compared with a list, and what must be refused is asked for.
package rbac_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

var (
	env                       *testenv.Env
	ops, management, workload *testenv.Server
	hub                       client.Client
	operator                  *testenv.Operator
)

func TestRBAC(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "RBAC Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "rbac", suite.Named("ops", "management", "workload")...)
	ops, management, workload = servers[0], servers[1], servers[2]
	Expect(management.StartClusterAPI(ctx)).To(Succeed())
	Expect(management.RegisterWorkload(ctx, "customer", "shop", workload)).To(Succeed())
	var kubeconfig []byte
	hub, kubeconfig = suite.Install(ctx, env, ops)
	root, err := testenv.Root()
	Expect(err).NotTo(HaveOccurred())
	_, err = env.Kubectl(ctx, ops, "apply", "-f", filepath.Join(root, "config/guard/role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(ops.Declare(ctx, "Environment production {stage: production}")).To(Succeed())
	Expect(ops.Connect(ctx, "management", "production", management.Kubeconfig())).To(Succeed())
	operator, err = env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s",
		"--guard-image=registry.example/skott:v0", "--zap-log-level=debug")
	Expect(err).NotTo(HaveOccurred())
	becomes(ctx, skottv1.ConditionGuarded)
	becomes(ctx, skottv1.ConditionLearning)
}, NodeTimeout(6*time.Minute))

// becomes waits until a condition of the ManagementCluster is true: the operator then has done all that it needs
// rights for, in it and in the cluster under it.
func becomes(ctx context.Context, condition string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		mc := &skottv1.ManagementCluster{}
		g.Expect(hub.Get(ctx, client.ObjectKey{Name: "management"}, mc)).To(Succeed())
		g.Expect(mc.Status.WorkloadClusters).NotTo(BeNil())
		g.Expect(mc.Status.WorkloadClusters.Total).To(HaveValue(BeEquivalentTo(1)))
		g.Expect(meta.IsStatusConditionTrue(mc.Status.Conditions, condition)).To(BeTrue(), "%+v", mc.Status.Conditions)
	}).WithContext(ctx).WithTimeout(3 * time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
}
