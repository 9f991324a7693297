// SPDX-License-Identifier: Apache-2.0

// Package audit_test has a real API server send its audit events to a real operator: what it denies must be in the
// decision record, in the metric and in the status, once for every request, and from nobody without the token.
package audit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/audit"
	"github.com/skott-dev/skott/test/testenv"
)

const (
	token   = "a-token-of-the-audit-suite"
	address = "orders.db.prod.example"
)

var (
	ops, staging *testenv.Server
	operator     *testenv.Operator
	hub          client.Client
	receiver     string
	record       string
)

func TestAudit(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Audit Suite")
}

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
kind: DataLocation
metadata: {name: production}
spec:
  environmentRef: {name: production}
  addresses: [{type: Host, value: ` + address + `}]
---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Deny}
---
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: mc-staging}
spec:
  environmentRef: {name: staging}
  datacenter: sto2
  role: Management
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: mc-staging}}
`

var _ = BeforeSuite(func(ctx SpecContext) {
	ctrllog.SetLogger(GinkgoLogr)
	dir, err := os.MkdirTemp("", "skott-audit-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err := testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	ops, err = env.NewServer(ctx, testenv.Options{Name: "ops"})
	Expect(err).NotTo(HaveOccurred())

	port, err := testenv.FreePort()
	Expect(err).NotTo(HaveOccurred())
	receiver = fmt.Sprintf("https://127.0.0.1:%d/audit/mc-staging", port)
	webhook := filepath.Join(dir, "audit-webhook.kubeconfig")
	Expect(os.WriteFile(webhook, testenv.KubeconfigFor("skott", &rest.Config{
		Host: receiver, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ops.CA()},
	}), 0o600)).To(Succeed())
	staging, err = env.NewServer(ctx, testenv.Options{Name: "staging", AuditPolicy: testenv.AuditMetadata, Flags: []string{
		"--audit-webhook-config-file=" + webhook, "--audit-webhook-mode=batch", "--audit-webhook-batch-max-wait=500ms", "--audit-webhook-initial-backoff=500ms",
	}})
	Expect(err).NotTo(HaveOccurred())

	certificates := filepath.Join(dir, "audit-tls")
	Expect(os.Mkdir(certificates, 0o700)).To(Succeed())
	certificate, key, err := ops.Serving()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(certificates, "tls.crt"), certificate, 0o600)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(certificates, "tls.key"), key, 0o600)).To(Succeed())

	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(skottv1.AddToScheme(scheme)).To(Succeed())
	hub, err = client.New(ops.Config(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	for name, data := range map[string]map[string][]byte{"mc-staging": {"value": staging.Kubeconfig()}, "mc-staging-audit": {"token": []byte(token + "\n")}} {
		Expect(hub.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: name}, Data: data})).To(Succeed())
	}
	Expect(ops.ApplyYAML(ctx, []byte(platform))).To(Succeed())
	record = filepath.Join(dir, "decisions.jsonl")
	operator, err = env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=2s", "--probe-interval=1s", "--decision-log="+record,
		fmt.Sprintf("--audit-bind-address=127.0.0.1:%d", port), "--audit-cert-dir="+certificates)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(operator.Stop)
}, NodeTimeout(4*time.Minute))

// attempt asks staging for what names production.
func attempt(ctx context.Context, name string, header http.Header) error {
	config := staging.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			for k, v := range header {
				r.Header[k] = v
			}
			return next.RoundTrip(r)
		})
	})
	c, err := client.New(config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
	return c.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string]string{"url": "postgresql://" + address + "/shop"}})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// recorded are the denials in the decision record.
func recorded(g Gomega) []audit.Denial {
	text, err := os.ReadFile(record)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).NotTo(ContainSubstring(address), "the record holds no address")
	var out []audit.Denial
	for line := range strings.Lines(string(text)) {
		var d audit.Denial
		g.Expect(json.Unmarshal([]byte(line), &d)).To(Succeed())
		out = append(out, d)
	}
	return out
}

func metrics(ctx context.Context) string {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, operator.MetricsURL(), nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func condition(ctx context.Context) string {
	mc := &skottv1.ManagementCluster{}
	if err := hub.Get(ctx, client.ObjectKey{Name: "mc-staging"}, mc); err != nil {
		return err.Error()
	}
	c := meta.FindStatusCondition(mc.Status.Conditions, skottv1.ConditionDenialsCollected)
	if c == nil {
		return "none"
	}
	return string(c.Status) + "/" + c.Reason
}

func counted(ctx context.Context) int64 {
	b := &skottv1.DataBoundary{}
	if err := hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, b); err != nil || b.Status.Denials == nil {
		return 0
	}
	return b.Status.Denials.Count
}

var _ = Describe("Denials", Ordered, func() {
	It("are not recorded, and that is said, where no source is configured", func(ctx SpecContext) {
		Eventually(condition).WithContext(ctx).WithTimeout(time.Minute).Should(Equal("False/NoAuditSource"))
		Eventually(func() error { return attempt(ctx, "before", nil) }).WithTimeout(90 * time.Second).Should(MatchError(ContainSubstring("SKOTT-D101")))
		Expect(recorded(Default)).To(BeEmpty())
	}, SpecTimeout(3*time.Minute))

	It("are received once there is one, by canaries too, which are not counted", func(ctx SpecContext) {
		mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: "mc-staging"}}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"audit":{"tokenSecretRef":{"name":"mc-staging-audit"}}}}`))
		Expect(hub.Patch(ctx, mc, patch)).To(Succeed())
		Eventually(condition).WithContext(ctx).WithTimeout(time.Minute).Should(Equal("True/Receiving"))
		for _, d := range recorded(Default) {
			Expect(d.User).NotTo(HaveSuffix(":skott-canary"))
		}
	}, SpecTimeout(2*time.Minute))

	It("are in the record, the metric and the status, each request for itself whatever its Audit-ID", func(ctx SpecContext) {
		before := counted(ctx)
		for range 2 {
			Expect(attempt(ctx, "twice", http.Header{"Audit-Id": {"chosen-by-the-client"}})).To(MatchError(ContainSubstring("SKOTT-D101")))
		}
		Eventually(recorded).WithTimeout(30 * time.Second).Should(WithTransform(func(all []audit.Denial) (out []audit.Denial) {
			for _, d := range all {
				if d.AuditID == "chosen-by-the-client" {
					out = append(out, d)
				}
			}
			return out
		}, And(HaveLen(2), HaveEach(And(HaveField("Cluster", "mc-staging"), HaveField("Boundary", "customer-data"), HaveField("Code", BeEquivalentTo("SKOTT-D101")),
			HaveField("Path", Equal(`data["url"]`)), HaveField("User", "testenv-admin"), HaveField("Resource", "configmaps"), HaveField("Name", "twice"))))))
		Eventually(counted).WithContext(ctx).WithTimeout(30 * time.Second).Should(BeNumerically(">=", before+2))
		Expect(metrics(ctx)).To(MatchRegexp(`skott_denials_total\{boundary="customer-data",cluster="mc-staging",code="SKOTT-D101"\} [2-9]`))
	}, SpecTimeout(2*time.Minute))

	It("are taken from nobody without the token", func(ctx SpecContext) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ops.CA())
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		for bearer, want := range map[string]int{"": 401, "wrong-token-of-nobody": 401, token: 200} {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver, strings.NewReader(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}`))
			Expect(err).NotTo(HaveOccurred())
			request.Header.Set("Authorization", "Bearer "+bearer)
			response, err := c.Do(request)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			Expect(response.StatusCode).To(Equal(want), "bearer %q", bearer)
		}
	}, SpecTimeout(time.Minute))
})
