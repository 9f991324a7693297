// SPDX-License-Identifier: Apache-2.0

// Package learn_test lets the operator learn the addresses of a platform: a production Environment of two sites and one
// of staging, with real API servers and the kinds of Velero. Nobody declares an address unless a story is about that.
package learn_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
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
	ctrllog.SetLogger(GinkgoLogr)
	dir, err := os.MkdirTemp("", "skott-learn-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx, testenv.Options{Name: "ops"}, testenv.Options{Name: "sto2"},
		testenv.Options{Name: "osl2"}, testenv.Options{Name: "staging"})
	Expect(err).NotTo(HaveOccurred())
	ops, sto2, osl2, staging = servers[0], servers[1], servers[2], servers[3]
	hub, err = ops.HubClient(0)
	Expect(err).NotTo(HaveOccurred())

	locations, err := testenv.BackupStorageLocations(ctx)
	Expect(err).NotTo(HaveOccurred())
	barman, err = testenv.CRDs(ctx, testenv.BarmanCloud)
	Expect(err).NotTo(HaveOccurred())
	var group errgroup.Group
	for _, s := range servers[1:] {
		group.Go(func() error { return s.Install(ctx, locations...) })
	}
	Expect(group.Wait()).To(Succeed())
	operatorKubeconfig, err = env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(4*time.Minute))

const platform = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: production}
spec: {stage: production}
---
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec: {stage: staging}
---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Deny}
`

// connect makes a server a ManagementCluster of its name.
func connect(ctx context.Context, s *testenv.Server, environment, kubeconfig string) {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: s.Name()}, Data: map[string][]byte{"value": []byte(kubeconfig)}}
	if err := hub.Create(ctx, secret); !apierrors.IsAlreadyExists(err) {
		Expect(err).NotTo(HaveOccurred())
	}
	Expect(ops.ApplyYAML(ctx, fmt.Appendf(nil, `
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: %[1]s}
spec:
  environmentRef: {name: %[2]s}
  datacenter: %[1]s
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: %[1]s}}
`, s.Name(), environment))).To(Succeed())
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

// condition is TYPE=STATUS/REASON: MESSAGE of one.
func condition(ctx context.Context, o interface {
	client.Object
	GetConditions() []metav1.Condition
}, kind string) string {
	if err := hub.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err.Error()
	}
	c := meta.FindStatusCondition(o.GetConditions(), kind)
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message)
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
