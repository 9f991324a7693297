// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// account is the operator in every cluster.
const account = "system:serviceaccount:skott-system:skott-operator"

// refusedRequests are the requests of the operator that the Ops Cluster answered with Forbidden, without repetitions.
func refusedRequests() []string {
	GinkgoHelper()
	file, err := os.Open(ops.AuditLog())
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	found := map[string]bool{}
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var event struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ResponseStatus   struct{ Code int }
		}
		if json.Unmarshal(line, &event) == nil && event.User.Username == account && event.ResponseStatus.Code == 403 {
			found[event.Verb+" "+event.RequestURI] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func hasEnoughRights(ctx SpecContext) {
	for _, s := range []*testenv.Server{ops, production, staging, shop} {
		rights, err := env.Kubectl(ctx, s, "auth", "can-i", "--list", "--as="+account, "--namespace="+system)
		Expect(err).NotTo(HaveOccurred())
		AddReportEntry("rights of the operator in "+s.Name(), ReportEntryVisibilityFailureOrVerbose, rights)
		Expect(rights).NotTo(ContainSubstring("*.*"))
		Expect(rights).NotTo(ContainSubstring("[*]"))
		_, err = env.Kubectl(ctx, s, "auth", "can-i", "list", "secrets", "--as="+account, "--all-namespaces")
		Expect(err).To(MatchError(ContainSubstring("no")), s.Name())
	}
	Expect(refusedRequests()).To(BeEmpty(), "the operator asked for what it may not do")
}

func judgesNamespaces(ctx SpecContext) {
	claim := func(name, environment string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {skott.dev/environment: %s}}\n", name, environment)
	}
	Expect(try(ctx, shop, claim("restore", "production"))).To(refuses("D403", `Environment "staging"`))
	Expect(try(ctx, shop, claim("restore", "nowhere"))).To(refuses("D403"))
	Expect(try(ctx, shop, claim("restore", "staging"))).To(Succeed())

	By("creating a namespace of staging in a production cluster")
	Expect(production.Client().Create(ctx, testenv.Parse(claim("rehearsal", "staging")))).To(Succeed())
	began := time.Now()
	eventually(ctx, production, bucket("rehearsal", "prod-backups"), refuses("D102", `Environment "staging"`))
	AddReportEntry("the namespace counts as staging after", time.Since(began).String())
	Expect(try(ctx, production, bucket("default", "prod-backups"))).To(Succeed())
	Expect(try(ctx, production, bucket("rehearsal", "stage-backups"))).To(Succeed())
	for _, label := range []string{"skott.dev/environment=production", "skott.dev/environment-", "skott.dev/stage=production"} {
		_, err := env.Kubectl(ctx, production, "label", "--overwrite", "namespace", "rehearsal", label)
		Expect(err).To(refuses("D504"), label)
	}
	_, err := env.Kubectl(ctx, production, "label", "namespace", "rehearsal", "team=payments")
	Expect(err).NotTo(HaveOccurred())
	_, err = env.Kubectl(ctx, production, "label", "namespace", "default", "skott.dev/environment=staging")
	Expect(err).To(refuses("D504"))
}

func keepsCustomersOut(ctx SpecContext) {
	cluster := func(ns string) string {
		return fmt.Sprintf(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: web, namespace: %s}
spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RealCluster, name: web}}
`, ns)
	}
	for _, s := range []*testenv.Server{production, staging} {
		for _, ns := range []string{"cust-vardhem", "customs"} {
			Expect(s.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})).To(Succeed())
		}
	}
	Expect(try(ctx, staging, cluster("cust-vardhem"))).To(refuses("D402", "cust-vardhem"))
	Expect(try(ctx, staging, cluster("customs"))).To(Succeed())
	Expect(try(ctx, production, cluster("cust-vardhem"))).To(Succeed())

	By("changing the list")
	change := func(list string) {
		Expect(hub.Patch(ctx, suite.Environment("staging"), client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"customerNamespaces":`+list+`}}`)))).To(Succeed())
	}
	change(`["cust-*","customs"]`)
	eventually(ctx, staging, cluster("customs"), refuses("D402"))
	change(`null`)
	eventually(ctx, staging, cluster("cust-vardhem"), Succeed())
	change(`["cust-*"]`)
	eventually(ctx, staging, cluster("cust-vardhem"), refuses("D402"))
}

func labelsArgoCDSecrets(ctx SpecContext) {
	secret := func(name, server string) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "argocd", Name: name, Labels: map[string]string{"argocd.argoproj.io/secret-type": "cluster"}},
			StringData: map[string]string{"name": name, "server": server, "config": "{}"},
		}
	}
	labels := func(name string) func() map[string]string {
		return func() map[string]string {
			s := &corev1.Secret{}
			if err := hub.Get(ctx, client.ObjectKey{Namespace: "argocd", Name: name}, s); err != nil {
				return nil
			}
			return s.Labels
		}
	}
	Expect(hub.Create(ctx, secret("shop", shop.URL()))).To(Succeed())
	Expect(hub.Create(ctx, secret("unrelated", "https://elsewhere.example:6443"))).To(Succeed())
	whole := And(HaveKeyWithValue(skottv1.LabelEnvironment, "staging"), HaveKeyWithValue(skottv1.LabelStage, "staging"),
		HaveKeyWithValue(skottv1.LabelDatacenter, "sto2"), HaveKeyWithValue(skottv1.LabelManagementCluster, "staging"),
		HaveKeyWithValue(skottv1.LabelGuarded, "true"), HaveKeyWithValue("argocd.argoproj.io/secret-type", "cluster"))
	Eventually(labels("shop")).WithTimeout(30 * time.Second).Should(whole)
	Expect(labels("unrelated")()).To(HaveLen(1))

	By("changing and removing them")
	for _, label := range []string{"skott.dev/environment=production", "skott.dev/guarded-"} {
		_, err := env.Kubectl(ctx, ops, "label", "--overwrite", "--namespace=argocd", "secret", "shop", label)
		Expect(err).NotTo(HaveOccurred())
		Eventually(labels("shop")).WithTimeout(30 * time.Second).Should(whole)
	}
	puts(ctx, "argocd", "shop", nil)
	puts(ctx, "argocd", "unrelated", nil)
}

