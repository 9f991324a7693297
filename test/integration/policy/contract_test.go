// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
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
)

// namesHost is a ConfigMap that names a host.
func namesHost(name, host string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "default"}, "data": map[string]any{"host": host}}}
}

// ending is an object that crosses, was there before its boundary, and is being deleted.
const ending = "ending"

// createEnding makes that object while nothing refuses it.
func createEnding(ctx context.Context) {
	GinkgoHelper()
	cm := namesHost(ending, "db.prod.example")
	cm.SetFinalizers([]string{"example.com/wait"})
	Expect(server.Client().Create(ctx, cm)).To(Succeed())
	Expect(server.Client().Delete(ctx, cm)).To(Succeed())
}

var _ = Describe("a denial", Ordered, ContinueOnFailure, func() {
	var guards []*skottv1.Guard

	BeforeAll(func(ctx SpecContext) {
		guards = publish(ctx, "staging")
		proved(ctx, guards)
	})

	It("is Forbidden, and says why in one line", func(ctx SpecContext) {
		err := server.Client().Create(ctx, namesHost("x", "db.prod.example"), client.DryRunAll)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
		var status apierrors.APIStatus
		Expect(errors.As(err, &status)).To(BeTrue())
		Expect(status.Status().Code).To(BeEquivalentTo(403))
		Expect(err.Error()).NotTo(ContainSubstring("\n"))
	})

	DescribeTable("stays below 5 KiB", func(ctx SpecContext, o func() map[string]any, shown string) {
		c := &corpus.Case{Cluster: "staging", Object: o()}
		denial, err := send(ctx, c)
		Expect(err).NotTo(HaveOccurred())
		d := evaluate(guards[0], c)
		Expect(denial).To(ContainSubstring(shown))
		Expect(d.Message).To(ContainSubstring(shown))
		Expect(len(denial)).To(BeNumerically("<", 5<<10))
		Expect(len(d.Message)).To(BeNumerically("<", 5<<10))
	},
		Entry("with 500 references", func() map[string]any { return deployment(1, 500, "db.prod.example") }, "; and 498 more; "),
		Entry("with values of 1,000 characters", func() map[string]any {
			return databases(30, "s3://prod-backups/"+strings.Repeat("é", 1000))
		}, `...", which belongs to Environment "production"`),
		Entry("with keys as long as they may be", func() map[string]any {
			o := namesHost("x", "db.prod.example").Object
			o["data"] = map[string]any{strings.Repeat("k", 253): "db.prod.example"}
			return o
		}, `data["`+strings.Repeat("k", 63)+`..."] names host`),
	)

	It("shows no secret, and no name that its author did not write", func(ctx SpecContext) {
		for _, host := range []string{"vardhem.customers.example", "10.20.3.4", "db.prod.example"} {
			c := &corpus.Case{Cluster: "staging", Object: deployment(1, 1, "postgres://app:hunter2@"+host+":5432/orders?sslpassword=hunter3")}
			denial, err := send(ctx, c)
			Expect(err).NotTo(HaveOccurred())
			Expect(denial).To(ContainSubstring(`names host "` + host + `", which`))
			for _, secret := range []string{"hunter", "app:", "orders", "*.", "10.20.0.0"} {
				Expect(denial).NotTo(ContainSubstring(secret))
			}
		}
	})

	It("does not keep an object that crosses from ending, but from being changed", func(ctx SpecContext) {
		live := namesHost(ending, "")
		Expect(server.Client().Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
		Expect(live.GetDeletionTimestamp()).NotTo(BeNil())
		changed := live.DeepCopy()
		Expect(unstructured.SetNestedField(changed.Object, "db.prod.example!", "data", "host")).To(Succeed())
		expectAlike(ctx, guards[0], live, changed, "SKOTT-D101")
		ended := live.DeepCopy()
		ended.SetFinalizers(nil)
		expectAlike(ctx, guards[0], live, ended, "")
		Expect(server.Client().Update(ctx, ended)).To(Succeed())
	})

	It("of the guard itself meets whoever is not Skott", func(ctx SpecContext) {
		g := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "skott.dev/v1alpha1", "kind": "Guard", "metadata": map[string]any{"name": "skott"}}}
		definition := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": policy.GuardCRD}}}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))
		evaluator := policy.NewEvaluator(guards[0])
		for code, o := range map[string]*unstructured.Unstructured{"SKOTT-D501": g, "SKOTT-D502": definition} {
			Expect(server.Client().Delete(ctx, o, client.DryRunAll)).To(MatchError(ContainSubstring(code)))
			Expect(server.Client().Patch(ctx, o.DeepCopy(), patch, client.DryRunAll)).To(MatchError(ContainSubstring(code)))
			Expect(operator.Patch(ctx, o.DeepCopy(), patch, client.DryRunAll)).To(Succeed())
			q := requestOf(&corpus.Case{Object: o.Object})
			q.Operation, q.OldObject, q.Object = "DELETE", o.Object, nil
			Expect(evaluator.Evaluate(q).Codes).To(ConsistOf(policy.Code(code)))
			q.User = policy.Operator
			Expect(evaluator.Evaluate(q).Allowed).To(BeTrue())
		}
	})
})

