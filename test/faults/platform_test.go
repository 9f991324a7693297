// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

const declared = `
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
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: staging-data}
spec:
  environmentRef: {name: staging}
  addresses: [{type: Bucket, value: "https://s3.sto2.example/stage-backups"}]
`

const boundary = `
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Deny}
`

// clusters that are guarded, by the names that metrics give them.
func clusters() map[string]*testenv.Server {
	return map[string]*testenv.Server{"ops": ops, "production": production, "staging": staging, "staging/platform/shop": shop}
}

func managementCluster(name string) string {
	return fmt.Sprintf(`
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: %[1]s}
spec:
  environmentRef: {name: %[1]s}
  datacenter: sto2
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: %[1]s}}
`, name)
}

// location declares one bucket of production.
func location(name string) string {
	return fmt.Sprintf(`
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: %[1]s}
spec: {environmentRef: {name: production}, addresses: [{type: Host, value: %[1]s.prod.example}]}
`, name)
}

// connect writes the platform down, with the ways to its clusters that can be harmed.
func connect(ctx context.Context) (err error) {
	if wire, err = testenv.NewWire(production); err != nil {
		return err
	}
	if trouble, err = testenv.NewTrouble(staging); err != nil {
		return err
	}
	token, err := staging.Administrator(ctx, "platform-admin")
	if err != nil {
		return err
	}
	for name, kubeconfig := range map[string][]byte{"production": productionKubeconfig(), "staging": trouble.Kubeconfig(token)} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: name}, Data: map[string][]byte{"value": kubeconfig}}
		if err := hub.Create(ctx, secret); err != nil {
			return err
		}
	}
	return ops.ApplyYAML(ctx, []byte(strings.Join([]string{declared, boundary, managementCluster("production"), managementCluster("staging")}, "---")))
}

func productionKubeconfig() []byte {
	through := production.Config()
	through.Host = wire.URL()
	return testenv.KubeconfigFor("production", through)
}

// condition of an object of the hub, as "True/Reason: message".
func condition(ctx context.Context, o interface {
	client.Object
	GetConditions() []metav1.Condition
}, kind string,
) string {
	if err := hub.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err.Error()
	}
	c := meta.FindStatusCondition(o.GetConditions(), kind)
	if c == nil || c.ObservedGeneration != o.GetGeneration() {
		return "there is no " + kind + " for this generation"
	}
	return string(c.Status) + "/" + c.Reason + ": " + c.Message
}

func dataBoundary() *skottv1.DataBoundary {
	return &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "customer-data"}}
}

// says waits until a condition begins with a text and contains others.
func says(ctx context.Context, kind, name, begins string, words ...string) {
	GinkgoHelper()
	Eventually(func() string { return condition(ctx, suite.ManagementCluster(name), kind) }).WithContext(ctx).WithTimeout(45 * time.Second).
		WithPolling(100 * time.Millisecond).Should(And(HavePrefix(begins), containAll(words)))
}

func containAll(words []string) OmegaMatcher {
	all := []OmegaMatcher{Not(BeEmpty())}
	for _, w := range words {
		all = append(all, ContainSubstring(w))
	}
	return And(all...)
}

// settled waits until everything is published and proved.
func settled(ctx context.Context) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		b := dataBoundary()
		g.Expect(condition(ctx, b, skottv1.ConditionPublished)).To(HavePrefix("True/"))
		g.Expect(condition(ctx, b, skottv1.ConditionEnforced)).To(HavePrefix("True/"))
		g.Expect(*b.Status.GuardedClusters.Enforced).To(BeNumerically("==", len(clusters())))
		for _, name := range []string{"ops", "production", "staging"} {
			g.Expect(condition(ctx, suite.ManagementCluster(name), skottv1.ConditionGuarded)).To(HavePrefix("True/"), name)
			g.Expect(condition(ctx, suite.ManagementCluster(name), skottv1.ConditionReachable)).To(HavePrefix("True/"), name)
		}
		for name := range clusters() {
			g.Expect(age(name)).To(BeNumerically("<", 3*canaryInterval), name)
		}
	}).WithContext(ctx).WithTimeout(150 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed())
}

// statusIsSo compares what the hub says with what the clusters answer and hold.
func statusIsSo(ctx context.Context) {
	GinkgoHelper()
	canary := testenv.Parse("{apiVersion: skott.dev/v1alpha1, kind: Guard, metadata: {name: skott}}")
	revisions := map[string]bool{}
	for name, s := range clusters() {
		Expect(deniedBySkott(s.Client().Delete(ctx, canary.DeepCopy(), client.DryRunAll))).To(BeTrue(), name)
		g := testenv.Parse("{apiVersion: skott.dev/v1alpha1, kind: Guard, metadata: {name: skott}}")
		Expect(s.Client().Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
		revision, _, _ := unstructured.NestedString(g.Object, "spec", "revision")
		Expect(revision).NotTo(BeEmpty())
		revisions[revision] = true
	}
	Expect(revisions).To(HaveLen(len(clusters())), "the revision of each cluster is of what it holds")
	for _, s := range []*testenv.Server{staging, shop} {
		Expect(deniedBySkott(tries(ctx, s, service("orders.db.prod.example")))).To(BeTrue(), s.Name())
		Expect(tries(ctx, s, service("db.elsewhere.example"))).To(Succeed(), s.Name())
	}
}

// tries asks an API server, by dry run, to create an object.
func tries(ctx context.Context, s *testenv.Server, text string) error {
	return s.Client().Create(ctx, testenv.Parse(text), client.DryRunAll)
}

// age of the last proof of a cluster, by the operator's metrics; an hour if it says nothing.
func age(cluster string) time.Duration {
	seconds, err := strconv.ParseFloat(operator.Metric(`skott_policy_age_seconds{cluster="`+cluster+`"}`), 64)
	if err != nil {
		return time.Hour
	}
	return time.Duration(seconds * float64(time.Second))
}

// acts waits until an address that was just declared is refused.
func acts(ctx context.Context, host string, servers ...*testenv.Server) {
	GinkgoHelper()
	for _, s := range servers {
		Eventually(func() bool { return deniedBySkott(tries(ctx, s, service(host))) }).WithContext(ctx).
			WithTimeout(60*time.Second).WithPolling(50*time.Millisecond).Should(BeTrue(), "%s in %s", host, s.Name())
	}
}

// writes repeats an apply until the Ops Cluster takes it, as somebody would who finds it away.
func writes(ctx context.Context, yaml string) {
	GinkgoHelper()
	Eventually(func() error { return ops.ApplyYAML(ctx, []byte(yaml)) }).WithContext(ctx).WithTimeout(60 * time.Second).Should(Succeed())
}

func remove(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Eventually(func() error {
			if err := hub.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
				return err
			}
			if err := hub.Get(ctx, client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %w", o.GetName(), err)
			}
			return nil
		}).WithContext(ctx).WithTimeout(60 * time.Second).Should(Succeed())
	}
}

// explainFailure prints what a user would look at first.
func explainFailure(ctx SpecContext) {
	if !CurrentSpecReport().Failed() {
		return
	}
	state, _ := env.Kubectl(ctx, ops, "get", "managementclusters,databoundaries", "-o",
		`go-template={{range .items}}{{.kind}} {{.metadata.name}}{{"\n"}}{{range .status.conditions}}  {{.type}}={{.status}}/{{.reason}} {{.message}}{{"\n"}}{{end}}{{end}}`)
	AddReportEntry("state", state)
	log, _ := os.ReadFile(operator.LogFile())
	AddReportEntry("end of the operator's log", string(log[max(0, len(log)-5000):]))
}
