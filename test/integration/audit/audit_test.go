// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/audit"
	"github.com/skott-dev/skott/test/testenv"
)

// post sends a text to the receiver and returns the status of the answer.
func post(ctx context.Context, path, bearer string, body io.Reader) int {
	GinkgoHelper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ops.CA())
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver+path, body)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+bearer)
	response, err := c.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// event is the line of the audit log of a server about an object of a name that was refused.
func event(server *testenv.Server, name string) string {
	GinkgoHelper()
	text, err := os.ReadFile(server.AuditLog())
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"name":"`+name+`"`) && strings.Contains(line, "SKOTT-D101") {
			return line
		}
	}
	Fail("no event about " + name)
	return ""
}

// ofName is a function that reads the record.
func ofName(name string) func(Gomega) []audit.Denial {
	return func(g Gomega) []audit.Denial { return recorded(g, name) }
}

const empty = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]}`

var _ = Describe("Denials", Ordered, func() {
	It("are not recorded, and that is said, where no source is configured", func(ctx SpecContext) {
		Eventually(collected).WithContext(ctx).WithArguments(webhooked).WithTimeout(time.Minute).Should(Equal("False/NoAuditSource"))
		Eventually(func() error { return attempt(ctx, staging, "before", nil) }).WithTimeout(90 * time.Second).Should(MatchError(ContainSubstring("SKOTT-D101")))
		Eventually(ofName("before")).Should(BeEmpty())
	}, SpecTimeout(3*time.Minute))

	It("are not received without a certificate, which is said too, and keeps nobody from guarding", func(ctx SpecContext) {
		mc := &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: webhooked}}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"audit":{"tokenSecretRef":{"name":"mc-staging-audit"}}}}`))
		Expect(hub.Patch(ctx, mc, patch)).To(Succeed())
		Eventually(collected).WithContext(ctx).WithArguments(webhooked).WithTimeout(time.Minute).Should(Equal("False/NotListening"))
		Eventually(func() error { return attempt(ctx, test, "unheard", nil) }).WithTimeout(90 * time.Second).Should(MatchError(ContainSubstring("SKOTT-D101")))
	}, SpecTimeout(3*time.Minute))

	It("are received once there is one, those of live proofs too, which are not counted", func(ctx SpecContext) {
		certificate, key, err := ops.Serving()
		Expect(err).NotTo(HaveOccurred())
		write("audit-tls/tls.crt", string(certificate))
		write("audit-tls/tls.key", string(key))
		Eventually(collected).WithContext(ctx).WithArguments(webhooked).WithTimeout(time.Minute).Should(Equal("True/Receiving"))
		Expect(collected(ctx, followed)).To(Equal("False/NothingReceived"), "nobody follows its log yet")
	}, SpecTimeout(2*time.Minute))

	It("are in the record, the metric and the status, each request for itself whatever its Audit-ID", func(ctx SpecContext) {
		for range 2 {
			Expect(attempt(ctx, staging, "twice", http.Header{"Audit-Id": {"chosen-by-the-client"}})).To(MatchError(ContainSubstring("SKOTT-D101")))
		}
		Eventually(ofName("twice")).WithTimeout(30 * time.Second).Should(And(HaveLen(2), HaveEach(And(
			HaveField("AuditID", "chosen-by-the-client"), HaveField("Cluster", webhooked), HaveField("Boundary", "customer-data"),
			HaveField("Code", BeEquivalentTo("SKOTT-D101")), HaveField("Path", `data["url"]`), HaveField("User", "testenv-admin"),
			HaveField("Verb", "create"), HaveField("Resource", "configmaps"), HaveField("Namespace", "default")))))
		Eventually(func(g Gomega) {
			g.Expect(counted(ctx)).To(BeEquivalentTo(len(recorded(g, ""))))
		}).WithTimeout(30 * time.Second).Should(Succeed())
		Expect(operator.Metrics()).To(MatchRegexp(`skott_denials_total\{boundary="customer-data",cluster="mc-staging",code="SKOTT-D101"\} [2-9]`))
	}, SpecTimeout(2*time.Minute))

	It("count once when their event is replayed, and under the cluster whose token it came with", func(ctx SpecContext) {
		line := event(staging, "twice")
		for range 3 {
			Expect(post(ctx, webhooked, token, strings.NewReader(line))).To(Equal(http.StatusOK))
		}
		Expect(recorded(Default, "twice")).To(HaveLen(2))
		Expect(post(ctx, followed, another, strings.NewReader(line))).To(Equal(http.StatusOK))
		Expect(recorded(Default, "twice")).To(And(HaveLen(3), ContainElement(HaveField("Cluster", followed))))
		forged := strings.NewReplacer("customer-data", "of-nobody", `"name":"twice"`, `"name":"forged"`).Replace(line)
		Expect(post(ctx, webhooked, token, strings.NewReader(forged))).To(Equal(http.StatusOK))
		Expect(recorded(Default, "forged")).To(HaveLen(1))
		said := operator.Metrics()
		Expect(said).To(ContainSubstring(`skott_denials_total{boundary="other",cluster="mc-staging",code="SKOTT-D101"} 1`))
		Expect(said).NotTo(ContainSubstring("of-nobody"), "nobody makes up labels")
	}, SpecTimeout(time.Minute))

	It("are taken from nobody without the token of the cluster, and in no unbounded text", func(ctx SpecContext) {
		for reason, c := range map[string]struct {
			path, bearer, body string
			want               int
		}{
			"no token":              {webhooked, "", empty, http.StatusUnauthorized},
			"a wrong one":           {webhooked, "wrong-token-of-nobody", empty, http.StatusUnauthorized},
			"another cluster's":     {webhooked, another, empty, http.StatusUnauthorized},
			"of a Cluster there":    {webhooked + "/default/shop", another, empty, http.StatusUnauthorized},
			"a Cluster that is not": {webhooked + "/default/shop", token, empty, http.StatusNotFound},
			"nobody's cluster":      {"mc-none", token, empty, http.StatusUnauthorized},
			"too large":             {webhooked, token, strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge},
			"too many":              {webhooked, token, strings.Repeat(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","stage":"x"}`, 10_001), http.StatusRequestEntityTooLarge},
			"half of one":           {webhooked, token, event(staging, "twice")[:100], http.StatusBadRequest},
			"right":                 {webhooked, token, empty, http.StatusOK},
		} {
			Expect(post(ctx, c.path, c.bearer, strings.NewReader(c.body))).To(Equal(c.want), reason)
		}
		Expect(operator.Metrics()).To(MatchRegexp(`skott_audit_requests_total\{status="401"\} [1-9]`))
	}, SpecTimeout(time.Minute))

	It("come from a log that is followed, through the operator's absence and with a new token, each once", func(ctx SpecContext) {
		tokenFile := write("testing/token", another+"\n")
		follower, err := env.NewFollower(ctx, "follower", "--log="+test.AuditLog(), "--checkpoint="+write("testing/none", "")+".checkpoint",
			"--url="+receiver+followed, "--token-file="+tokenFile, "--certificate-authority="+write("ca.crt", string(ops.CA())))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(follower.Stop)
		Expect(follower.Start()).To(Succeed())
		Eventually(collected).WithContext(ctx).WithArguments(followed).WithTimeout(time.Minute).Should(Equal("True/Receiving"))
		Eventually(ofName("unheard")).Should(ContainElement(HaveField("Cluster", followed)), "the log is read from where it begins")

		Expect(operator.Stop()).To(Succeed())
		Expect(attempt(ctx, test, "absent", nil)).To(MatchError(ContainSubstring("SKOTT-D101")))
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: followed + "-audit"}}
		Expect(hub.Patch(ctx, secret, client.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"bearer":"`+another+"\\n"+another+`-new"}}`)))).To(Succeed())
		write("testing/token", another+"-new")
		Expect(operator.Start(ctx)).To(Succeed())
		Eventually(ofName("absent")).WithTimeout(time.Minute).Should(And(HaveLen(1), HaveEach(HaveField("Cluster", followed))))

		By("replaying what was recorded before the restart")
		Expect(post(ctx, followed, another, strings.NewReader(event(test, "absent")))).To(Equal(http.StatusOK), "the old token")
		Expect(post(ctx, webhooked, token, strings.NewReader(event(staging, "twice")))).To(Equal(http.StatusOK))
		Expect(recorded(Default, "absent")).To(HaveLen(1))
		Expect(recorded(Default, "twice")).To(HaveLen(3))
	}, SpecTimeout(4*time.Minute))

	It("go on when the leader of two replicas is killed, and so do scan and reports", failover, SpecTimeout(4*time.Minute))
})
