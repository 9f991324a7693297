// SPDX-License-Identifier: Apache-2.0

package learn_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// readSecrets allows, or forbids, that the Secrets of a ManagementCluster are read.
func readSecrets(ctx SpecContext, name string, allowed bool) {
	GinkgoHelper()
	mc := suite.ManagementCluster(name)
	Expect(hub.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"learn":{"secrets":%t}}}`, allowed)))).To(Succeed())
}

// fingerprinted are the learned locations of credentials.
func fingerprinted(ctx SpecContext) []skottv1.DataLocation {
	GinkgoHelper()
	list := &skottv1.DataLocationList{}
	Expect(hub.List(ctx, list, client.MatchingLabels{skottv1.LabelOrigin: skottv1.OriginLearned})).To(Succeed())
	var out []skottv1.DataLocation
	for _, d := range list.Items {
		if d.Spec.Addresses[0].Type == skottv1.AddressType(address.Credential) {
			out = append(out, d)
		}
	}
	return out
}

// random is a credential that nobody has.
func random() string {
	var bytes [24]byte
	_, _ = rand.Read(bytes[:])
	return "aZ9+" + base64.StdEncoding.EncodeToString(bytes[:])
}

func velero(credential string) string {
	return "[default]\naws_access_key_id = AKIAQ7ZK2LMX9VRT4BNW\naws_secret_access_key = " + credential + "\n"
}

func createSecret(ctx SpecContext, s *testenv.Server, name, key, text string) {
	GinkgoHelper()
	Expect(s.Client().Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: map[string][]byte{key: []byte(text)}})).To(Succeed())
}

func fingerprintsCredentials(ctx SpecContext) {
	backup, own, borrowed := random(), random(), random()
	createSecret(ctx, sto2, "velero", "cloud", velero(backup))
	createSecret(ctx, sto2, "common", "token", borrowed)
	createSecret(ctx, sto2, "weak", "password", "hunter2")
	createSecret(ctx, staging, "own", "password", own)
	createSecret(ctx, staging, "copied", "password", borrowed)

	By("reading none where that is not allowed")
	Consistently(func() []skottv1.DataLocation { return fingerprinted(ctx) }).WithTimeout(3 * time.Second).Should(BeEmpty())
	at := client.ObjectKey{Namespace: "skott-system", Name: "skott-fingerprints"}
	Expect(client.IgnoreNotFound(hub.Get(ctx, at, &corev1.Secret{}))).To(Succeed())

	By("reading them in production")
	readSecrets(ctx, "sto2", true)
	secret := &corev1.Secret{}
	eventually(ctx, func(g Gomega) { g.Expect(hub.Get(ctx, at, secret)).To(Succeed()) }, 20*time.Second)
	key := address.NewKey(secret.Data["key"])
	Expect(key).NotTo(BeNil())
	eventually(ctx, func(g Gomega) {
		g.Expect(learned(ctx, key.Fingerprint(backup).String())).To(HaveLen(1))
		g.Expect(learned(ctx, key.Fingerprint(borrowed).String())).To(HaveLen(1))
		g.Expect(suite.Asks(ctx, hub, suite.ManagementCluster("sto2"), skottv1.ConditionLearning)).To(HavePrefix("True/"))
	}, 30*time.Second)
	d := learned(ctx, key.Fingerprint(backup).String())[0]
	Expect(d.Spec.EnvironmentRef.Name).To(Equal("production"))
	eventually(ctx, func(g Gomega) {
		g.Expect(hub.Get(ctx, client.ObjectKeyFromObject(&d), &d)).To(Succeed())
		g.Expect(d.Status.Seen).To(Equal("Secret default/velero in sto2"))
		g.Expect(d.Status.Origins).To(HaveLen(1))
		g.Expect(d.Status.Origins[0].Path).To(Equal(`data["cloud"]`))
	}, 10*time.Second)
	for _, d := range fingerprinted(ctx) {
		Expect(d.Spec.Addresses[0].Value).To(BeElementOf(key.Fingerprint(backup).String(), key.Fingerprint(borrowed).String()),
			"a weak one is none, and those of staging were not read")
	}
	guarded, err := client.New(staging.Config(), client.Options{Scheme: hub.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	guard := &skottv1.Guard{}
	eventually(ctx, func(g Gomega) {
		g.Expect(guarded.Get(ctx, client.ObjectKey{Name: "skott"}, guard)).To(Succeed())
		g.Expect(guard.Spec.Addresses).To(HaveKeyWithValue(d.Spec.Addresses[0].Value, "production"))
	}, 20*time.Second)

	By("reading them in staging, which has one of them")
	readSecrets(ctx, "staging", true)
	eventually(ctx, func(g Gomega) {
		locations := learned(ctx, key.Fingerprint(borrowed).String())
		g.Expect(locations).To(HaveLen(2))
		for i := range locations {
			g.Expect(suite.Asks(ctx, hub, &locations[i], skottv1.ConditionContested)).To(HavePrefix("True/"))
		}
		g.Expect(suite.Asks(ctx, hub, suite.Environment("staging"), skottv1.ConditionSeparated)).
			To(And(HavePrefix("False/"), ContainSubstring("Secret default/copied in staging"), ContainSubstring("Secret default/common in sto2")))
	}, 30*time.Second)
	Expect(learned(ctx, key.Fingerprint(own).String())).To(BeEmpty(), "staging's own is of no interest")

	By("keeping no value anywhere")
	raw := secret.Data["key"]
	var needles []string
	for _, value := range []string{backup, own, borrowed} {
		needles = append(needles, value, strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(value)), "="), base64.StdEncoding.EncodeToString([]byte(velero(value))))
	}
	keys := []string{base64.StdEncoding.EncodeToString(raw), hex.EncodeToString(raw), string(raw)}
	log, err := os.ReadFile(operator.LogFile())
	Expect(err).NotTo(HaveOccurred())
	Expect(string(log)).To(ContainSubstring("Published the policy"))
	everything := objects(ctx, ops)
	Expect(everything).To(ContainSubstring(key.Fingerprint(backup).String()))
	for _, needle := range append(needles, keys...) {
		Expect(string(log)).NotTo(ContainSubstring(needle))
		if needle != keys[0] {
			Expect(everything).NotTo(ContainSubstring(needle))
		}
	}
	Expect(strings.Count(everything, keys[0])).To(Equal(1), "the key is in its Secret")
	Expect(strings.Count(objects(ctx, staging), keys[0])).To(BeZero(), "no webhook runs there")

	By("forgetting what staging is not read for any more")
	readSecrets(ctx, "staging", false)
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, suite.ManagementCluster("staging"), skottv1.ConditionLearning)).To(HavePrefix("True/"))
	}, 20*time.Second)
}

// objects are all objects that an API server stores, of every kind.
func objects(ctx SpecContext, s *testenv.Server) string {
	GinkgoHelper()
	kinds, err := env.Kubectl(ctx, s, "api-resources", "--verbs=list", "-o", "name")
	Expect(err).NotTo(HaveOccurred())
	text, err := env.Kubectl(ctx, s, "get", strings.Join(strings.Fields(kinds), ","), "--all-namespaces", "-o", "json", "--show-managed-fields")
	Expect(err).NotTo(HaveOccurred())
	return text
}

// saysThatSecretsAreForbidden goes on in a cluster where rights to Secrets cannot be granted.
func saysThatSecretsAreForbidden(ctx SpecContext, guest *testenv.Server) {
	GinkgoHelper()
	readSecrets(ctx, guest.Name(), true)
	eventually(ctx, func(g Gomega) {
		g.Expect(suite.Asks(ctx, hub, suite.ManagementCluster(guest.Name()), skottv1.ConditionLearning)).
			To(And(HavePrefix("False/LearningGaps: "), ContainSubstring("Secret: forbidden")))
	}, 30*time.Second)
	create(ctx, guest, volume(many+2))
	becomesRefused(ctx, staging, volume(many+2))
}
