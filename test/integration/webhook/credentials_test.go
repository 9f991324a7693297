// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

// credential is one of production. It opens nothing.
const credential = "q7Zk2LmX9vRt4BnW8sYd"

// key of the fingerprints in this suite.
var key = []byte("thirty-two bytes of a key, no 33")

// declare makes production have the credential, by its fingerprint alone.
func declare() {
	d := skottv1.DataLocation{}
	d.Name, d.Spec.EnvironmentRef.Name = "credential", "production"
	d.Spec.Addresses = []skottv1.Address{{Type: skottv1.AddressType(address.Credential), Value: address.NewKey(key).Fingerprint(credential).String()}}
	platform.Snapshot.Locations = append(platform.Snapshot.Locations, d)
}

func refusesCredentials(ctx SpecContext) {
	holding := func(data map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: named("default", "credential"), StringData: data}
	}
	denies := func(g Gomega) {
		err := cluster.Create(ctx, holding(map[string]string{"password": credential}), client.DryRunAll)
		g.Expect(err).To(MatchError(ContainSubstring(denied + `data["password"] holds a credential that belongs to Environment "production" (SKOTT-D111)`)))
		g.Expect(err).NotTo(MatchError(ContainSubstring(credential)))
		g.Expect(err).NotTo(MatchError(ContainSubstring("hmac")))
	}
	Eventually(denies).WithTimeout(20 * time.Second).Should(Succeed())
	for what, data := range map[string]map[string]string{
		"another key":  {"notes": "it is " + credential},
		"a connection": {"uri": "postgresql://app:" + credential + "@db.example/shop"},
	} {
		Expect(cluster.Create(ctx, holding(data), client.DryRunAll)).To(MatchError(ContainSubstring("SKOTT-D111")), what)
	}
	for what, data := range map[string]map[string]string{
		"another value": {"password": credential + "e"}, "a short one": {"password": "q7Zk2LmX"}, "nothing": {},
	} {
		Expect(cluster.Create(ctx, holding(data), client.DryRunAll)).To(Succeed(), what)
	}
	By("a Secret that gets it later")
	s := holding(map[string]string{"password": "its own, and innocent 4711"})
	Expect(cluster.Create(ctx, s)).To(Succeed())
	s.StringData = map[string]string{"password": credential}
	Expect(cluster.Update(ctx, s)).To(MatchError(ContainSubstring("SKOTT-D111")))

	By("putting the key back")
	at := &corev1.Secret{ObjectMeta: named(namespace, "skott-guard-key")}
	Expect(cluster.Delete(ctx, at)).To(Succeed())
	Eventually(func(g Gomega) {
		g.Expect(cluster.Get(ctx, client.ObjectKeyFromObject(at), at)).To(Succeed())
		g.Expect(at.Data["key"]).To(Equal(key))
	}).WithTimeout(20 * time.Second).Should(Succeed())
	Eventually(denies).WithTimeout(20 * time.Second).Should(Succeed())

	By("having said nothing of it")
	for _, g := range []interface{ LogFile() string }{first, second} {
		content, err := os.ReadFile(g.LogFile())
		Expect(err).NotTo(HaveOccurred())
		Expect(content).NotTo(BeEmpty())
		for _, secret := range []string{credential, base64.StdEncoding.EncodeToString([]byte(credential)), string(key), base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key)} {
			Expect(string(content)).NotTo(ContainSubstring(secret))
		}
	}
	text, err := env.Kubectl(ctx, staging, "get", "guards,validatingadmissionpolicies,validatingwebhookconfigurations,configmaps,events", "-A", "-o", "json", "--show-managed-fields")
	Expect(err).NotTo(HaveOccurred())
	Expect(text).To(ContainSubstring("hmac-sha256:"), "the Guard holds the fingerprint")
	for _, secret := range []string{credential, base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key), string(key)} {
		Expect(text).NotTo(ContainSubstring(secret))
	}
}
