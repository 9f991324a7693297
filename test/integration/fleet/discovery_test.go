// SPDX-License-Identifier: Apache-2.0

package fleet_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/test/testenv"
)

// foreignPolicy is a policy of somebody else that takes a parameter: the API server has
// looked kinds of parameters up before it meets the Guard, and remembers them for 30 s.
const foreignPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: foreign}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]}
  validations: [{expression: "true"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: foreign}
spec:
  policyName: foreign
  validationActions: [Deny]
  paramRef: {name: none, namespace: default, parameterNotFoundAction: Allow}
`

var _ = Describe("A cluster that holds policies of others", func() {
	It("refuses nothing innocent while it is guarded for the first time", func(ctx SpecContext) {
		server, err := env.NewServer(ctx, testenv.Options{Name: "settled"})
		Expect(err).NotTo(HaveOccurred())
		Expect(server.ApplyYAML(ctx, []byte(foreignPolicy))).To(Succeed())
		time.Sleep(3 * time.Second) // a new policy takes about a second to be read

		var refused []string
		sent, stop, done := 0, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				sent++
				if err := server.Client().Create(context.Background(), innocent(), client.DryRunAll); err != nil {
					refused = append(refused, err.Error())
				}
			}
		}()
		f, _ := start()
		publish(f, "r1")
		engage(f, "mc", server.Config())
		enforced(f, "r1", 90*time.Second)
		time.Sleep(2 * time.Second)
		close(stop)
		<-done
		Expect(sent).To(BeNumerically(">", 100))
		Expect(refused).To(BeEmpty())
	}, SpecTimeout(3*time.Minute))
})

func innocent() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "default", "name": "innocent"},
	}}
}
