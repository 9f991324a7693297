// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// administrator makes an account that may do everything in a cluster, and returns a token of it.
func administrator(ctx context.Context, s *testenv.Server, name string) string {
	GinkgoHelper()
	token, err := s.Administrator(ctx, name)
	Expect(err).NotTo(HaveOccurred())
	return token
}

// expired signs a token again, with the key of its API server, as one whose time is over.
func expired(s *testenv.Server, token string) string {
	GinkgoHelper()
	old, err := s.Expired(token)
	Expect(err).NotTo(HaveOccurred())
	return old
}

// broken is a Secret that does not lead to the spare cluster, and what is said about it.
type broken struct {
	what   string
	data   map[string][]byte // nil: there is no Secret
	reason string
	words  []string
}

// brokenConnections are the ways in which the kubeconfig of the spare cluster can be wrong, and the right one.
func brokenConnections(ctx context.Context) (all []broken, right map[string][]byte) {
	token := administrator(ctx, spare, "platform-admin")
	config := func(change func(*rest.Config)) map[string][]byte {
		c := &rest.Config{Host: spare.URL(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: spare.CA()}}
		change(c)
		return map[string][]byte{"value": testenv.KubeconfigFor("spare", c)}
	}
	right = config(func(*rest.Config) {})
	nobody, err := spare.ConfigFor("nobody")
	Expect(err).NotTo(HaveOccurred())
	runs := strings.Replace(string(right["value"]), "token: "+token, "exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true, interactiveMode: Never}", 1)
	reads := strings.Replace(string(right["value"]), "token: "+token, "tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token", 1)
	Expect(runs).To(ContainSubstring("exec:"))
	return []broken{
		{"there is no Secret", nil, skottv1.ReasonSecretNotFound, []string{"skott-system/newcomer"}},
		{"it has another key", map[string][]byte{"kubeconfig": right["value"]}, skottv1.ReasonSecretKeyNotFound, []string{`"value"`}},
		{"it holds no kubeconfig", map[string][]byte{"value": []byte("s3cr3t: [")}, skottv1.ReasonInvalidKubeconfig, []string{"holds no kubeconfig"}},
		{"it holds an empty one", map[string][]byte{"value": []byte("apiVersion: v1\nkind: Config\n")}, skottv1.ReasonInvalidKubeconfig, nil},
		{"it runs a program", map[string][]byte{"value": []byte(runs)}, skottv1.ReasonConnectionNotSupported, []string{"runs a program"}},
		{"it reads files of the operator", map[string][]byte{"value": []byte(reads)}, skottv1.ReasonConnectionNotSupported, []string{"names files"}},
		{"it points nowhere", config(func(c *rest.Config) { c.Host = "https://127.0.0.1:1" }), skottv1.ReasonUnreachable, []string{"connection refused"}},
		{"its credentials are unknown", config(func(c *rest.Config) { c.BearerToken = "not-a-token" }), skottv1.ReasonUnauthorized, nil},
		{"its credentials have expired", config(func(c *rest.Config) { c.BearerToken = expired(spare, token) }), skottv1.ReasonUnauthorized, nil},
		{"its credentials may do nothing", map[string][]byte{"value": testenv.KubeconfigFor("spare", nobody)}, skottv1.ReasonForbidden, []string{"nobody"}},
		{"the certificate does not verify", config(func(c *rest.Config) { c.CAData = shop.CA() }), skottv1.ReasonCertificateInvalid, nil},
	}, right
}

// steady records when one of the other ManagementClusters is not Ready.
func steady(ctx context.Context) (stop func() []string) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	found, done := []string{}, make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			for _, name := range []string{"ops", "production", "staging"} {
				mc := suite.ManagementCluster(name)
				if err := hub.Get(ctx, client.ObjectKeyFromObject(mc), mc); err != nil {
					continue
				}
				if ok, _ := have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady).Match(mc); !ok {
					found = append(found, fmt.Sprintf("%s: %v", name, mc.Status.Conditions))
				}
			}
		}
	}()
	return func() []string {
		cancel()
		<-done
		return slices.Compact(found)
	}
}

