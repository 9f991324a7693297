// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// fault is one harm. What it breaks on purpose, and nothing repairs in reality, it puts right itself; the rest has to
// converge without it.
type fault struct {
	name string
	harm func(context.Context)
}

var faults = []fault{
	{"operator killed", operatorKilled},
	{"operator killed while it publishes", killedMidPublish},
	{"operator frozen", operatorFrozen},
	{"leader of two replicas killed while it publishes", leaderKilled},
	{"leader of two replicas frozen until it has lost the lease", leaderFrozen},
	{"operator upgraded in place", upgraded},
	{"clock of the operator jumps an hour ahead, then half an hour behind", clockJumps},
	{"network to a Management Cluster cut", networkCut},
	{"API server slow to answer the operator", apiSlow},
	{"API server answers 429", func(ctx context.Context) { answered(ctx, http.StatusTooManyRequests) }},
	{"API server answers 500", func(ctx context.Context) { answered(ctx, http.StatusInternalServerError) }},
	{"API server answers nothing", apiHangs},
	{"credentials expired", credentialsExpired},
	{"API server frozen", apiFrozen},
	{"policies and bindings deleted by an administrator", policiesDeleted},
	{"the same where static manifests pin them", pinnedKept},
	{"old backup restored over the guard", backupRestored},
	{"DataBoundary deleted", boundaryDeleted},
	{"production ManagementCluster moved, then deleted", deletedInUse},
	{"Environment deleted in use", environmentDeleted},
	{"two boundaries that disagree", boundariesDisagree},
	{"address book larger than one Guard", bookSplit},
	{"etcd of a cluster full", etcdFull},
	{"etcd of a cluster killed", etcdKilled},
	{"API server of a cluster killed", func(ctx context.Context) { apiKilled(ctx, shop) }},
	{"Ops Cluster down", hubDown},
	{"etcd of a cluster restored from an old backup", clusterRestored},
	{"etcd of the Ops Cluster restored from an old backup", hubRestored},
	{"every API server and etcd restarted, in any order", allRestarted},
}

func stays(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func operatorKilled(ctx context.Context) {
	Expect(operator.Stop()).To(Succeed())
	stays(ctx, 3*time.Second)
	requests.healed()
	Expect(operator.Start(ctx)).To(Succeed())
}

// burst declares some addresses at once.
func burst(ctx context.Context, name string, n int) (hosts []string, objects []client.Object) {
	for i := range n {
		one := fmt.Sprintf("%s-%d", name, i)
		writes(ctx, location(one))
		hosts, objects = append(hosts, one+".prod.example"), append(objects, suite.DataLocation(one))
	}
	return hosts, objects
}

func killedMidPublish(ctx context.Context) {
	random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 1))
	var all []client.Object
	var last string
	for round := range 4 {
		hosts, objects := burst(ctx, fmt.Sprintf("mid-%d", round), 2)
		all, last = append(all, objects...), hosts[len(hosts)-1]
		stays(ctx, time.Duration(random.IntN(400))*time.Millisecond)
		Expect(operator.Stop()).To(Succeed())
		Expect(operator.Start(ctx)).To(Succeed())
	}
	acts(ctx, last, staging, shop)
	remove(ctx, all...)
}

func operatorFrozen(ctx context.Context) {
	Expect(operator.Pause()).To(Succeed())
	writes(ctx, location("frozen"))
	stays(ctx, 5*time.Second)
	Expect(operator.Resume()).To(Succeed())
	requests.healed()
	acts(ctx, "frozen.prod.example", staging, shop)
	remove(ctx, suite.DataLocation("frozen"))
}

// standby is the replica that does not lead, where two are run; operator leads.
var standby *testenv.Operator

// replicas makes sure that two operators run of which one leads.
func replicas(ctx context.Context) {
	GinkgoHelper()
	if standby != nil {
		return
	}
	Expect(operator.Stop()).To(Succeed())
	operator = replica(ctx)
	Eventually(func() time.Duration { return age("production") }).WithContext(ctx).WithTimeout(time.Minute).Should(BeNumerically("<", time.Minute), "leads")
	standby = replica(ctx)
	settled(ctx)
}

func replica(ctx context.Context) *testenv.Operator {
	GinkgoHelper()
	o, err := env.StartOperatorOf(ctx, binary, fmt.Sprintf("replica-%d", time.Now().UnixNano()), operatorKubeconfig, append(operatorFlags, "--leader-elect")...)
	Expect(err).NotTo(HaveOccurred())
	return o
}

