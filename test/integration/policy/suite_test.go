// SPDX-License-Identifier: Apache-2.0

// Package policy_test holds the compiled policies, run by a real API server, to
// policy.Evaluate: same decision, same code, same words.
package policy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/guarded"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

var (
	server   *testenv.Server
	operator client.Client // Skott's own user: nobody else may write a Guard
	platform *corpus.Platform
	resolved *policy.Policy
	cases    []*corpus.Case
)

// namespaces of the server, with the Environment that each claims.
var namespaces = map[string]string{"default": "", "preview": "staging", "tests": "testing", "cust-acme": "", "acme": "", "databases": "", "cust-vardhem": "", "safespring": "", "skott-system": ""}

func TestPolicies(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Policy Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	_, servers := suite.Start(ctx, "policy", testenv.Options{
		Name: "guarded", AuditPolicy: testenv.AuditMetadata,
		// Without it the API server drops the namespace of a data source, and nothing crosses.
		Flags: []string{"--feature-gates=CrossNamespaceVolumeDataSource=true"},
	})
	server = servers[0]

	var err error
	operator, err = guarded.Prepare(ctx, server)
	Expect(err).NotTo(HaveOccurred())
	platform, err = corpus.ReadPlatform()
	Expect(err).NotTo(HaveOccurred())
	resolved = policy.New(platform.Snapshot)
	Expect(resolved.Rejected()).To(BeEmpty())
	cases, err = corpus.Cases()
	Expect(err).NotTo(HaveOccurred())

	crds, err := testenv.CRDs(ctx, testenv.Modules()...)
	Expect(err).NotTo(HaveOccurred())
	crds = append(crds, corpus.BareCRDs(cases, crds)...)
	Expect(server.Install(ctx, crds...)).To(Succeed())
	for name, environment := range namespaces {
		Expect(server.Apply(ctx, guarded.Namespace(name, environment))).To(Succeed())
	}
	for _, c := range cases {
		name := namespaceOf(c.Object)
		if _, made := namespaces[name]; name != "" && !made {
			Expect(server.Apply(ctx, testenv.Namespace(name, nil))).To(Succeed())
		}
	}
	// What is updated has to be there before it is refused.
	for _, c := range cases {
		if c.OldObject != nil {
			Expect(server.Client().Create(ctx, &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.OldObject)})).To(Succeed(), c.Title())
		}
	}
	createEnding(ctx)
	for _, p := range policy.BuiltinRules().Policies(families, true) {
		Expect(server.Apply(ctx, guarded.Plain(p))).To(Succeed(), p.Name)
	}
	publish(ctx, "staging")
	Expect(guarded.Bind(ctx, server, families, skottv1.ActionDeny)).To(Succeed())
})

// publish makes the server the cluster of that name, and returns its Guards.
func publish(ctx context.Context, cluster string) []*skottv1.Guard {
	GinkgoHelper()
	c, known := platform.Clusters[cluster]
	Expect(known).To(BeTrue(), "cluster %q of the platform", cluster)
	guards := resolved.Guards(c.GuardedCluster, c.Namespaces, families)
	Expect(guarded.Publish(ctx, operator, guards...)).To(Succeed())
	return guards
}

// proved waits until every family of policies refuses its canary at this revision.
func proved(ctx context.Context, guards []*skottv1.Guard) {
	GinkgoHelper()
	Expect(guarded.Prove(ctx, server, guards, 3*time.Minute)).To(Succeed())
}

// send sends the request of a case as a dry run and returns the denial, or "".
func send(ctx context.Context, c *corpus.Case) (denial string, other error) {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.Object)}
	sender := server.Client()
	if c.User == "operator" {
		sender = operator
	}
	var err error
	if c.OldObject == nil {
		err = sender.Create(ctx, u, client.DryRunAll)
	} else {
		live := u.DeepCopy()
		if err := server.Client().Get(ctx, client.ObjectKeyFromObject(u), live); err != nil {
			return "", err
		}
		u.SetResourceVersion(live.GetResourceVersion())
		if c.Subresource != "" {
			err = sender.SubResource(c.Subresource).Update(ctx, u, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{metav1.DryRunAll}}})
		} else {
			err = sender.Update(ctx, u, client.DryRunAll)
		}
	}
	if err == nil {
		return "", nil
	}
	if _, message, ok := strings.Cut(err.Error(), " denied request: "); ok && apierrors.IsForbidden(err) {
		return message, nil
	}
	return "", err
}

