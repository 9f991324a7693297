// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/guarded"
)

var codePattern = regexp.MustCompile(`SKOTT-D[0-9]{3}`)

// codes are those of a message, each once.
func codes(message string) []string {
	return slices.Compact(slices.Sorted(slices.Values(codePattern.FindAllString(message, -1))))
}

// manifests cross in several ways, or do not.
const manifests = `apiVersion: v1
kind: ConfigMap
metadata: {name: pulls}
data: {url: "https://db.prod.example/x", other: shop.customers.example}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: innocent}
data: {url: "https://db.prod.example.internal/x", own: db.staging.example}
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec: {type: ExternalName, externalName: db.prod.example}
---
apiVersion: v1
kind: Pod
metadata: {name: private}
spec: {containers: [{name: app, image: busybox, env: [{name: PGHOST, value: a.customers.example}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: warned, namespace: tests}
spec: {containers: [{name: app, image: busybox, env: [{name: PGHOST, value: db.staging.example}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: both, namespace: tests}
spec: {containers: [{name: app, image: busybox, args: [db.staging.example, a.customers.example]}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: network}
addressType: IPv4
endpoints: [{addresses: [10.20.3.4]}]
---
apiVersion: v1
kind: Secret
metadata: {name: argo, labels: {argocd.argoproj.io/secret-type: cluster}}
stringData: {server: "https://vardhem.prod.example:6443"}
---
apiVersion: v1
kind: Namespace
metadata: {name: live, labels: {skott.dev/environment: production}}
---
apiVersion: v1
kind: Namespace
metadata: {name: tests-2, labels: {skott.dev/environment: testing}}
`

// before is what is there already.
const before = "apiVersion: v1\nkind: Namespace\nmetadata: {name: tests, labels: {skott.dev/environment: testing}}\n"

var _ = Describe("kubectl skott", Ordered, func() {
	var file, snapshot string
	offline := []string{"--as-cluster", "safespring/ske-stage"}

	BeforeAll(func(ctx SpecContext) {
		file = filepath.Join(folder, "manifests.yaml")
		Expect(os.WriteFile(file, []byte(manifests), 0o600)).To(Succeed())
		snapshot = filepath.Join(folder, "snapshot.yaml")
	}, NodeTimeout(timeout))

	It("exports what the hub holds, the same every time", func(ctx SpecContext) {
		a := skott(ctx, "", "export", "--kubeconfig", hub.KubeconfigFile())
		Expect(a.code).To(BeZero(), a.err)
		Expect(skott(ctx, "", "export", "--kubeconfig", hub.KubeconfigFile()).out).To(Equal(a.out))
		Expect(skott(ctx, a.out, "export", "--snapshot", "-").out).To(Equal(a.out), "an exported snapshot, exported again")
		Expect(a.out).NotTo(Or(ContainSubstring("connection"), ContainSubstring("managedFields"), ContainSubstring("origins")))
		Expect(os.WriteFile(snapshot, []byte(a.out), 0o600)).To(Succeed())
	}, SpecTimeout(timeout))

	It("says offline, by the hub and by the Guards what the API server answers", func(ctx SpecContext) {
		// What stands in the cluster already is part of what is asked about it.
		input := filepath.Join(folder, "with-namespace")
		Expect(os.MkdirAll(input, 0o700)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(input, "manifests.yaml"), []byte(manifests), 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(input, "namespace.yaml"), []byte(before), 0o600)).To(Succeed())
		want := judged(ctx, input, append(offline, "--snapshot", snapshot)...)
		Expect(want).To(HaveLen(8))
		Expect(judged(ctx, input, append(offline, "--kubeconfig", hub.KubeconfigFile())...)).To(Equal(want))

		exported := filepath.Join(folder, "guards.json")
		w, c := resolved(ctx)
		guards := w.Guards(c, map[string]string{"tests": "testing"}, policy.BuiltinRules().Families(nil))
		Expect(workload.Apply(ctx, guarded.Namespace("tests", "testing"))).To(Succeed())
		guard(ctx, guards, w.Actions())
		Eventually(func(g Gomega) {
			g.Expect(answered(ctx, file)).To(Equal(want))
		}).WithContext(ctx).WithTimeout(30 * time.Second).WithPolling(time.Second).Should(Succeed())

		By("asking the guarded cluster for its own Guards")
		Expect(judged(ctx, file, "--kubeconfig", workload.KubeconfigFile())).To(Equal(want))
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(skottv1.GroupVersion.String())
		list.SetKind("GuardList")
		Expect(workload.Client().List(ctx, list)).To(Succeed())
		raw, err := list.MarshalJSON()
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(exported, raw, 0o600)).To(Succeed())
		Expect(judged(ctx, file, "--snapshot", exported)).To(Equal(want))
	}, SpecTimeout(timeout))

	It("shows to whom an address belongs, and where it was seen", func(ctx SpecContext) {
		const bsl = "apiVersion: velero.io/v1\nkind: BackupStorageLocation\nmetadata: {name: wal}\nspec: {provider: aws, objectStorage: {bucket: prod-wal}, config: {s3Url: \"https://s3.sto2.example\"}}\n"
		live := skott(ctx, bsl, append([]string{"explain", "-f", "-", "--kubeconfig", hub.KubeconfigFile()}, offline...)...)
		Expect(live.code).To(Equal(1), live.err)
		Expect(live.out).To(ContainSubstring("seen in Cluster.postgresql.cnpg.io shop/orders"))
		Expect(skott(ctx, bsl, append([]string{"explain", "-f", "-", "--snapshot", snapshot}, offline...)...).out).NotTo(ContainSubstring("seen in"))

		found := skott(ctx, "", "addresses", "--find", "s3.sto2.example/prod-wal/2026", "--kubeconfig", hub.KubeconfigFile())
		Expect(found.code).To(BeZero(), found.err)
		Expect(found.out).To(ContainSubstring("s3.sto2.example/prod-wal   production"))
		Expect(skott(ctx, "", "coverage", "--kubeconfig", hub.KubeconfigFile(), "--as-cluster", "mc-sto2-prod").code).To(BeZero())
	}, SpecTimeout(timeout))

	It("says what is wrong with the cluster it asks", func(ctx SpecContext) {
		for want, args := range map[string][]string{
			"cannot list environments.skott.dev of the cluster at " + hub.URL() + ": environments.skott.dev is forbidden: User \"nobody\"": {"export", "--kubeconfig", kubeconfigOfNobody(hub)},
			"this is no hub of Skott":             {"export", "--kubeconfig", workload.KubeconfigFile()},
			"Skott does not guard this cluster":   {"check", "-f", file, "--kubeconfig", hub.KubeconfigFile()},
			`context "gone" does not exist`:       {"export", "--kubeconfig", hub.KubeconfigFile(), "--context", "gone"},
			"knows no such Environment; it knows": {"check", "-f", file, "--kubeconfig", hub.KubeconfigFile(), "--environment", "gone"},
		} {
			a := skott(ctx, "", args...)
			Expect(a.code).To(Equal(2), a.out)
			Expect(a.out).To(BeEmpty())
			Expect(a.err).To(ContainSubstring(want))
		}
	}, SpecTimeout(timeout))
})