// expectAlike sends an update and gives it to Evaluate; code "" is admitted.
func expectAlike(ctx context.Context, guard *skottv1.Guard, old, changed *unstructured.Unstructured, code string) {
	GinkgoHelper()
	err := server.Client().Update(ctx, changed.DeepCopy(), client.DryRunAll)
	q := requestOf(&corpus.Case{Object: changed.Object, OldObject: old.Object})
	d := policy.NewEvaluator(guard).Evaluate(q)
	if code == "" {
		Expect(err).NotTo(HaveOccurred())
		Expect(d.Allowed).To(BeTrue(), d.Message)
		return
	}
	Expect(err).To(MatchError(ContainSubstring(code)))
	Expect(d.Message).To(ContainSubstring(code))
}

// warnings collects what an API server warns of.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.texts
	w.texts = nil
	return out
}

// auditAnnotations are the failures that the audit log of the server holds for objects of a
// name.
func auditAnnotations(name string) []string {
	GinkgoHelper()
	content, err := os.ReadFile(server.AuditLog())
	Expect(err).NotTo(HaveOccurred())
	var out []string
	for line := range strings.Lines(string(content)) {
		var event struct {
			ObjectRef   struct{ Name string }
			Annotations map[string]string
		}
		Expect(json.Unmarshal([]byte(line), &event)).To(Succeed())
		if event.ObjectRef.Name != name {
			continue
		}
		if text := event.Annotations["validation.policy.admission.k8s.io/validation_failure"]; text != "" {
			out = append(out, text)
		}
	}
	return out
}

var _ = Describe("an action", Ordered, func() {
	var warned *warnings
	var user client.Client

	BeforeAll(func(ctx SpecContext) {
		for _, b := range policy.Bindings(families, skottv1.ActionWarn, skottv1.ActionAudit) {
			Expect(server.Apply(ctx, guarded.Plain(b))).To(Succeed(), b.Name)
			DeferCleanup(func(ctx SpecContext) { Expect(server.Client().Delete(ctx, guarded.Plain(b))).To(Succeed()) })
		}
		warned = &warnings{}
		config := server.Config()
		config.WarningHandler = warned
		var err error
		user, err = client.New(config, client.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) {
			for _, name := range []string{"skott-warn", "skott-audit"} {
				g := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "skott.dev/v1alpha1", "kind": "Guard", "metadata": map[string]any{"name": name}}}
				Expect(client.IgnoreNotFound(operator.Delete(ctx, g))).To(Succeed())
			}
		})
	})

	// with makes the server the staging cluster of a platform with these boundaries.
	with := func(ctx context.Context, actions ...skottv1.Action) []*skottv1.Guard {
		s := platform.Snapshot
		s.Boundaries = nil
		for _, a := range actions {
			s.Boundaries = append(s.Boundaries, skottv1.DataBoundary{
				ObjectMeta: metav1.ObjectMeta{Name: "boundary-" + strings.ToLower(string(a))}, Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{Action: a}}})
		}
		out := policy.New(s).Guards(platform.Clusters["staging"].GuardedCluster, platform.Clusters["staging"].Namespaces, families)
		for _, g := range out {
			Expect(guarded.Publish(ctx, operator, g)).To(Succeed())
		}
		proved(ctx, out)
		return out
	}

	It("that is stricter takes the place of the others", func(ctx SpecContext) {
		with(ctx, skottv1.ActionAudit, skottv1.ActionWarn, skottv1.ActionDeny)
		err := user.Create(ctx, namesHost("strictest", "db.prod.example"), client.DryRunAll)
		Expect(err).To(MatchError(ContainSubstring(`crosses DataBoundary "boundary-deny"`)))
		Expect(warned.take()).To(BeEmpty())
		Expect(auditAnnotations("strictest")).To(HaveExactElements(ContainSubstring("boundary-deny")))
	})

	It("Warn warns the client", func(ctx SpecContext) {
		with(ctx, skottv1.ActionWarn, skottv1.ActionAudit)
		Eventually(func() []string {
			Expect(user.Create(ctx, namesHost("warned", "db.prod.example"), client.DryRunAll)).To(Succeed())
			return warned.take()
		}).WithTimeout(10 * time.Second).Should(HaveExactElements(And(ContainSubstring("SKOTT-D101"), ContainSubstring("boundary-warn"))))
		Expect(user.Create(ctx, namesHost("warned", "db.staging.example"), client.DryRunAll)).To(Succeed())
		Expect(warned.take()).To(BeEmpty())
	})

	It("Audit leaves an annotation in the audit log", func(ctx SpecContext) {
		with(ctx, skottv1.ActionAudit)
		// The Guard of Warn is no longer published; the operator would remove it.
		g := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "skott.dev/v1alpha1", "kind": "Guard", "metadata": map[string]any{"name": "skott-warn"}}}
		Expect(operator.Delete(ctx, g)).To(Succeed())
		n := 0
		Eventually(func() []string {
			n++
			name := fmt.Sprintf("audited-%d", n)
			Expect(client.IgnoreNotFound(user.Create(ctx, namesHost(name, "db.prod.example"), client.DryRunAll))).To(Succeed())
			return auditAnnotations(name)
		}).WithTimeout(10 * time.Second).Should(HaveExactElements(And(ContainSubstring("SKOTT-D101"), ContainSubstring("boundary-audit"))))
		warned.take()
	})
})