// metric is the value of one series of the operator.
func metric(series string) func() string {
	return func() string { return operator.Metric(series) }
}

func reportsAndCounts(ctx SpecContext) {
	restored := metric(`skott_restored_total{kind="ValidatingAdmissionPolicyBinding"}`)
	before := restored()
	binding := testenv.Parse("apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: skott-network-deny}\n")
	Expect(shop.Client().Delete(ctx, binding)).To(Succeed())
	began := time.Now()
	Eventually(func() error { return shop.Client().Get(ctx, client.ObjectKeyFromObject(binding), binding) }).
		WithTimeout(5 * time.Second).WithPolling(time.Millisecond).Should(Succeed())
	AddReportEntry("a deleted binding was back after", time.Since(began).String())
	eventually(ctx, shop, service("orders.db.prod.example"), refuses("D101"))
	Eventually(func() []string { return eventNotes(ctx, "staging", "Restored") }).WithTimeout(10 * time.Second).
		Should(ContainElement(And(ContainSubstring("skott-network-deny"), ContainSubstring("platform/shop"))))
	Eventually(restored).WithTimeout(10 * time.Second).ShouldNot(Or(BeEmpty(), Equal(before)))

	By("counting")
	Eventually(metric(`skott_clusters{enforced="true",environment="staging"}`)).WithTimeout(10 * time.Second).Should(Equal("2"))
	Eventually(metric(`skott_clusters{enforced="true",environment="production"}`)).WithTimeout(10 * time.Second).Should(Equal("1"))
	Expect(metric(`skott_addresses{kind="Bucket",origin="declared"}`)()).To(Equal("1"))
	Expect(metric(`skott_addresses{kind="ClusterEndpoint",origin="learned"}`)()).NotTo(BeEmpty())
	all := metricsOf(operator)
	Expect(all).To(MatchRegexp(`(?m)^skott_policy_age_seconds\{cluster="staging/platform/shop"\} [0-9.]+$`))
	Expect(all).To(MatchRegexp(`(?m)^skott_decisions_total\{decision="deny",path="canary",reason="network"\} [1-9]`))
	Expect(all).To(ContainSubstring("skott_decision_duration_seconds_bucket"))
	Expect(all).NotTo(MatchRegexp(`(?m)^skott_canary_admitted_total\{.*\} [1-9]`))

	By("looking for secrets in all that the operator printed")
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(operator.LogFile()), "*.log"))
	Expect(err).NotTo(HaveOccurred())
	looked := 0
	for _, file := range logs {
		if name := filepath.Base(file); name != "skott.log" && !strings.HasPrefix(name, "replica-") {
			continue
		}
		content, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		Expect(content).NotTo(BeEmpty())
		Expect(leaks(string(content))).To(BeEmpty(), file)
		looked++
	}
	Expect(looked).To(BeNumerically(">=", 1))
}

// token is how a token of a service account begins, whatever it is for.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.`)

// leaks are the lines that hold something secret, cut short.
func leaks(log string) []string {
	secrets := []string{"PRIVATE KEY", "client-key-data", "not-a-token", "s3cr3t"}
	for _, s := range []*testenv.Server{ops, production, staging, shop, spare} {
		c := s.Config()
		secrets = append(secrets, base64.StdEncoding.EncodeToString(c.KeyData)[60:120])
	}
	var out []string
	for line := range strings.Lines(log) {
		if token.MatchString(line) || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(line, s) }) {
			out = append(out, line[:min(len(line), 200)])
		}
	}
	return out
}

// refusesAlone comes last: an Ops Cluster that was stopped takes long to be itself again.
func refusesAlone(ctx SpecContext) {
	By("having asked, in all that happened, for nothing that config/rbac does not grant, but what a story provoked")
	Expect(slices.DeleteFunc(refusedRequests(), func(r string) bool {
		return r == "get /api/v1/namespaces/default/secrets/elsewhere"
	})).To(BeEmpty())
	answers := func(g Gomega, ctx context.Context) {
		g.Expect(try(ctx, shop, service("orders.db.prod.example"))).To(refuses("D101"))
		g.Expect(try(ctx, shop, bucket("default", "prod-backups"))).To(refuses("D102"))
		g.Expect(try(ctx, shop, bucket("default", "stage-backups"))).To(Succeed())
		g.Expect(try(ctx, production, bucket("rehearsal", "prod-backups"))).To(refuses("D102"))
		g.Expect(try(ctx, production, bucket("default", "prod-backups"))).To(Succeed())
		_, err := env.Kubectl(ctx, shop, "delete", "guard", "skott")
		g.Expect(err).To(refuses("D501"))
	}
	Expect(operator.Stop()).To(Succeed())
	Consistently(answers).WithContext(ctx).WithTimeout(2 * time.Second).Should(Succeed())
	Expect(ops.Stop()).To(Succeed())
	Consistently(answers).WithContext(ctx).WithTimeout(3 * time.Second).Should(Succeed())
}
