// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// system is where Secrets and the operator's account are.
const system = "skott-system"

// declared is what the platform team wrote down.
const declared = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: production}
spec: {stage: production, datacenters: [sto2]}
---
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec: {stage: staging, datacenters: [sto2], customerNamespaces: ["cust-*"]}
---
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: ops}
spec: {datacenter: sto2, role: Ops, connection: {inCluster: {}}}
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: production-data}
spec:
  environmentRef: {name: production}
  addresses:
  - {type: Bucket, value: "https://s3.sto2.example/prod-backups"}
  - {type: Host, value: "*.db.prod.example"}
`

const boundary = `
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Deny}
`

// managementCluster is one that a kubeconfig Secret of its name leads to.
func managementCluster(name, environment string) string {
	return fmt.Sprintf(`
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: %[1]s}
spec:
  environmentRef: {name: %[2]s}
  datacenter: sto2
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: %[1]s}}
`, name, environment)
}

// location declares one address.
func location(name, environment, kind, value string) string {
	return fmt.Sprintf(`
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: %s}
spec: {environmentRef: {name: %s}, addresses: [{type: %s, value: %q}]}
`, name, environment, kind, value)
}

// declare writes down everything, in the order in which nothing is ever open.
func declare(ctx context.Context) {
	GinkgoHelper()
	writeSecret(ctx, system, "production", map[string][]byte{"value": production.Kubeconfig()})
	writeSecret(ctx, system, "staging", map[string][]byte{"value": staging.Kubeconfig()})
	Expect(ops.ApplyYAML(ctx, []byte(strings.Join([]string{
		declared, boundary, managementCluster("production", "production"), managementCluster("staging", "staging"),
	}, "---")))).To(Succeed())
}

// writeSecret replaces what a Secret of the Ops Cluster holds.
func writeSecret(ctx context.Context, ns, name string, data map[string][]byte) {
	GinkgoHelper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	if err := hub.Get(ctx, client.ObjectKeyFromObject(s), s); client.IgnoreNotFound(err) == nil && err != nil {
		s.Data = data
		Expect(hub.Create(ctx, s)).To(Succeed())
		return
	}
	if reflect.DeepEqual(s.Data, data) {
		return
	}
	s.Data = data
	Expect(hub.Update(ctx, s)).To(Succeed())
}

// platformUp writes the platform down and runs the operator, as far as that was not done, or was undone by a story
// that failed.
func platformUp(ctx context.Context) {
	GinkgoHelper()
	declare(ctx)
	if metricsOf(operator) == "" {
		startOperator(ctx)
	}
}

// startOperator runs the operator, which must not run.
func startOperator(ctx context.Context) {
	GinkgoHelper()
	if operator != nil {
		Expect(operator.Start(ctx)).To(Succeed())
		return
	}
	var err error
	operator, err = env.StartOperator(ctx, "skott", operatorKubeconfig, operatorFlags...)
	Expect(err).NotTo(HaveOccurred())
}

// settled waits until everything of the platform is as it should be.
func settled(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		for _, name := range []string{"production", "staging"} {
			e := suite.Environment(name)
			g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
			g.Expect(e).To(have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady))
		}
		for _, name := range []string{"ops", "production", "staging"} {
			mc := suite.ManagementCluster(name)
			g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(mc), mc)).To(Succeed())
			g.Expect(mc).To(have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady))
			g.Expect(mc).To(have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
		}
		b := suite.DataBoundary("customer-data")
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(b), b)).To(Succeed())
		g.Expect(b).To(have(skottv1.ConditionPublished, metav1.ConditionTrue, skottv1.ReasonPublished))
		g.Expect(b).To(have(skottv1.ConditionEnforced, metav1.ConditionTrue, skottv1.ReasonEnforced))
		g.Expect(*b.Status.GuardedClusters.Enforced).To(BeNumerically("==", 4))
	}).WithContext(ctx).WithTimeout(90 * time.Second).WithPolling(100 * time.Millisecond).Should(Succeed())
}

// have matches an object whose condition is as given, for the spec that it has now.
func have(kind string, state metav1.ConditionStatus, reason string, words ...string) OmegaMatcher {
	return WithTransform(func(o suite.Conditioned) string {
		c := meta.FindStatusCondition(o.GetConditions(), kind)
		if c == nil {
			return fmt.Sprintf("%s has no condition %s", o.GetName(), kind)
		}
		if c.Status == state && c.Reason == reason && c.ObservedGeneration == o.GetGeneration() && containsAll(c.Message, words) {
			return ""
		}
		return fmt.Sprintf("%s has %s=%s/%s at generation %d of %d: %s; not %s/%s %q",
			o.GetName(), kind, c.Status, c.Reason, c.ObservedGeneration, o.GetGeneration(), c.Message, state, reason, words)
	}, BeEmpty())
}

func containsAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// becomes waits until an object in the Ops Cluster is as given.
func becomes(ctx context.Context, o suite.Conditioned, as OmegaMatcher) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
		g.Expect(o).To(as)
	}).WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(50 * time.Millisecond).Should(Succeed())
}

// gone waits until an object of the Ops Cluster is deleted.
func gone(ctx context.Context, o client.Object) {
	GinkgoHelper()
	Eventually(func() error { return hub.Get(ctx, client.ObjectKeyFromObject(o), o) }).
		WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(50 * time.Millisecond).Should(MatchError(ContainSubstring("not found")))
}

// remove deletes objects of the Ops Cluster and waits until they are gone.
func remove(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(client.IgnoreNotFound(hub.Delete(ctx, o))).To(Succeed())
	}
	for _, o := range objects {
		gone(ctx, o)
	}
}

// parse reads one object.
// try asks an API server, by dry run, whether it would create an object.
func try(ctx context.Context, s *testenv.Server, text string) error {
	GinkgoHelper()
	return s.Client().Create(ctx, testenv.Parse(text), client.DryRunAll)
}

// bucket is a backup location of Velero.
func bucket(ns, name string) string {
	return fmt.Sprintf(`
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {name: nightly, namespace: %s}
spec: {provider: aws, objectStorage: {bucket: %s}, config: {region: sto2, s3Url: "https://s3.sto2.example"}}
`, ns, name)
}

// service gives a host a harmless local name.
func service(host string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {type: ExternalName, externalName: %s}
`, host)
}

