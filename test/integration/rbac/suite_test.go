// SPDX-License-Identifier: Apache-2.0

// Package rbac_test holds every account of Skott to the rights that it needs: what is granted in the Ops Cluster, in a
// Management Cluster and in a Workload Cluster is compared with a list, and what must be refused is asked for.
package rbac_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
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

const platform = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: production}
spec: {stage: production}
---
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: management}
spec:
  environmentRef: {name: production}
  datacenter: sto2
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: management}}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrllog.SetLogger(GinkgoLogr)
	dir, err := os.MkdirTemp("", "skott-rbac-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx, testenv.Options{Name: "ops"}, testenv.Options{Name: "management"}, testenv.Options{Name: "workload"})
	Expect(err).NotTo(HaveOccurred())
	ops, management, workload = servers[0], servers[1], servers[2]
	hub, err = ops.HubClient(0)
	Expect(err).NotTo(HaveOccurred())

	Expect(management.StartClusterAPI(ctx)).To(Succeed())
	Expect(management.RegisterWorkload(ctx, "customer", "shop", workload)).To(Succeed())
	kubeconfig, err := env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	root, err := testenv.Root()
	Expect(err).NotTo(HaveOccurred())
	_, err = env.Kubectl(ctx, ops, "apply", "-f", filepath.Join(root, "config/guard/role.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(hub.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "management"},
		Data: map[string][]byte{"value": management.Kubeconfig()}})).To(Succeed())
	Expect(ops.ApplyYAML(ctx, []byte(platform))).To(Succeed())
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