var _ = Describe("what only Evaluate sees", func() {
	It("is beyond a bound of the policies, each with its reason", func(ctx SpecContext) {
		guards := publish(ctx, "staging")
		proved(ctx, guards)
		beyond, err := corpus.OnlyEvaluate()
		Expect(err).NotTo(HaveOccurred())
		Expect(beyond).NotTo(BeEmpty())
		var wrong []string
		for _, c := range beyond {
			wrong = append(wrong, judge(ctx, guards[0], c)...)
		}
		expectNone(wrong)
	})
})

var _ = Describe("other spellings of an address", func() {
	It("are refused as the first one is", func(ctx SpecContext) {
		all := witnesses()
		slices.SortStableFunc(all, func(a, b witness) int { return strings.Compare(a.c.Cluster, b.c.Cluster) })
		cluster, n := "", 0
		var wrong []string
		for _, w := range all {
			if w.c.Cluster != cluster {
				cluster = w.c.Cluster
				proved(ctx, publish(ctx, cluster))
			}
			for name, spell := range spellings(w.field) {
				c, _ := w.with(w.path(), func(v any) any {
					if s, ok := v.(string); ok {
						return spell(s)
					}
					return v
				})
				n++
				wrong = append(wrong, w.stillRefused(ctx, c, name)...)
			}
		}
		AddReportEntry(fmt.Sprintf("%d spellings", n))
		expectNone(wrong)
	}, SpecTimeout(5*time.Minute))
})

// stillRefused compares all readers on a crossing object; what the API server refuses for
// reasons of its own is judged without it.
func (w witness) stillRefused(ctx context.Context, c *corpus.Case, name string) []string {
	at := fmt.Sprintf("%s %s, %s: ", w.kind.Kind, w.field.Path, name)
	wrong := w.compare(c, name)
	q := requestOf(w.c)
	q.Object = c.Object
	d := guardOf(c.Cluster).evaluator.Evaluate(q)
	if d.Allowed {
		raw, _ := json.Marshal(c.Object)
		return append(wrong, at+"Evaluate allows it: "+short(string(raw)))
	}
	copied := *c
	copied.Object = runtime.DeepCopyJSON(c.Object)
	denial, err := send(ctx, &copied)
	switch {
	case err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"):
		wrong = append(wrong, at+short(err.Error()))
	case err == nil && !sameWords(denial, d.Message):
		wrong = append(wrong, at+"\n  API server: "+short(denial)+"\n  Evaluate:   "+short(d.Message))
	}
	return wrong
}