// refuses matches an answer that carries a code.
func refuses(code string, words ...string) OmegaMatcher {
	all := []OmegaMatcher{MatchError(ContainSubstring("SKOTT-" + code))}
	for _, w := range words {
		all = append(all, MatchError(ContainSubstring(w)))
	}
	return And(all...)
}

// eventually repeats a request until the answer is as given.
func eventually(ctx context.Context, s *testenv.Server, text string, answer OmegaMatcher) {
	GinkgoHelper()
	Eventually(func() error { return try(ctx, s, text) }).
		WithContext(ctx).WithTimeout(20 * time.Second).WithPolling(20 * time.Millisecond).Should(answer)
}

// guardOf reads the Guard of a cluster.
func guardOf(ctx context.Context, s *testenv.Server) (*skottv1.Guard, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(skottv1.GroupVersion.WithKind("Guard"))
	if err := s.Client().Get(ctx, client.ObjectKey{Name: "skott"}, u); err != nil {
		return nil, err
	}
	g := &skottv1.Guard{}
	return g, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, g)
}

// labelsOf reads the labels of a Cluster.
func labelsOf(ctx context.Context, s *testenv.Server, ns, name string) map[string]string {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("cluster.x-k8s.io/v1beta2")
	u.SetKind("Cluster")
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		return nil
	}
	return u.GetLabels()
}

// explainFailure prints what a user would look at first.
func explainFailure(ctx SpecContext) {
	if !CurrentSpecReport().Failed() {
		return
	}
	state, _ := env.Kubectl(ctx, ops, "get", "environments,managementclusters,databoundaries,datalocations", "-o",
		`go-template={{range .items}}{{.kind}} {{.metadata.name}}{{"\n"}}{{range .status.conditions}}  {{.type}}={{.status}}/{{.reason}} {{.message}}{{"\n"}}{{end}}{{end}}`)
	AddReportEntry("state", state)
	if operator != nil {
		log, _ := os.ReadFile(operator.LogFile())
		AddReportEntry("end of the operator's log", string(log[max(0, len(log)-6000):]))
	}
}
