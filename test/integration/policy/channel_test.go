// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/skott-dev/skott/internal/policy"
)

// post sends a request that stores nothing, and returns the status and what was answered.
func post(ctx SpecContext, path string, query url.Values, body string) (int, string) {
	GinkgoHelper()
	c, err := rest.HTTPClientFor(server.Config())
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.Config().Host+path+"?"+query.Encode(), strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := c.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(answer)
}

var _ = Describe("requests that store no object", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		account := &unstructured.Unstructured{}
		account.SetAPIVersion("v1")
		account.SetKind("ServiceAccount")
		account.SetNamespace("default")
		account.SetName("runner")
		Expect(server.Apply(ctx, account)).To(Succeed())
		proved(ctx, publish(ctx, "staging"))
	})

	exec := func(ctx SpecContext, command ...string) (int, string) {
		return post(ctx, "/api/v1/namespaces/default/pods/none/exec", url.Values{"command": command, "stdout": {"true"}}, "")
	}
	evaluated := func(resource, channel string, object map[string]any) policy.Decision {
		guards := resolved.Guards(platform.Clusters["staging"].GuardedCluster, nil, families)
		return policy.NewEvaluator(guards[0]).Evaluate(&policy.Request{
			Operation: "CONNECT", Resource: resource, Subresource: channel, Namespace: "default", User: "admin", Object: object,
		})
	}

	It("refuses a command that reads production, in a pod that is there already", func(ctx SpecContext) {
		code, answer := exec(ctx, "pg_dump", "--host=db.prod.example")
		Expect(code).To(Equal(http.StatusForbidden), answer)
		Expect(answer).To(ContainSubstring("SKOTT-D101"))
		d := evaluated("pods", "exec", map[string]any{"command": []any{"pg_dump", "--host=db.prod.example"}})
		Expect(d.Codes).To(Equal([]policy.Code{"SKOTT-D101"}))
		Expect(answer).To(ContainSubstring(strings.ReplaceAll(d.Message, `"`, `\"`)))
	})

	It("lets every other command through", func(ctx SpecContext) {
		for _, command := range [][]string{{"pg_dump", "--host=db.staging.example"}, {"sh"}, {}} {
			code, answer := exec(ctx, command...)
			Expect(code).NotTo(Equal(http.StatusForbidden), answer) // there is no such pod
		}
	})

	It("refuses a token for production, and gives every other", func(ctx SpecContext) {
		path := "/api/v1/namespaces/default/serviceaccounts/runner/token"
		request := func(audience string) (int, string) {
			return post(ctx, path, url.Values{}, `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"audiences":["`+audience+`"],"expirationSeconds":600}}`)
		}
		code, answer := request("https://db.prod.example")
		Expect(code).To(Equal(http.StatusForbidden), answer)
		Expect(answer).To(ContainSubstring("SKOTT-D101"))
		for _, audience := range []string{"https://kubernetes.default.svc", "vault", "https://db.staging.example"} {
			code, answer := request(audience)
			Expect(code).NotTo(Equal(http.StatusForbidden), answer)
		}
	})

	It("knows both", func() {
		Expect(evaluated("serviceaccounts", "token", map[string]any{"spec": map[string]any{"audiences": []any{"https://db.prod.example"}}}).Allowed).To(BeFalse())
		Expect(evaluated("pods", "exec", map[string]any{"command": "not a list"}).Allowed).To(BeTrue())
	})
})
