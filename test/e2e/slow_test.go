// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// trouble stands in front of an API server: it delays requests, or answers that there are too many.
type trouble struct {
	server    *httptest.Server
	delay     atomic.Int64
	overload  atomic.Bool
	turned    atomic.Int64 // requests that were told to come back
	forwarded http.Handler
}

func newTrouble(s *testenv.Server) *trouble {
	GinkgoHelper()
	target, err := url.Parse(s.URL())
	Expect(err).NotTo(HaveOccurred())
	trusted := x509.NewCertPool()
	Expect(trusted.AppendCertsFromPEM(s.CA())).To(BeTrue())
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	forward.FlushInterval = -1 // watches are streams
	forward.ErrorLog = log.New(io.Discard, "", 0)
	t := &trouble{forwarded: forward}
	t.server = httptest.NewUnstartedServer(t)
	t.server.EnableHTTP2 = true
	t.server.Config.ErrorLog = forward.ErrorLog
	t.server.StartTLS()
	return t
}

// ServeHTTP implements http.Handler.
func (t *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.overload.Load() {
		t.turned.Add(1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	select {
	case <-time.After(time.Duration(t.delay.Load())):
		t.forwarded.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

// kubeconfig leads through it, with a token: a certificate would end here.
func (t *trouble) kubeconfig(token string) []byte {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.server.Certificate().Raw})
	return testenv.KubeconfigFor("slow", &rest.Config{Host: t.server.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca}})
}

func isLateInOnePlace(ctx SpecContext) {
	between := newTrouble(spare)
	defer between.server.Close()
	defer between.server.CloseClientConnections()
	Expect(staging.RegisterWorkload(ctx, "platform", "far", spare,
		testenv.WithKubeconfig(between.kubeconfig(administrator(ctx, spare, "far-admin"))))).To(Succeed())
	Eventually(func() map[string]string { return labelsOf(ctx, staging, "platform", "far") }).WithTimeout(60 * time.Second).
		Should(HaveKeyWithValue(skottv1.LabelGuarded, "true"))
	others := steady(ctx)
	for _, round := range []struct {
		name        string
		begin, calm func()
	}{
		{"slow", func() { between.delay.Store(int64(3 * time.Second)) }, func() { between.delay.Store(0) }},
		{"overloaded", func() { between.overload.Store(true) }, func() { between.overload.Store(false) }},
	} {
		By("declaring an address while one API server is " + round.name)
		round.begin()
		Expect(ops.ApplyYAML(ctx, []byte(location(round.name, "production", "Host", round.name+".sto2.example")))).To(Succeed())
		began := time.Now()
		eventually(ctx, shop, service(round.name+".sto2.example"), refuses("D101"))
		eventually(ctx, staging, service(round.name+".sto2.example"), refuses("D101"))
		prompt := time.Since(began)
		Expect(prompt).To(BeNumerically("<", tolerated))
		AddReportEntry("beside an API server that is "+round.name+", an address acts elsewhere after", prompt.String())
		if round.name == "overloaded" {
			Expect(try(ctx, spare, service(round.name+".sto2.example"))).To(Succeed(), "there the address is late")
			becomes(ctx, dataBoundary("customer-data"), have(skottv1.ConditionPublished, metav1.ConditionFalse, skottv1.ReasonPublishing, "platform/far"))
		}
		becomes(ctx, management("staging"), have(skottv1.ConditionGuarded, metav1.ConditionFalse, skottv1.ReasonNotGuarded, "platform/far"))
		becomes(ctx, management("production"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
		Expect(try(ctx, spare, service("orders.db.prod.example"))).To(refuses("D101"), "what it holds acts at its usual speed")

		round.calm()
		began = time.Now()
		eventually(ctx, spare, service(round.name+".sto2.example"), refuses("D101"))
		becomes(ctx, management("staging"), have(skottv1.ConditionGuarded, metav1.ConditionTrue, skottv1.ReasonGuarded))
		AddReportEntry("after it was "+round.name+" it was proved again within", time.Since(began).String())
	}
	Expect(between.turned.Load()).NotTo(BeZero())
	Expect(others()).To(BeEmpty(), "no ManagementCluster stopped being Ready")
	Expect(staging.UnregisterWorkload(ctx, "platform", "far")).To(Succeed())
	remove(ctx, dataLocation("slow"), dataLocation("overloaded"))
}
