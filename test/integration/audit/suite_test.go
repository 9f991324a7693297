// SPDX-License-Identifier: Apache-2.0

// Package audit_test has real API servers say what they denied to a real operator, one by its audit webhook and one by its
// log, which "manager audit" follows: it must be in the decision record, in the metric and in the status, once for every
// request, and from nobody without the token.
package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/audit"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

const (
	token   = "a-token-of-the-audit-suite"
	another = "a-token-of-another-cluster"
	address = "orders.db.prod.example"

	webhooked, followed = "mc-staging", "mc-testing"
)

var (
	env *testenv.Env
	// ops is the hub, staging sends its events by itself, and of testing the log is followed.
	ops, staging, test *testenv.Server
	operator           *testenv.Operator
	hub                client.Client
	// binary is the operator's, and kubeconfig and flags are what each of its processes is given.
	binary     string
	kubeconfig []byte
	flags      []string
	// dir holds the certificates of the receiver, its record and the tokens of senders.
	dir, certificates, record string
	receiver                  string
)

func TestAudit(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Audit Suite")
}

const platform = `
Environment production {stage: production}
Environment staging {stage: staging}
Environment testing {stage: testing}
DataLocation production {environmentRef: {name: production}, addresses: [{type: Host, value: ` + address + `}]}
DataBoundary customer-data {action: Deny}
`

// page is the block of docs/operations.md that holds a file, so that what people copy is what is tried.
func page(file string) string {
	GinkgoHelper()
	root, err := testenv.Root()
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	Expect(err).NotTo(HaveOccurred())
	_, rest, found := strings.Cut(string(text), "```yaml\n# /etc/kubernetes/skott/"+file+":")
	Expect(found).To(BeTrue(), "docs/operations.md has no %s", file)
	block, _, found := strings.Cut(rest, "```")
	Expect(found).To(BeTrue())
	_, block, _ = strings.Cut(block, "\n")
	return block
}

func write(file string, content string) string {
	GinkgoHelper()
	path := filepath.Join(dir, file)
	Expect(os.MkdirAll(filepath.Dir(path), 0o700)).To(Succeed())
	Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
	return path
}

// startServers starts the hub, and two clusters that know where to send what they deny.
func startServers(ctx context.Context) {
	var err error
	ops, err = env.NewServer(ctx, testenv.Options{Name: "ops"})
	Expect(err).NotTo(HaveOccurred())
	kubeconfig := strings.NewReplacer(
		"https://skott.ops.example:9444/audit/mc-sto2-staging", receiver+webhooked,
		"/etc/kubernetes/skott/ca.crt", write("ca.crt", string(ops.CA())),
		"/etc/kubernetes/skott/token", write("staging/token", token+"\n")).Replace(page("audit-webhook.kubeconfig"))
	Expect(kubeconfig).NotTo(ContainSubstring("/etc/"))
	staging, err = env.NewServer(ctx, testenv.Options{Name: "staging", AuditPolicy: page("audit-policy.yaml"), Flags: []string{
		"--audit-webhook-config-file=" + write("audit-webhook.kubeconfig", kubeconfig), "--audit-webhook-mode=batch",
		// Only so that nobody here has to wait for 30 seconds. It tries five times, for some 25 seconds: longer than a lease.
		"--audit-webhook-batch-max-wait=500ms", "--audit-webhook-initial-backoff=3s",
	}})
	Expect(err).NotTo(HaveOccurred())
	test, err = env.NewServer(ctx, testenv.Options{Name: "testing", AuditPolicy: page("audit-policy.yaml")})
	Expect(err).NotTo(HaveOccurred())
}

var _ = BeforeSuite(func(ctx SpecContext) {
	env, _ = suite.Start(ctx, "audit")
	dir = env.Dir()
	port, err := testenv.FreePort()
	Expect(err).NotTo(HaveOccurred())
	receiver = fmt.Sprintf("https://127.0.0.1:%d/audit/", port)
	startServers(ctx)

	hub, kubeconfig = suite.Install(ctx, env, ops)
	Expect(grow(ctx)).To(Succeed())
	Expect(ops.WriteSecret(ctx, webhooked+"-audit", map[string][]byte{"token": []byte(token + "\n")})).To(Succeed())
	Expect(ops.WriteSecret(ctx, followed+"-audit", map[string][]byte{"bearer": []byte(another)})).To(Succeed())
	Expect(ops.Declare(ctx, platform)).To(Succeed())
	Expect(ops.Connect(ctx, webhooked, "staging", staging.Kubeconfig())).To(Succeed())
	Expect(ops.Connect(ctx, followed, "testing", test.Kubeconfig(), "audit: {tokenSecretRef: {name: mc-testing-audit, key: bearer}}", "scan: {reports: Hub}")).To(Succeed())
	certificates, record = filepath.Join(dir, "audit-tls"), filepath.Join(dir, "decisions.jsonl")
	flags = []string{"--canary-interval=2s", "--probe-interval=1s", fmt.Sprintf("--audit-bind-address=127.0.0.1:%d", port), "--audit-cert-dir=" + certificates}
	binary, err = env.BuildManager(ctx, "manager")
	Expect(err).NotTo(HaveOccurred())
	operator, err = env.StartOperatorOf(ctx, binary, "operator", kubeconfig, append(flags, "--decision-log="+record)...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(operator.Stop)
}, NodeTimeout(4*time.Minute))

// grow puts two objects into each cluster that cross, before anything is guarded, and has reports served.
func grow(ctx context.Context) error {
	crds, err := testenv.CRDs(ctx, testenv.OpenReports)
	if err != nil {
		return err
	}
	for _, s := range []*testenv.Server{staging, test} {
		if err := errors.Join(attempt(ctx, s, "old", nil), attempt(ctx, s, "older", nil)); err != nil {
			return err
		}
	}
	return errors.Join(ops.Install(ctx, crds...), staging.Install(ctx, crds...))
}

// attempt asks a cluster for what names production.
func attempt(ctx context.Context, server *testenv.Server, name string, header http.Header) error {
	config := server.Config()
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

// recorded are the denials of objects of a name, or all, in the decision record, in which no address is.
func recorded(g Gomega, name string) []audit.Denial {
	text, err := os.ReadFile(record)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).NotTo(ContainSubstring(address))
	var out []audit.Denial
	for line := range strings.Lines(string(text)) {
		var d audit.Denial
		g.Expect(json.Unmarshal([]byte(line), &d)).To(Succeed())
		g.Expect(d.User).NotTo(HaveSuffix(":skott-canary"), "live proofs are nobody's attempt")
		if name == "" || d.Name == name {
			out = append(out, d)
		}
	}
	return out
}

// collected is what the condition of a ManagementCluster says.
func collected(ctx context.Context, name string) string {
	mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	said, _, _ := strings.Cut(suite.Asks(ctx, hub, mc, skottv1.ConditionDenialsCollected), ":")
	return said
}

// counted is what the status of the boundary counts.
func counted(ctx context.Context) int64 {
	b := &skottv1.DataBoundary{}
	if err := hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, b); err != nil || b.Status.Denials == nil {
		return 0
	}
	return b.Status.Denials.Count
}