// puts makes a Secret say what is given, or takes it away.
func puts(ctx context.Context, ns, name string, data map[string][]byte) {
	GinkgoHelper()
	if data == nil {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		Expect(client.IgnoreNotFound(hub.Delete(ctx, s))).To(Succeed())
		return
	}
	writeSecret(ctx, ns, name, data)
}

const testingEnvironment = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: testing}
spec: {stage: testing}
`

// breaks makes a connection wrong in every way, and right again after each, and looks at what is said meanwhile. The
// first round meets a ManagementCluster that was never reached.
func breaks(ctx context.Context, ns, name string, ways []broken, right map[string][]byte) {
	GinkgoHelper()
	mc := suite.ManagementCluster(name)
	others := steady(ctx)
	for _, b := range ways {
		puts(ctx, ns, name, b.data)
		By("never reached, " + b.what)
		becomes(ctx, mc, have(skottv1.ConditionReachable, metav1.ConditionFalse, b.reason, b.words...))
		becomes(ctx, mc, have(skottv1.ConditionReady, metav1.ConditionFalse, b.reason))
	}
	puts(ctx, ns, name, right)
	becomes(ctx, mc, have(skottv1.ConditionReachable, metav1.ConditionTrue, skottv1.ReasonReachable))
	becomes(ctx, mc, have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	generation, uid := mc.Generation, mc.UID
	for _, b := range ways {
		puts(ctx, ns, name, b.data)
		By("reached before, " + b.what)
		becomes(ctx, mc, have(skottv1.ConditionReachable, metav1.ConditionFalse, b.reason, b.words...))
		Expect(try(ctx, spare, service("orders.db.prod.example"))).To(refuses("D101"), "its guard stays")
		puts(ctx, ns, name, right)
		began := time.Now()
		becomes(ctx, mc, have(skottv1.ConditionReachable, metav1.ConditionTrue, skottv1.ReasonReachable))
		AddReportEntry(name+" recovered from: "+b.what, time.Since(began).String())
	}
	becomes(ctx, mc, have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	Expect(mc.Generation).To(Equal(generation), "it was not edited")
	Expect(mc.UID).To(Equal(uid))
	Expect(others()).To(BeEmpty(), "the others are unaffected")
	for _, name := range []string{"ops", "production", "staging"} {
		becomes(ctx, suite.ManagementCluster(name), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	}
	becomes(ctx, suite.DataBoundary("customer-data"), have(skottv1.ConditionEnforced, metav1.ConditionTrue, skottv1.ReasonEnforced))
}

func saysWhyUnreachable(ctx SpecContext) {
	ways, right := brokenConnections(ctx)
	Expect(ops.ApplyYAML(ctx, []byte(testingEnvironment+"---"+managementCluster("newcomer", "testing")))).To(Succeed())
	breaks(ctx, system, "newcomer", ways, right)
	remove(ctx, suite.ManagementCluster("newcomer"), suite.DataLocation("clusters.newcomer.testing.0"), suite.Environment("testing"))

	By("naming a Secret that config/rbac does not let the operator read")
	Expect(ops.ApplyYAML(ctx, []byte(strings.Replace(managementCluster("elsewhere", "staging"), "namespace: skott-system", "namespace: default", 1)))).To(Succeed())
	becomes(ctx, suite.ManagementCluster("elsewhere"), have(skottv1.ConditionReachable, metav1.ConditionFalse, skottv1.ReasonForbidden, "default/elsewhere"))
	remove(ctx, suite.ManagementCluster("elsewhere"))
}

// argoCDSecret is what the cluster Secret of Argo CD for a server holds.
func argoCDSecret(c *rest.Config) map[string][]byte {
	GinkgoHelper()
	config, err := json.Marshal(map[string]any{"bearerToken": c.BearerToken, "tlsClientConfig": map[string]any{
		"caData": c.CAData, "certData": c.CertData, "keyData": c.KeyData,
	}})
	Expect(err).NotTo(HaveOccurred())
	return map[string][]byte{"name": []byte("spare"), "server": []byte(c.Host), "config": config}
}

func connectsThroughArgoCD(ctx SpecContext) {
	right := argoCDSecret(spare.Config())
	with := func(key, value string) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range right {
			out[k] = v
		}
		out[key] = []byte(value)
		return out
	}
	stranger := spare.Config()
	stranger.CAData = shop.CA()
	Expect(ops.ApplyYAML(ctx, []byte(testingEnvironment+`---
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: by-argocd}
spec:
  environmentRef: {name: testing}
  datacenter: sto2
  role: Management
  connection: {argoCDClusterSecretRef: {namespace: argocd, name: by-argocd}}