// requestOf is the request of a case as a decision needs it.
func requestOf(c *corpus.Case) *policy.Request {
	u := &unstructured.Unstructured{Object: c.Object}
	mapping, err := server.Client().RESTMapper().RESTMapping(u.GroupVersionKind().GroupKind())
	Expect(err).NotTo(HaveOccurred(), c.Title())
	r := &policy.Request{
		Operation: "CREATE", Group: mapping.Resource.Group, Resource: mapping.Resource.Resource, Subresource: c.Subresource,
		Namespace: namespaceOf(c.Object), User: "admin", Object: c.Object, Lookup: c.Lookup,
	}
	if environment := namespaces[r.Namespace]; environment != "" {
		r.NamespaceLabels = map[string]string{skottv1.LabelEnvironment: environment}
	}
	if c.User == "operator" {
		r.User = policy.Operator
	}
	if c.OldObject != nil {
		r.Operation, r.OldObject = "UPDATE", c.OldObject
	}
	return r
}

// namespaceOf is the namespace of an object, whatever its metadata look like.
func namespaceOf(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	return namespace
}

// evaluate decides the same request without an API server.
func evaluate(guard *skottv1.Guard, c *corpus.Case) policy.Decision {
	return policy.NewEvaluator(guard).Evaluate(requestOf(c))
}

var _ = Describe("the compiled policies and Evaluate", Ordered, ContinueOnFailure, func() {
	for _, cluster := range []string{"staging", "production", "mc-staging", "mc-production", "restore", "ops", "unassigned"} {
		It("agree on every object of the corpus in cluster "+cluster, func(ctx SpecContext) {
			guards := publish(ctx, cluster)
			proved(ctx, guards)
			var wrong []string
			n := 0
			for _, c := range cases {
				if c.Cluster != cluster {
					continue
				}
				n++
				for _, problem := range judge(ctx, guards[0], c) {
					wrong = append(wrong, c.Title()+": "+problem)
				}
			}
			expectNone(wrong)
			AddReportEntry(fmt.Sprintf("%d objects in %s", n, cluster))
		}, SpecTimeout(5*time.Minute))
	}
})

// judge says what is wrong with the answers to one case.
func judge(ctx context.Context, guard *skottv1.Guard, c *corpus.Case) []string {
	var wrong []string
	denial, err := send(ctx, c)
	if err != nil {
		return []string{"the request itself fails: " + err.Error()}
	}
	expected := slices.Clone(c.Expect)
	slices.Sort(expected)
	d := evaluate(guard, c)
	if got := corpus.Codes(d.Message); !slices.Equal(got, expected) {
		wrong = append(wrong, fmt.Sprintf("Evaluate says %v, expected %v: %s", got, expected, d.Message))
	}
	if c.OnlyEvaluate != "" {
		if denial != "" {
			wrong = append(wrong, "the policies see it too, so it is no gap: "+denial)
		}
		return wrong
	}
	if got := corpus.Codes(denial); !slices.Equal(got, expected) {
		wrong = append(wrong, fmt.Sprintf("the API server says %v, expected %v: %s", got, expected, denial))
	}
	// Evaluate may say more, of fields that no policy reads.
	if same := policy.NewEvaluator(guard).OfPolicies().Evaluate(requestOf(c)); !sameWords(denial, same.Message) {
		wrong = append(wrong, fmt.Sprintf("different words:\n  API server: %s\n  Evaluate:   %s", denial, same.Message))
	}
	for _, text := range c.Contains {
		if !strings.Contains(denial, text) {
			wrong = append(wrong, fmt.Sprintf("%q does not hold %q", denial, text))
		}
	}
	return wrong
}

// sameWords compares messages without regard to the order of their parts: an API server
// walks maps in no fixed order. Which references are told of many may then differ, too.
func sameWords(a, b string) bool {
	parts := func(s string) []string {
		out := strings.Split(strings.Replace(s, `": `, `"; `, 1), "; ")
		if strings.Contains(s, " more; ") {
			out = slices.DeleteFunc(out, func(part string) bool { return strings.HasSuffix(part, ")") })
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(parts(a), parts(b))
}
