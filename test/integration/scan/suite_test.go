// SPDX-License-Identifier: Apache-2.0

// Package scan_test finds what was in real API servers before the guard, and follows it until it is gone.
package scan_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// innocents are as many objects of staging that cross nothing.
const innocents = 40

var (
	env                                 *testenv.Env
	ops, production, staging, untouched *testenv.Server
	hub                                 client.Client
	operator                            *testenv.Operator
)

func TestScan(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Scan Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "scan", suite.Named("ops", "production", "staging", "untouched")...)
	ops, production, staging, untouched = servers[0], servers[1], servers[2], servers[3]

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
	var kubeconfig []byte
	hub, kubeconfig = suite.Install(ctx, env, ops)
	operator, err = env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s", "--zap-log-level=debug")
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(5*time.Minute))

// join makes a server a ManagementCluster, of which nothing is learned: what crosses here is declared.
func join(ctx context.Context, s *testenv.Server, datacenter string, kubeconfig []byte) {
	GinkgoHelper()
	environment := s.Name()
	if s == untouched {
		environment = "staging"
	}
	Expect(ops.Connect(ctx, "mc-"+s.Name(), environment, kubeconfig, "datacenter: "+datacenter, "learn: {disabled: true}")).To(Succeed())
}

func boundary(ctx context.Context) *skottv1.DataBoundary {
	GinkgoHelper()
	b := &skottv1.DataBoundary{}
	Expect(hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, b)).To(Succeed())
	return b
}

func environment(ctx context.Context, name string) *skottv1.Environment {
	GinkgoHelper()
	e := &skottv1.Environment{}
	Expect(hub.Get(ctx, client.ObjectKey{Name: name}, e)).To(Succeed())
	return e
}

// change merges a JSON patch into the boundary.
func change(ctx context.Context, text string) {
	GinkgoHelper()
	b := &skottv1.DataBoundary{}
	b.Name = "customer-data"
	Expect(hub.Patch(ctx, b, client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
}

func configMap(namespace, name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func filled(c *corev1.ConfigMap, host string) *corev1.ConfigMap {
	c.Data = map[string]string{"host": host}
	return c
}

// named is an object of any kind, by name.
func named(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// metric adds up the series that begin so.
func metric(prefix string) (sum float64) {
	GinkgoHelper()
	found := false
	for line := range strings.Lines(operator.Metrics()) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		Expect(err).NotTo(HaveOccurred())
		sum, found = sum+value, true
	}
	Expect(found).To(BeTrue(), "no series %s", prefix)
	return sum
}

// completed is when the last round of a cluster ended.
func completed(cluster string) time.Time {
	GinkgoHelper()
	age := metric(fmt.Sprintf(`skott_scan_age_seconds{cluster=%q}`, cluster))
	return time.Now().Add(-time.Duration(age * float64(time.Second)))
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

var _ = AfterEach(func(ctx SpecContext) { suite.Explain(ctx, env, ops, operator) })
