// SPDX-License-Identifier: Apache-2.0

// Package observability_test tries the alerts with promtool, and asks a real Prometheus that scrapes a real operator and a
// real guard webhook, with a guarded cluster beside them, everything that the alerts and the dashboard ask.
package observability_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

func TestObservability(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Observability Suite")
}

// platform has one cluster with all that can be measured, and one that cannot be reached. In the first there was an
// object that crosses before it was guarded.
const platform = `
Environment production {stage: production}
Environment staging {stage: staging}
DataBoundary customer-data {action: Deny}
DataLocation production-data {environmentRef: {name: production}, addresses: [{type: Host, value: orders.db.prod.example}]}
`

// crossing is an object of staging that names what is production's.
const crossing = `
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: default}
data: {url: "postgresql://orders.db.prod.example/shop"}
`

const token = "a-token-of-the-observability-suite"

var (
	env          *testenv.Env
	hub, guarded *testenv.Server
	prometheus   *testenv.Prometheus
	// folder is where what the processes read and write stands.
	folder string
)

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "observability", testenv.Options{Name: "ops"}, testenv.Options{Name: "guarded", AuditPolicy: testenv.AuditMetadata})
	hub, guarded = servers[0], servers[1]
	folder = env.Dir()
	Expect(guarded.ApplyYAML(ctx, fmt.Appendf(nil, crossing, "old"))).To(Succeed())
	reviews, err := testenv.FreePort()
	Expect(err).NotTo(HaveOccurred())
	operator := startOperator(ctx, reviews)
	guard := startGuard(ctx, reviews)
	file := filepath.Join(folder, "rules.yaml")
	rules(failing{}, file)
	prometheus, err = testenv.StartPrometheus(ctx, folder, file, operator.MetricsURL(), guard.MetricsURL())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return prometheus.Stop() })
	meddle(ctx)
}, NodeTimeout(5*time.Minute))

// startOperator installs and starts the operator, with what follows the audit log of the guarded cluster.
func startOperator(ctx context.Context, reviews int) *testenv.Operator {
	GinkgoHelper()
	kubeconfig, err := env.InstallOperator(ctx, hub)
	Expect(err).NotTo(HaveOccurred())
	Expect(hub.Declare(ctx, platform+testenv.Member("missing", "production"))).To(Succeed())
	Expect(hub.WriteSecret(ctx, "guarded-audit", map[string][]byte{"token": []byte(token)})).To(Succeed())
	Expect(hub.Connect(ctx, "guarded", "staging", guarded.Kubeconfig(), "audit: {tokenSecretRef: {name: guarded-audit}}",
		fmt.Sprintf(`webhook: {mode: URL, url: "https://127.0.0.1:%d"}`, reviews))).To(Succeed())
	certificate, key, err := hub.Serving()
	Expect(err).NotTo(HaveOccurred())
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": hub.CA(), "token": []byte(token)} {
		Expect(os.WriteFile(filepath.Join(folder, name), content, 0o600)).To(Succeed())
	}
	events, err := testenv.FreePort()
	Expect(err).NotTo(HaveOccurred())
	operator, err := env.StartOperator(ctx, "operator", kubeconfig, "--canary-interval=3s", "--probe-interval=1s",
		fmt.Sprintf("--audit-bind-address=127.0.0.1:%d", events), "--audit-cert-dir="+folder)
	Expect(err).NotTo(HaveOccurred())
	follower, err := env.NewFollower(ctx, "follower", "--log="+guarded.AuditLog(), "--checkpoint="+filepath.Join(folder, "checkpoint"),
		fmt.Sprintf("--url=https://127.0.0.1:%d/audit/guarded", events), "--token-file="+filepath.Join(folder, "token"),
		"--certificate-authority="+filepath.Join(folder, "ca.crt"))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(follower.Stop)
	Expect(follower.Start()).To(Succeed())
	return operator
}

// startGuard starts the guard webhook of the guarded cluster with the account that the operator makes for it.
func startGuard(ctx context.Context, port int) *testenv.Guard {
	GinkgoHelper()
	var account string
	Eventually(func() (err error) {
		account, err = env.Kubectl(ctx, guarded, "create", "token", "skott-guard", "--namespace=skott-system", "--duration=1h")
		return err
	}).WithTimeout(90 * time.Second).Should(Succeed())
	config := rest.AnonymousClientConfig(guarded.Config())
	config.BearerToken = strings.TrimSpace(account)
	guard, err := env.NewGuard(ctx, "guard", testenv.KubeconfigFor("guard", config), port)
	Expect(err).NotTo(HaveOccurred())
	Expect(guard.Start(ctx)).To(Succeed())
	return guard
}

