// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// clockJumps sets the clock of the operator, which runs on, an hour ahead of every API server's, and then half an hour behind.
func clockJumps(ctx context.Context) {
	clock, err := env.NewClock(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(clock.Close)
	Expect(operator.Stop()).To(Succeed())
	operator, err = clock.StartOperator(ctx, binary, "another-clock", operatorKubeconfig, operatorFlags...)
	Expect(err).NotTo(HaveOccurred())
	settled(ctx)

	writes(ctx, strings.ReplaceAll(boundary, "customer-data", "brief"))
	brief := &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: "brief"}}
	Eventually(func() string { return condition(ctx, brief, skottv1.ConditionEnforced) }).WithContext(ctx).WithTimeout(40 * time.Second).Should(HavePrefix("True/"))
	for i, by := range []time.Duration{time.Hour, -90 * time.Minute} {
		issued := tokens(ctx, staging)
		clock.Jump(by)
		name := fmt.Sprintf("clock-%d", i)
		writes(ctx, location(name))
		acts(ctx, name+".prod.example", staging, shop)
		remove(ctx, suite.DataLocation(name))
		if i == 0 {
			Expect(hub.Delete(ctx, brief)).To(Succeed())
			Consistently(func() error { return hub.Get(ctx, client.ObjectKeyFromObject(brief), brief) }).WithContext(ctx).
				WithTimeout(boundaryGrace-time.Second).WithPolling(100*time.Millisecond).Should(Succeed(), "it acts for all of its grace")
		}
		settled(ctx)
		Expect(tokens(ctx, staging)-issued).To(BeNumerically("<", 5), "tokens issued because of a clock")
	}
	remove(ctx, brief)
	Expect(clock.Answered()).To(BeNumerically(">", 100), "it went by that clock")
	requests.healed()
	single(ctx, operator)
}

// tokens is how many an API server has issued.
func tokens(ctx context.Context, s *testenv.Server) (issued int) {
	GinkgoHelper()
	c, err := rest.HTTPClientFor(s.Config())
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/metrics", nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := c.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || !strings.Contains(line, `resource="serviceaccounts"`) || !strings.Contains(line, `subresource="token"`) {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		Expect(err).NotTo(HaveOccurred())
		issued += int(n)
	}
	Expect(issued).NotTo(BeZero())
	return issued
}