`))).To(Succeed())
	breaks(ctx, "argocd", "by-argocd", []broken{
		{"there is no Secret", nil, skottv1.ReasonSecretNotFound, []string{"argocd/by-argocd"}},
		{"it has no server", with("server", ""), skottv1.ReasonSecretKeyNotFound, []string{`"server"`}},
		{"its config does not parse", with("config", "s3cr3t"), skottv1.ReasonInvalidKubeconfig, []string{`"config"`}},
		{"it runs a program", with("config", `{"execProviderConfig":{"command":"argocd-k8s-auth"}}`), skottv1.ReasonConnectionNotSupported, []string{"runs a program"}},
		{"its credentials are unknown", argoCDSecret(&rest.Config{Host: spare.URL(), BearerToken: "no", TLSClientConfig: rest.TLSClientConfig{CAData: spare.CA()}}), skottv1.ReasonUnauthorized, nil},
		{"the certificate does not verify", argoCDSecret(stranger), skottv1.ReasonCertificateInvalid, nil},
	}, right)
	remove(ctx, suite.ManagementCluster("by-argocd"), suite.DataLocation("clusters.by-argocd.testing.0"), suite.Environment("testing"))
	puts(ctx, "argocd", "by-argocd", nil)
}

func namesTheFirst(ctx SpecContext) {
	time.Sleep(time.Second) // creation is known to the second, and the order is the point
	writeSecret(ctx, system, "staging-again", map[string][]byte{"value": staging.Kubeconfig()})
	writeSecret(ctx, system, "impostor", map[string][]byte{"value": staging.Kubeconfig()})
	Expect(ops.ApplyYAML(ctx, []byte(managementCluster("staging-again", "staging")+"---"+managementCluster("impostor", "production")))).To(Succeed())
	for _, name := range []string{"staging-again", "impostor"} {
		becomes(ctx, suite.ManagementCluster(name), have(skottv1.ConditionReachable, metav1.ConditionFalse, skottv1.ReasonDuplicateAPIServer, `"staging"`))
		becomes(ctx, suite.ManagementCluster(name), have(skottv1.ConditionReady, metav1.ConditionFalse, skottv1.ReasonDuplicateAPIServer))
	}
	Consistently(func(g Gomega) {
		mc := suite.ManagementCluster("staging")
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(mc), mc)).To(Succeed())
		g.Expect(mc).To(have(skottv1.ConditionReachable, metav1.ConditionTrue, skottv1.ReasonReachable))
		g.Expect(labelsOf(ctx, staging, "platform", "shop")).To(HaveKeyWithValue(skottv1.LabelManagementCluster, "staging"))
		for _, s := range []*testenv.Server{staging, shop} {
			guard, err := guardOf(ctx, s)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(guard.Spec.Cluster.Environment).To(Equal("staging"))
			g.Expect(guard.Spec.Cluster.ManagementCluster).To(Equal("staging"))
		}
	}).WithTimeout(3 * time.Second).Should(Succeed())
	remove(ctx, suite.ManagementCluster("staging-again"), suite.ManagementCluster("impostor"))
}

func remembersDeleted(ctx SpecContext) {
	recorded := suite.DataLocation("clusters.production.production.0")
	Expect(hub.Get(ctx, client.ObjectKeyFromObject(recorded), recorded)).To(Succeed())
	values := func() (out []string) {
		for _, a := range recorded.Spec.Addresses {
			out = append(out, a.Value)
		}
		return out
	}
	Expect(values()).To(ContainElements("cluster/platform/itself", fmt.Sprintf("127.0.0.1:%d", production.Port())))
	Expect(recorded.Labels).To(HaveKeyWithValue(skottv1.LabelManagementCluster, "production"))
	before, err := guardOf(ctx, production)
	Expect(err).NotTo(HaveOccurred())

	remove(ctx, suite.ManagementCluster("production"))
	becomes(ctx, suite.Environment("production"), have(skottv1.ConditionComplete, metav1.ConditionFalse, skottv1.ReasonNoManagementCluster))
	becomes(ctx, suite.Environment("production"), have(skottv1.ConditionDatacentersCovered, metav1.ConditionFalse, skottv1.ReasonDatacenterMissing, "sto2"))
	after, err := guardOf(ctx, production)
	Expect(err).NotTo(HaveOccurred())
	Expect(after.Spec).To(Equal(before.Spec), "the guard stays")
	_, err = env.Kubectl(ctx, production, "delete", "guard", "skott")
	Expect(err).To(refuses("D501"))
	Expect(hub.Get(ctx, client.ObjectKeyFromObject(recorded), recorded)).To(Succeed())
	Expect(values()).To(ContainElement("cluster/platform/itself"))
	// A name of production's is no name for a Cluster under staging, whether or not production is still there.
	Expect(try(ctx, staging, `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: itself, namespace: platform}
spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: RealCluster, name: x}}
`)).To(refuses("D"))

	By("creating it again")
	Expect(ops.ApplyYAML(ctx, []byte(managementCluster("production", "production")))).To(Succeed())
	becomes(ctx, suite.ManagementCluster("production"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	settled(ctx)
}

func waitsForKubeconfig(ctx SpecContext) {
	Expect(staging.RegisterWorkload(ctx, "platform", "young", spare, testenv.WithoutKubeconfig())).To(Succeed())
	Eventually(func() map[string]string { return labelsOf(ctx, staging, "platform", "young") }).WithTimeout(20 * time.Second).Should(And(
		HaveKeyWithValue(skottv1.LabelEnvironment, "staging"), HaveKeyWithValue(skottv1.LabelStage, "staging"),
		HaveKeyWithValue(skottv1.LabelDatacenter, "sto2"), HaveKeyWithValue(skottv1.LabelManagementCluster, "staging"),
		HaveKeyWithValue(skottv1.LabelGuarded, "false")))
	mc := suite.ManagementCluster("staging")
	becomes(ctx, mc, have(skottv1.ConditionGuarded, metav1.ConditionFalse, skottv1.ReasonNotGuarded, "platform/young", "WaitingForKubeconfig"))
	becomes(ctx, mc, have(skottv1.ConditionReady, metav1.ConditionTrue, skottv1.ReasonReady))
	Expect(*mc.Status.WorkloadClusters.Total).To(BeNumerically("==", 2))

	began := time.Now()
	Expect(staging.WriteKubeconfig(ctx, "platform", "young", spare.Kubeconfig())).To(Succeed())
	Eventually(func() map[string]string { return labelsOf(ctx, staging, "platform", "young") }).WithTimeout(60 * time.Second).
		Should(HaveKeyWithValue(skottv1.LabelGuarded, "true"))
	AddReportEntry("guarded after its kubeconfig came", time.Since(began).String())
	Expect(try(ctx, spare, service("orders.db.prod.example"))).To(refuses("D101"))
	becomes(ctx, mc, have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
	Expect(staging.UnregisterWorkload(ctx, "platform", "young")).To(Succeed())
}