// meddle does what there is to be counted: it asks for what crosses, and takes a binding away.
func meddle(ctx context.Context) {
	GinkgoHelper()
	_, err := env.Kubectl(ctx, hub, "wait", "--for=condition=Guarded", "managementcluster/guarded", "--timeout=90s")
	Expect(err).NotTo(HaveOccurred())
	Expect(guarded.ApplyYAML(ctx, fmt.Appendf(nil, crossing, "new"))).To(MatchError(ContainSubstring("SKOTT-D101")))
	_, err = env.Kubectl(ctx, guarded, "delete", "validatingadmissionpolicybinding", "skott-guard-deny")
	Expect(err).NotTo(HaveOccurred())
}

// failing lets helpers of tests fail a story.
type failing struct{ testing.TB }

func (failing) Helper()           {}
func (failing) Fatal(args ...any) { Fail(fmt.Sprint(args...), 1) }
func (failing) Fatalf(format string, args ...any) {
	Fail(fmt.Sprintf(format, args...), 1)
}

// get asks the API of Prometheus.
func get(ctx context.Context, path string, values url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, prometheus.URL()+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // only read
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("cannot read the answer %s: %w", response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// ask is how many series an expression gives, after the variables of Grafana were replaced as it does.
func ask(ctx context.Context, expr string) (int, error) {
	expr = strings.NewReplacer("$__rate_interval", "10s", "$__range", "1m", "$environment", ".*", "$cluster", ".*").Replace(expr)
	var data struct{ Result []json.RawMessage }
	err := get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

// states are those of the alerts here that are not inactive.
var states = map[string]string{
	"SkottCrossingFound":      "firing",  // the object that was there before
	"SkottObjectsRestored":    "firing",  // the binding that was taken away
	"SkottClusterUnreachable": "pending", // for a quarter of an hour, the cluster that is missing
}

var _ = Describe("Prometheus", func() {
	It("answers every query of the dashboard with data", func(ctx SpecContext) {
		for _, q := range loadDashboard(failing{}).queries() {
			Eventually(func(g Gomega) {
				series, err := ask(ctx, q.Expr)
				g.Expect(err).NotTo(HaveOccurred(), q.Expr)
				g.Expect(series).To(BeNumerically(">", 0), "panel %q: %s", q.Panel, q.Expr)
			}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
		}
	}, SpecTimeout(5*time.Minute))

	It("evaluates every alert without an error, and sees who is guarded and who is not", func(ctx SpecContext) {
		for expr, want := range map[string]int{
			`skott_cluster_phase{cluster="guarded",environment="staging",phase="Enforced"} == 1`:       1,
			`skott_cluster_phase{cluster="missing",environment="production",phase="Unreachable"} == 1`: 1,
			`skott_cluster_phase`: 2,
			`skott_violations{boundary="customer-data",cluster="guarded",environment="staging",draft="false"} == 1`: 1,
			`skott_webhook_acts{cluster="guarded"} == 1`:                                                            1,
			`skott_denials_total{boundary="customer-data",cluster="guarded",code="SKOTT-D101"} >= 1`:                1,
			`sum(skott_restored_total) >= 1`:                                                                        1,
			`skott_address_book_age_seconds{cluster="guarded"} == 0`:                                                1,
			`skott_address_book_age_seconds{cluster="missing"} > 0`:                                                 1,
		} {
			Eventually(func(g Gomega) {
				series, err := ask(ctx, expr)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(series).To(Equal(want), expr)
			}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
		}
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
		Eventually(func(g Gomega) {
			g.Expect(get(ctx, "/api/v1/rules", nil, &data)).To(Succeed())
			found := map[string]string{}
			for _, group := range data.Groups {
				for _, r := range group.Rules {
					g.Expect(r.Health).To(Equal("ok"), "%s: %s", r.Name, r.LastError)
					found[r.Name] = r.State
				}
			}
			alerts := rules(failing{}, filepath.Join(GinkgoT().TempDir(), "rules.yaml"))
			g.Expect(found).To(HaveLen(len(alerts)))
			for name, state := range found {
				g.Expect(state).To(Equal(cmp.Or(states[name], "inactive")), name)
			}
		}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
	}, SpecTimeout(3*time.Minute))
})