// single goes back to one replica.
func single(ctx context.Context, all ...*testenv.Operator) {
	GinkgoHelper()
	for _, o := range all {
		Expect(o.Stop()).To(Succeed())
	}
	var err error
	standby = nil
	operator, err = env.StartOperatorOf(ctx, binary, fmt.Sprintf("skott-%d", time.Now().UnixNano()), operatorKubeconfig, operatorFlags...)
	Expect(err).NotTo(HaveOccurred())
}

func leaderKilled(ctx context.Context) {
	replicas(ctx)
	hosts, objects := burst(ctx, "led", 5)
	Expect(operator.Stop()).To(Succeed())
	requests.healed()
	operator = standby
	acts(ctx, hosts[len(hosts)-1], staging, shop)
	standby = replica(ctx)
	settled(ctx)
	remove(ctx, objects...)
}

func leaderFrozen(ctx context.Context) {
	replicas(ctx)
	frozen := operator
	Expect(frozen.Pause()).To(Succeed())
	requests.healed()
	operator = standby
	writes(ctx, location("taken-over"))
	acts(ctx, "taken-over.prod.example", staging, shop)
	settled(ctx)
	Expect(frozen.Resume()).To(Succeed())
	Eventually(frozen.Running).WithContext(ctx).WithTimeout(30*time.Second).Should(BeFalse(), "who lost the lease ends")
	Expect(deniedBySkott(tries(ctx, shop, service("taken-over.prod.example")))).To(BeTrue())
	remove(ctx, suite.DataLocation("taken-over"))
	single(ctx, frozen, operator)
}

func networkCut(ctx context.Context) {
	wire.Cut()
	writes(ctx, location("cut-off"))
	began := time.Now()
	acts(ctx, "cut-off.prod.example", staging, shop)
	says(ctx, skottv1.ConditionReachable, "production", "False/")
	says(ctx, skottv1.ConditionGuarded, "production", "False/")
	Expect(condition(ctx, suite.ManagementCluster("staging"), skottv1.ConditionGuarded)).To(HavePrefix("True/"), "the rest is not delayed")
	Expect(age("production")).To(BeNumerically(">", time.Since(began)-2*canaryInterval), "the age of the last proof grows")
	wire.Heal()
	requests.healed()
	says(ctx, skottv1.ConditionReachable, "production", "True/")
	remove(ctx, suite.DataLocation("cut-off"))
}

func apiSlow(ctx context.Context) {
	trouble.Delay(time.Second)
	writes(ctx, location("slowly"))
	acts(ctx, "slowly.prod.example", shop, staging)
	trouble.Delay(0)
	requests.healed()
	remove(ctx, suite.DataLocation("slowly"))
}

func answered(ctx context.Context, status int) {
	trouble.Answer(status)
	says(ctx, skottv1.ConditionGuarded, "staging", "False/")
	Expect(deniedBySkott(tries(ctx, staging, service("orders.db.prod.example")))).To(BeTrue())
	trouble.Answer(0)
	requests.healed()
}

func apiHangs(ctx context.Context) {
	trouble.Hang(true)
	says(ctx, skottv1.ConditionReachable, "staging", "False/")
	trouble.Hang(false)
	requests.healed()
}

func kubeconfigSecret(ctx context.Context, content []byte) {
	GinkgoHelper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "skott-system", Name: "production"}}
	Expect(hub.Get(ctx, client.ObjectKeyFromObject(s), s)).To(Succeed())
	s.Data = map[string][]byte{"value": content}
	Expect(hub.Update(ctx, s)).To(Succeed())
}

func credentialsExpired(ctx context.Context) {
	token, err := production.Administrator(ctx, "rotated")
	Expect(err).NotTo(HaveOccurred())
	old, err := production.Expired(token)
	Expect(err).NotTo(HaveOccurred())
	config := func(token string) []byte {
		return testenv.KubeconfigFor("production", &rest.Config{Host: wire.URL(), BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: production.CA()}})
	}
	kubeconfigSecret(ctx, config(old))
	says(ctx, skottv1.ConditionReachable, "production", "False/"+skottv1.ReasonUnauthorized)
	Expect(operator.Stop()).To(Succeed())
	Expect(operator.Start(ctx)).To(Succeed())
	says(ctx, skottv1.ConditionReachable, "production", "False/"+skottv1.ReasonUnauthorized)
	kubeconfigSecret(ctx, config(token))
	requests.healed()
	says(ctx, skottv1.ConditionReachable, "production", "True/")
}

func apiFrozen(ctx context.Context) {
	Expect(shop.Pause()).To(Succeed())
	says(ctx, skottv1.ConditionGuarded, "staging", "False/", "platform/shop")
	Expect(shop.Resume()).To(Succeed())
	requests.healed()
}
