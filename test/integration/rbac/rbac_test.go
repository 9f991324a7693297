// SPDX-License-Identifier: Apache-2.0

package rbac_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// account is one of Skott's in one cluster, with what it needs there.
type account struct {
	name  string
	where *testenv.Server
	needs [][]need
}

func (a account) user() string { return "system:serviceaccount:" + namespace + ":" + a.name }

// accounts are all of them. Those under a ManagementCluster are made by the operator, those of the Ops Cluster come with
// config/default and config/guard.
func accounts(secrets bool) []account {
	guarded := [][]need{guarding, surveying, scanning(), deploying, learning()}
	if secrets {
		guarded = append(guarded, []need{{"to make fingerprints of credentials", watch, "", []string{"secrets"}, nil, everywhere}})
	}
	return []account{
		{"skott-operator", ops, [][]need{guarding, surveying, reporting, scanning(), deploying, learning(), central}},
		{"skott-operator", management, append(slices.Clone(guarded), managing)},
		{"skott-operator", workload, guarded},
		{"skott-guard", ops, [][]need{judging}},
		{"skott-guard", management, [][]need{judging, following(secrets)}},
		{"skott-guard", workload, [][]need{judging, following(secrets)}},
		{"skott-canary", ops, [][]need{asking}},
		{"skott-canary", management, [][]need{asking}},
		{"skott-canary", workload, [][]need{asking}},
	}
}

// rightsOf is everything that is granted to an account by its name.
func rightsOf(ctx context.Context, a account) map[right]bool {
	GinkgoHelper()
	c, err := client.New(a.where.Config(), client.Options{Scheme: hub.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	is := func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == namespace && s.Name == a.name
	}
	rules := func(ref rbacv1.RoleRef, in string) []rbacv1.PolicyRule {
		if ref.Kind == "Role" {
			role := &rbacv1.Role{}
			Expect(c.Get(ctx, client.ObjectKey{Namespace: in, Name: ref.Name}, role)).To(Succeed())
			return role.Rules
		}
		role := &rbacv1.ClusterRole{}
		Expect(c.Get(ctx, client.ObjectKey{Name: ref.Name}, role)).To(Succeed())
		return role.Rules
	}
	out := map[right]bool{}
	everywheres, locals := &rbacv1.ClusterRoleBindingList{}, &rbacv1.RoleBindingList{}
	Expect(c.List(ctx, everywheres)).To(Succeed())
	Expect(c.List(ctx, locals)).To(Succeed())
	for _, b := range everywheres.Items {
		if slices.ContainsFunc(b.Subjects, is) {
			granted(out, rules(b.RoleRef, ""), everywhere)
		}
	}
	for _, b := range locals.Items {
		if slices.ContainsFunc(b.Subjects, is) {
			granted(out, rules(b.RoleRef, b.Namespace), b.Namespace)
		}
	}
	return out
}

func texts(rights []right) []string {
	out := make([]string, len(rights))
	for i, r := range rights {
		out[i] = r.String()
	}
	slices.Sort(out)
	return out
}

// may asks the API server itself, as an authorizer sees the account: with its groups.
func may(ctx context.Context, a account, r right) bool {
	GinkgoHelper()
	resource, subresource, _ := strings.Cut(r.resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: a.user(), Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: resource, Subresource: subresource, Namespace: r.namespace, Name: r.name},
	}}
	Expect(a.where.Client().Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// sample is what the operator says of a metric now, where the value is as the pattern says.
func sample(metric, value string) []string {
	response, err := http.Get(operator.MetricsURL())
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil
	}
	return regexp.MustCompile(`(?m)^`+metric+`\{.*\} `+value).FindAllString(string(body), -1)
}

