// SPDX-License-Identifier: Apache-2.0

// Package scan_test finds what was in real API servers before the guard, and follows it until it is gone.
package scan_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// innocents are as many objects of staging that cross nothing.
const innocents = 40

var (
	env                      *testenv.Env
	ops, production, staging *testenv.Server
	hub                      client.Client
	operator                 *testenv.Operator
)

func TestScan(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Scan Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrllog.SetLogger(GinkgoLogr)
	dir, err := os.MkdirTemp("", "skott-scan-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err = testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx, testenv.Options{Name: "ops"}, testenv.Options{Name: "production"}, testenv.Options{Name: "staging"})
	Expect(err).NotTo(HaveOccurred())
	ops, production, staging = servers[0], servers[1], servers[2]
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(skottv1.AddToScheme(scheme)).To(Succeed())
	hub, err = client.New(ops.Config(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	By("growing a platform that nobody has guarded")
	crds, err := testenv.CRDs(ctx, testenv.Velero, testenv.OpenReports)
	Expect(err).NotTo(HaveOccurred())
	Expect(staging.Install(ctx, crds...)).To(Succeed())
	Expect(staging.ApplyYAML(ctx, []byte(oldStaging))).To(Succeed())
	Expect(production.ApplyYAML(ctx, []byte(oldProduction))).To(Succeed())
	for i := range innocents {
		Expect(staging.Client().Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("innocent-%d", i)},
			Data: map[string]string{"url": "postgres://web.db.stage.example/web"}})).To(Succeed())
	}

	By("installing Skott")
	kubeconfig, err := env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	operator, err = env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s", "--zap-log-level=debug")
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(5*time.Minute))

// join makes a server a ManagementCluster.
func join(ctx context.Context, s *testenv.Server, datacenter string) {
	GinkgoHelper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: "mc-" + s.Name()}, Data: map[string][]byte{"value": s.Kubeconfig()}}
	Expect(hub.Create(ctx, secret)).To(Succeed())
	Expect(ops.ApplyYAML(ctx, fmt.Appendf(nil, member, s.Name(), datacenter))).To(Succeed())
}

func boundary(ctx context.Context) *skottv1.DataBoundary {
	GinkgoHelper()
	b := &skottv1.DataBoundary{}
	Expect(hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, b)).To(Succeed())
	return b
}

// patch merges a JSON patch into an object of the hub.
func patch(ctx context.Context, o client.Object, name, text string) {
	GinkgoHelper()
	o.SetName(name)
	Expect(hub.Patch(ctx, o, client.RawPatch("application/merge-patch+json", []byte(text)))).To(Succeed())
}

// says is STATUS/REASON: MESSAGE of a condition.
func says(o interface{ GetConditions() []metav1.Condition }, name string) string {
	c := meta.FindStatusCondition(o.GetConditions(), name)
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s/%s: %s", c.Status, c.Reason, c.Message)
}

// rows are the breakdown of the boundary as ENVIRONMENT DATACENTER CLUSTER KIND COUNT, with how many there are in all.
func rows(ctx context.Context) []string {
	GinkgoHelper()
	b := boundary(ctx)
	total, out := int32(0), []string{}
	for _, r := range b.Status.Breakdown {
		Expect(r.Since).NotTo(BeNil())
		Expect(r.Since.Time).To(BeTemporally("~", time.Now(), 20*time.Minute))
		total += *r.Count
		out = append(out, fmt.Sprintf("%s %s %s %s %d", r.Environment, r.Datacenter, r.Cluster, r.Kind, *r.Count))
	}
	if b.Status.Violations != nil {
		Expect(total).To(Equal(*b.Status.Violations))
	}
	return out
}

// soon waits for what a person would wait for.
func soon(ctx context.Context, within time.Duration, what func(Gomega)) {
	GinkgoHelper()
	began := time.Now()
	Eventually(what).WithContext(ctx).WithTimeout(within).WithPolling(100 * time.Millisecond).Should(Succeed())
	AddReportEntry("after", time.Since(began).Round(100*time.Millisecond).String())
}

// reports are the objects that a cluster has a report on, as KIND NAMESPACE/NAME.
func reports(ctx context.Context, s *testenv.Server) []string {
	GinkgoHelper()
	out := []string{}
	for _, kind := range []string{"ReportList", "ClusterReportList"} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("openreports.io/v1alpha1")
		list.SetKind(kind)
		Expect(s.Client().List(ctx, list)).To(Succeed())
		for i := range list.Items {
			scope, _, err := unstructured.NestedStringMap(list.Items[i].Object, "scope")
			Expect(err).NotTo(HaveOccurred())
			out = append(out, strings.TrimSpace(scope["kind"]+" "+scope["namespace"]+"/"+scope["name"]))
		}
	}
	return out
}

var _ = AfterEach(func() {
	if CurrentSpecReport().Failed() && operator != nil {
		content, _ := os.ReadFile(operator.LogFile())
		AddReportEntry("operator", string(content[max(0, len(content)-10_000):]), ReportEntryVisibilityFailureOrVerbose)
	}
})
