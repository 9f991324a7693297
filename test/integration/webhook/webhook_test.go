// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
	"github.com/skott-dev/skott/test/testenv"
)

const (
	denied = `admission webhook "guard.skott.dev" denied the request: crosses DataBoundary "customer-data": `
	found  = `admission webhook "find.guard.skott.dev" denied the request: crosses DataBoundary "customer-data": `
	silent = `failed calling webhook "guard.skott.dev"`
)

var first, second *testenv.Guard

// configuration is what makes the webhook decide.
func configuration() *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: policy.WebhookConfiguration}}
}

// acts waits until the fleet has proved that the webhook acts.
func acts(within time.Duration) {
	GinkgoHelper()
	Eventually(func() status.WebhookState { return state().Webhook }).WithTimeout(within).WithPolling(50 * time.Millisecond).
		Should(HaveField("Phase", status.WebhookActs))
}

// load sends requests from a few sides until it is ended, and counts the answers.
type load struct {
	stop chan struct{}
	all  sync.WaitGroup
	mu   sync.Mutex
	sent int
	errs map[string]int
}

func begin(ctx context.Context, object func() client.Object, options ...client.CreateOption) *load {
	l := &load{stop: make(chan struct{}), errs: map[string]int{}}
	for range 3 {
		l.all.Go(func() { l.send(ctx, func() error { return cluster.Create(ctx, object(), options...) }) })
	}
	return l
}