// exact holds every account to its list: nothing is missing, and nothing is there that has no reason.
func exact(ctx context.Context, secrets bool) int {
	GinkgoHelper()
	n := 0
	for _, a := range accounts(secrets) {
		needed := expand(a.needs...)
		want, got := texts(slices.Collect(maps.Keys(needed))), texts(slices.Collect(maps.Keys(rightsOf(ctx, a))))
		Expect(cmp.Diff(want, got)).To(BeEmpty(), "%s in %s: what is needed (-), what is granted (+)", a.name, a.where.Name())
		for r, why := range needed {
			Expect(may(ctx, a, r)).To(BeTrue(), "%s in %s: %s, %s", a.name, a.where.Name(), r, why)
			n++
		}
	}
	return n
}

// refusals are what nobody of Skott may do anywhere, and what only some may, somewhere.
var refusals = []right{
	{"*", "*", "*", "", everywhere}, {"get", "*", "*", "", everywhere}, {"*", "", "secrets", "", everywhere},
	{"create", "", "pods", "", "default"}, {"create", "", "pods", "", "kube-system"}, {"delete", "", "pods", "", namespace}, {"list", "", "pods", "", everywhere},
	{"create", "", "pods/exec", "", namespace}, {"get", "", "pods/exec", "", namespace}, {"create", "", "pods/attach", "", namespace},
	{"create", "", "pods/portforward", "", namespace}, {"get", "", "pods/log", "", namespace}, {"update", "", "pods/ephemeralcontainers", "", namespace},
	{"get", "", "nodes/proxy", "", everywhere}, {"create", "", "nodes/proxy", "", everywhere}, {"get", "", "services/proxy", "", namespace},
	{"list", "", "nodes", "", everywhere}, {"patch", "", "nodes", "", everywhere},
	{"escalate", "rbac.authorization.k8s.io", "clusterroles", "", everywhere}, {"bind", "rbac.authorization.k8s.io", "clusterroles", "", everywhere},
	{"escalate", "rbac.authorization.k8s.io", "roles", "", namespace}, {"bind", "rbac.authorization.k8s.io", "roles", "", namespace},
	{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", everywhere}, {"create", "rbac.authorization.k8s.io", "rolebindings", "", namespace},
	{"update", "rbac.authorization.k8s.io", "clusterroles", "skott-operator", everywhere}, {"patch", "rbac.authorization.k8s.io", "roles", "skott-operator", namespace},
	{"impersonate", "", "users", "", everywhere}, {"impersonate", "", "groups", "system:masters", everywhere}, {"impersonate", "", "serviceaccounts", "", namespace},
	{"create", "", "serviceaccounts/token", "default", "kube-system"}, {"create", "", "serviceaccounts/token", "skott-guard", namespace}, {"create", "", "serviceaccounts", "", namespace},
	{"create", "certificates.k8s.io", "certificatesigningrequests", "", everywhere}, {"approve", "certificates.k8s.io", "signers", "", everywhere},
	{"delete", "", "namespaces", "", everywhere}, {"patch", "", "namespaces", "default", everywhere}, {"create", "", "namespaces", "", everywhere},
	{"delete", "skott.dev", "environments", "", everywhere}, {"delete", "skott.dev", "managementclusters", "", everywhere}, {"delete", "skott.dev", "databoundaries", "", everywhere},
	{"delete", "skott.dev", "movementkinds", "", everywhere}, {"create", "skott.dev", "environments", "", everywhere}, {"create", "skott.dev", "databoundaries", "", everywhere},
	{"create", "skott.dev", "managementclusters", "", everywhere}, {"create", "skott.dev", "movementkinds", "", everywhere},
	{"delete", "cluster.x-k8s.io", "clusters", "", everywhere}, {"create", "cluster.x-k8s.io", "clusters", "", everywhere}, {"update", "cluster.x-k8s.io", "clusters/status", "", everywhere},
	{"create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", everywhere}, {"create", "admissionregistration.k8s.io", "mutatingadmissionpolicies", "", everywhere},
	{"update", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "somebody-elses", everywhere}, {"delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "somebody-elses", everywhere},
	{"patch", "apiextensions.k8s.io", "customresourcedefinitions", "environments.skott.dev", everywhere}, {"delete", "apiextensions.k8s.io", "customresourcedefinitions", "guards.skott.dev", everywhere},
	{"patch", "apiregistration.k8s.io", "apiservices", "", everywhere}, {"update", "flowcontrol.apiserver.k8s.io", "flowschemas", "", everywhere},
	{"update", "", "secrets", "", "default"}, {"delete", "", "secrets", "", "default"}, {"create", "", "secrets", "", "default"}, {"create", "", "secrets", "", "kube-system"},
	{"patch", "", "secrets", "management", namespace}, {"delete", "", "secrets", "management", namespace},
	{"delete", "apps", "deployments", "skott", namespace}, {"patch", "apps", "deployments", "skott", namespace}, {"create", "apps", "deployments", "", "default"},
	{"delete", "velero.io", "backupstoragelocations", "", everywhere}, {"patch", "", "persistentvolumes", "", everywhere}, {"update", "", "services", "", "default"},
	{"list", "", "configmaps", "", "kube-system"}, {"update", "", "configmaps", "", "kube-system"}, {"create", "coordination.k8s.io", "leases", "", "kube-system"},
}

// secretReads are refused wherever Secrets may not be read.
var secretReads = []right{
	{"list", "", "secrets", "", everywhere}, {"watch", "", "secrets", "", everywhere}, {"list", "", "secrets", "", "kube-system"}, {"get", "", "secrets", "", "kube-system"}, {"get", "", "secrets", "", "default"},
}

// scanned says that the right is refused to everybody but the operator, which scans such objects.
func scanned(a account, r right) bool {
	return a.name == "skott-operator" && r.verb == "list" && slices.Contains([]string{"pods", "nodes", "configmaps"}, r.resource)
}

var _ = Describe("The accounts of Skott", Ordered, func() {
	AfterEach(func() {
		if CurrentSpecReport().Failed() && operator != nil {
			content, _ := os.ReadFile(operator.LogFile())
			AddReportEntry("operator", string(content[max(0, len(content)-10_000):]), ReportEntryVisibilityFailureOrVerbose)
		}
	})

	It("may do what they need, and are granted nothing else", func(ctx SpecContext) {
		AddReportEntry("rights asked for", exact(ctx, false))

		By("working with these rights from the start: an API server honours new ones a moment after they are granted")
		before, err := os.ReadFile(operator.LogFile())
		Expect(err).NotTo(HaveOccurred())
		Expect(operator.Stop()).To(Succeed())
		Expect(operator.Start(ctx)).To(Succeed())
		Eventually(func(g Gomega) {
			g.Expect(sample("skott_policy_age_seconds", ".")).To(HaveLen(2), "proved")
			g.Expect(sample("skott_address_book_age_seconds", "0$")).To(HaveLen(2), "learned")
		}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
		content, err := os.ReadFile(operator.LogFile())
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(content[len(before):])) {
			Expect(line).NotTo(ContainSubstring("is forbidden"))
		}
	}, SpecTimeout(3*time.Minute))

	It("are refused the rest", func(ctx SpecContext) {
		for _, a := range accounts(false) {
			needed := expand(a.needs...)
			for _, r := range slices.Concat(refusals, secretReads) {
				if r.verb == "get" && r.resource == "secrets" && a.name == "skott-operator" && a.where == management {
					continue // the kubeconfigs of Cluster API, by name, in whatever namespace it keeps them
				}
				if scanned(a, r) {
					continue
				}
				Expect(needed).NotTo(HaveKey(r), "%s in %s", a.name, a.where.Name())
				Expect(may(ctx, a, r)).To(BeFalse(), "%s in %s: %s", a.name, a.where.Name(), r)
			}
		}
	}, SpecTimeout(3*time.Minute))

	It("are refused it as kubectl tells", func(ctx SpecContext) {
		for _, question := range [][]string{
			{"create", "pods", "-n", "default"}, {"escalate", "clusterroles"}, {"impersonate", "users"}, {"*", "*"},
			{"get", "nodes", "--subresource=proxy"}, {"create", "pods", "--subresource=exec", "-n", namespace}, {"list", "secrets", "-A"}, {"get", "secrets", "-n", "kube-system"},
		} {
			for _, where := range []*testenv.Server{ops, workload} {
				output, err := env.Kubectl(ctx, where, append([]string{"auth", "can-i", "--quiet=false", "--as=system:serviceaccount:" + namespace + ":skott-operator"}, question...)...)
				Expect(err).To(HaveOccurred(), "%v in %s", question, where.Name()) // it ends with 1 for no
				Expect(strings.Fields(output)).To(ContainElement("no"), "%v in %s: %s", question, where.Name(), output)
			}
		}
		output, err := env.Kubectl(ctx, workload, "auth", "can-i", "--as=system:serviceaccount:"+namespace+":skott-operator", "patch", "guards.skott.dev")
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Fields(output)).To(ContainElement("yes"))
	}, SpecTimeout(3*time.Minute))

	It("are in no role with a wildcard", func(ctx SpecContext) {
		for _, where := range []*testenv.Server{ops, management, workload} {
			c, err := client.New(where.Config(), client.Options{Scheme: hub.Scheme()})
			Expect(err).NotTo(HaveOccurred())
			clusterRoles, roles := &rbacv1.ClusterRoleList{}, &rbacv1.RoleList{}
			Expect(c.List(ctx, clusterRoles)).To(Succeed())
			Expect(c.List(ctx, roles)).To(Succeed())
			seen := 0
			check := func(name string, rules []rbacv1.PolicyRule) {
				if !strings.HasPrefix(name, "skott-") {
					return
				}
				seen++
				for _, rule := range rules {
					Expect(slices.Concat(rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames, rule.NonResourceURLs)).
						NotTo(ContainElement(ContainSubstring("*")), "%s in %s", name, where.Name())
				}
			}
			for _, r := range clusterRoles.Items {
				check(r.Name, r.Rules)
				Expect(r.AggregationRule == nil || !strings.HasPrefix(r.Name, "skott-")).To(BeTrue())
			}
			for _, r := range roles.Items {
				check(r.Name, r.Rules)
			}
			Expect(seen).To(BeNumerically(">=", 7), where.Name())
		}
	}, SpecTimeout(time.Minute))

	It("may read Secrets where spec.learn.secrets says so, and nothing more", func(ctx SpecContext) {
		mc := &skottv1.ManagementCluster{}
		mc.Name = "management"
		Expect(hub.Patch(ctx, mc, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"learn":{"secrets":true}}}`)))).To(Succeed())
		guard := account{"skott-guard", workload, nil}
		Eventually(func(g Gomega) {
			for _, where := range []*testenv.Server{management, workload} {
				g.Expect(may(ctx, account{"skott-operator", where, nil}, secretReads[0])).To(BeTrue())
				g.Expect(may(ctx, account{"skott-guard", where, nil}, secretReads[4])).To(BeTrue())
			}
		}).WithTimeout(time.Minute).WithPolling(200 * time.Millisecond).Should(Succeed())
		becomes(ctx, skottv1.ConditionLearning)
		exact(ctx, true)
		for _, r := range refusals {
			if a := (account{"skott-operator", workload, nil}); !scanned(a, r) {
				Expect(may(ctx, a, r)).To(BeFalse(), "%s", r)
			}
			Expect(may(ctx, guard, r)).To(BeFalse(), "%s", r)
		}
		Expect(may(ctx, guard, secretReads[0])).To(BeFalse(), "the webhook reads by name only")
	}, SpecTimeout(3*time.Minute))
})