// send sends until the load is ended.
func (l *load) send(ctx context.Context, request func() error) {
	for {
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		err := request()
		l.mu.Lock()
		l.sent++
		if err != nil {
			l.errs[err.Error()]++
		}
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *load) end() (sent int, errs map[string]int) {
	close(l.stop)
	l.all.Wait()
	return l.sent, l.errs
}

func total(errs map[string]int) int {
	n := 0
	for _, count := range errs {
		n += count
	}
	return n
}

var _ = Describe("The guard webhook", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		startFleet(context.WithoutCancel(ctx), life)
		DeferCleanup(func() { guarded.Close() })
		Eventually(func() fleetPhase { return state().Guard.Phase }).WithTimeout(2 * time.Minute).Should(Equal(status.Enforced))
	}, NodeTimeout(3*time.Minute))

	It("decides nothing before it has answered", func(ctx SpecContext) {
		Eventually(func() status.WebhookState { return state().Webhook }).WithTimeout(30 * time.Second).
			Should(And(HaveField("Phase", status.WebhookAway), HaveField("Message", "it does not answer yet, and decides nothing")))
		probe := configuration()
		probe.Name = policy.WebhookProbe
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(probe), probe)).To(Succeed())
		Expect(apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKeyFromObject(configuration()), configuration()))).To(BeTrue())
		Expect(cluster.Create(ctx, secret("default", "early-", foreignBucket))).To(Succeed())
	}, SpecTimeout(time.Minute))

	It("decides once it does", func(ctx SpecContext) {
		kubeconfig := testenv.KubeconfigFor("guard", account(ctx))
		for i, g := range []**testenv.Guard{&first, &second} {
			port, err := testenv.FreePort()
			Expect(err).NotTo(HaveOccurred())
			*g, err = env.NewGuard(ctx, fmt.Sprintf("guard-%d", i), kubeconfig, port, "--drain=3s", "--zap-log-level=debug")
			Expect(err).NotTo(HaveOccurred())
			service.add(*g)
			Expect((*g).Start(ctx)).To(Succeed())
		}
		began := time.Now()
		acts(30 * time.Second)
		AddReportEntry("acts after it was ready for", time.Since(began).String())
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(configuration()), configuration())).To(Succeed())
	}, SpecTimeout(2*time.Minute))

	It("refuses what the policies cannot see, and nothing else", func(ctx SpecContext) {
		pod := &corev1.Pod{ObjectMeta: named("default", "p"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "nginx", Env: []corev1.EnvVar{{Name: "A", Value: encoded(foreignHost + ":5432")}}}}}}
		clean := pod.DeepCopy()
		clean.Spec.Containers[0].Env[0].Value = encoded("db.stage.example:5432")
		revision := &appsv1.ControllerRevision{ObjectMeta: named("default", "r"), Data: runtime.RawExtension{Raw: []byte(`{"host":"` + foreignHost + `"}`)}}
		for what, c := range map[string]struct {
			object client.Object
			want   string
		}{
			"a Secret":                 {secret("default", "s", foreignBucket), denied},
			"an innocent Secret":       {secret("default", "s", innocent), ""},
			"a large ConfigMap":        {large("default", "c", foreignHost), denied},
			"an innocent large one":    {large("default", "c", "db.stage.example"), ""},
			"a Pod":                    {pod, denied},
			"an innocent Pod":          {clean, ""},
			"a kind of no table":       {revision, found},
			"a Secret in kube-system":  {secret("kube-system", "s", foreignBucket), found},
			"a Secret of skott-system": {secret(namespace, "s", foreignBucket), ""},
		} {
			err := cluster.Create(ctx, c.object, client.DryRunAll)
			if c.want == "" {
				Expect(err).NotTo(HaveOccurred(), what)
				continue
			}
			Expect(err).To(MatchError(ContainSubstring(c.want)), what)
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), what)
		}
		By("an update too")
		s := secret("default", "changed", innocent)
		Expect(cluster.Create(ctx, s)).To(Succeed())
		s.Data["more"] = []byte(foreignHost)
		Expect(cluster.Update(ctx, s)).To(MatchError(ContainSubstring(denied)))
	}, SpecTimeout(time.Minute))

	It("refuses a credential of production, and says nothing of it", refusesCredentials, SpecTimeout(2*time.Minute))

	It("reads no more than it has to", func(ctx SpecContext) {
		as := clientOf(account(ctx))
		reads := policy.BuiltinRules().Reads(false)
		Expect(reads).NotTo(BeEmpty())
		for _, c := range []struct {
			verb, group, resource, in, name string
			allowed                         bool
		}{
			{"watch", "skott.dev", "guards", "", "", true}, {"list", "", "namespaces", "", "", true},
			{"get", "", "secrets", namespace, "skott-guard-tls", true}, {"get", "", "secrets", namespace, "skott-guard-key", true}, {"get", reads[0].Group, reads[0].Resource, "default", "b", true},
			{"get", "", "secrets", namespace, "other", false}, {"list", "", "secrets", namespace, "", false}, {"get", "", "secrets", "default", "s", false},
			{"list", reads[0].Group, reads[0].Resource, "", "", false}, {"list", "", "pods", "", "", false}, {"patch", "skott.dev", "guards", "", "skott", false}, {"create", "", "pods", namespace, "", false},
		} {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: c.verb, Group: c.group, Resource: c.resource, Namespace: c.in, Name: c.name}}}
			Expect(as.Create(ctx, review)).To(Succeed())
			Expect(review.Status.Allowed).To(Equal(c.allowed), "%+v", c)
		}
	}, SpecTimeout(time.Minute))

	It("takes up new certificates while it works", func(ctx SpecContext) {
		serving := func() string {
			s := &corev1.Secret{}
			Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "skott-guard-tls"}, s)).To(Succeed())
			return string(s.Data["tls.crt"])
		}
		certificates := map[string]bool{}
		l := begin(ctx, func() client.Object { return secret("default", "innocent-", innocent) }, client.DryRunAll)
		// An API server keeps its connections for as long as they last; a change of the
		// configuration makes it use new ones.
		for ends := time.Now().Add(2 * life); time.Now().Before(ends); time.Sleep(200 * time.Millisecond) {
			certificates[serving()] = true
		}
		sent, errs := l.end()
		AddReportEntry("certificates and requests", fmt.Sprint(len(certificates), " ", sent))
		Expect(errs).To(BeEmpty())
		Expect(len(certificates)).To(BeNumerically(">=", 3))
		Expect(state().Webhook.Phase).To(Equal(status.WebhookActs))
	}, SpecTimeout(2*time.Minute))

	It("refuses nothing innocent while its processes are replaced one by one", func(ctx SpecContext) {
		l := begin(ctx, func() client.Object { return secret("default", "innocent-", innocent) }, client.DryRunAll)
		for _, g := range []*testenv.Guard{first, second, first} {
			Expect(g.End(20 * time.Second)).To(Succeed())
			Expect(g.Start(ctx)).To(Succeed())
			Eventually(service.ready).WithTimeout(10 * time.Second).Should(HaveLen(2))
		}
		sent, errs := l.end()
		AddReportEntry("innocent requests, and refused ones", fmt.Sprint(sent, " ", total(errs)))
		Expect(errs).To(BeEmpty())
	}, SpecTimeout(2*time.Minute))

	It("lets nothing through while it is killed and started again", func(ctx SpecContext) {
		Expect(second.Stop()).To(Succeed())
		l := begin(ctx, func() client.Object { return secret("default", "crossing-", foreignBucket) })
		for range 4 {
			Expect(first.Stop()).To(Succeed())
			time.Sleep(300 * time.Millisecond)
			Expect(first.Begin()).To(Succeed())
			Eventually(service.ready).WithTimeout(20 * time.Second).Should(HaveLen(1))
			time.Sleep(500 * time.Millisecond)
		}
		sent, errs := l.end()
		AddReportEntry("crossing requests", fmt.Sprint(sent))
		Expect(total(errs)).To(Equal(sent))
		kinds := map[bool]int{}
		for text, n := range errs {
			kinds[strings.Contains(text, denied)] += n
			Expect(text).To(Or(ContainSubstring(denied), ContainSubstring(silent)))
		}
		AddReportEntry("refused by a decision, and for want of one", fmt.Sprint(kinds[true], " ", kinds[false]))
		list := &corev1.SecretList{}
		Expect(cluster.List(ctx, list, client.InNamespace("default"))).To(Succeed())
		for _, s := range list.Items {
			Expect(s.Name).NotTo(HavePrefix("crossing-"))
		}
	}, SpecTimeout(2*time.Minute))

	It("is refused for, where it is listed, and passed where a cluster needs it, while it is away", func(ctx SpecContext) {
		Expect(first.Stop()).To(Succeed())
		Eventually(func() status.WebhookState { return state().Webhook }).WithTimeout(30 * time.Second).Should(HaveField("Phase", status.WebhookAway))
		AddReportEntry("what the fleet says", state().Webhook.Message)
		pod := &corev1.Pod{ObjectMeta: named("default", "p"), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "nginx"}}}}
		critical := pod.DeepCopy()
		critical.Spec.PriorityClassName = "system-node-critical"
		crossing := critical.DeepCopy()
		crossing.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: foreignHost}}
		for what, c := range map[string]struct {
			object client.Object
			want   string
		}{
			"a Secret":                      {secret("default", "s", innocent), silent},
			"a ConfigMap":                   {&corev1.ConfigMap{ObjectMeta: named("default", "c")}, silent},
			"a Pod":                         {pod, silent},
			"a Pod that nodes need":         {critical, ""},
			"a crossing Pod that they need": {crossing, "ValidatingAdmissionPolicy 'skott-workload'"},
			"a Secret of kube-system":       {secret("kube-system", "s", innocent), ""},
			"a Pod of kube-system":          {&corev1.Pod{ObjectMeta: named("kube-system", "p"), Spec: pod.Spec}, ""},
			"a ConfigMap of skott-system":   {&corev1.ConfigMap{ObjectMeta: named(namespace, "c")}, ""},
			"a Namespace":                   {&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, ""},
			"a Node":                        {&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, ""},
			"a Lease":                       {&coordinationv1.Lease{ObjectMeta: named("default", "l")}, ""},
			"a Role":                        {&rbacv1.Role{ObjectMeta: named("default", "r")}, ""},
			"a ServiceAccount":              {&corev1.ServiceAccount{ObjectMeta: named("default", "s")}, ""},
			"an Event":                      {&corev1.Event{ObjectMeta: named("default", "e"), InvolvedObject: corev1.ObjectReference{Namespace: "default"}}, ""},
			"a kind of no table":            {&appsv1.ControllerRevision{ObjectMeta: named("default", "r"), Data: runtime.RawExtension{Raw: []byte(`{}`)}}, ""},
		} {
			began := time.Now()
			err := cluster.Create(ctx, c.object, client.DryRunAll)
			if c.want == "" {
				Expect(err).NotTo(HaveOccurred(), what)
			} else {
				Expect(err).To(MatchError(ContainSubstring(c.want)), what)
			}
			Expect(time.Since(began)).To(BeNumerically("<", 8*time.Second), what)
		}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(configuration()), configuration())).To(Succeed(), "what is away stays closed")
		Expect(state().Guard.Phase).To(Equal(status.Enforced), "the policies do not need it")
		Expect(first.Start(ctx)).To(Succeed())
		acts(30 * time.Second)
	}, SpecTimeout(2*time.Minute))

	It("is put back", func(ctx SpecContext) {
		for what, do := range map[string]func() error{
			"ValidatingWebhookConfiguration skott-guard": func() error { return cluster.Delete(ctx, configuration()) },
			"ValidatingWebhookConfiguration skott-guard-probe": func() error {
				probe := configuration()
				probe.Name = policy.WebhookProbe
				return cluster.Delete(ctx, probe)
			},
		} {
			Expect(do()).To(Succeed())
			Eventually(seen.restorations).WithTimeout(10*time.Second).Should(ContainElement(what), what)
		}
		By("what is added to it is taken out")
		live := configuration()
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		conditions := len(live.Webhooks[0].MatchConditions)
		live.Webhooks[0].MatchConditions = append(live.Webhooks[0].MatchConditions, admissionv1.MatchCondition{Name: "never", Expression: "false"})
		Expect(cluster.Update(ctx, live)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(cluster.Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
			g.Expect(live.Webhooks[0].MatchConditions).To(HaveLen(conditions))
		}).WithTimeout(10 * time.Second).Should(Succeed())
		By("a lost certificate is made anew")
		Expect(cluster.Delete(ctx, &corev1.Secret{ObjectMeta: named(namespace, "skott-guard-tls")})).To(Succeed())
		Eventually(seen.restorations).WithTimeout(10 * time.Second).Should(ContainElement("Secret skott-guard-tls"))
		Eventually(func() error { return cluster.Create(ctx, secret("default", "s", foreignBucket), client.DryRunAll) }).
			WithTimeout(20 * time.Second).Should(MatchError(ContainSubstring(denied)))
	}, SpecTimeout(2*time.Minute))

	It("goes on without an operator, and follows the Guard", func(ctx SpecContext) {
		guarded.Close()
		By("having a certificate that outlives the test")
		Expect(cluster.Delete(ctx, &corev1.Secret{ObjectMeta: named(namespace, "skott-guard-tls")})).To(Succeed())
		startFleet(context.WithoutCancel(ctx), time.Hour)
		acts(time.Minute)
		guarded.Close()
		Expect(cluster.Create(ctx, secret("default", "s", foreignBucket), client.DryRunAll)).To(MatchError(ContainSubstring(denied)))
		Expect(cluster.Create(ctx, secret("default", "s", innocent), client.DryRunAll)).To(Succeed())
		config, err := staging.ConfigFor(policy.Operator, "system:masters")
		Expect(err).NotTo(HaveOccurred())
		operator := clientOf(config)
		guard := &skottv1.Guard{}
		Expect(operator.Get(ctx, client.ObjectKey{Name: "skott"}, guard)).To(Succeed())
		guard.Spec.Addresses, guard.Spec.Hosts = maps.Clone(guard.Spec.Addresses), maps.Clone(guard.Spec.Hosts)
		for i := range 10_000 {
			host := fmt.Sprintf("h%d.production.example", i)
			guard.Spec.Addresses[host], guard.Spec.Hosts[host] = "production", ""
		}
		Expect(operator.Update(ctx, guard)).To(Succeed())
		for i := range 5 {
			host := fmt.Sprintf("new%d.production.example", i)
			guard.Spec.Addresses[host], guard.Spec.Hosts[host] = "production", ""
			guard.Spec.Revision = fmt.Sprintf("by-hand-%d", i)
			Expect(operator.Update(ctx, guard)).To(Succeed())
			began := time.Now()
			Eventually(func() error { return cluster.Create(ctx, secret("default", "s", host), client.DryRunAll) }).
				WithTimeout(10 * time.Second).WithPolling(2 * time.Millisecond).Should(MatchError(ContainSubstring(denied)))
			AddReportEntry("an address among 10,000 acts after", time.Since(began).String())
		}
	}, SpecTimeout(2*time.Minute))
})

type fleetPhase = status.Phase
