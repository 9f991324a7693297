// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

var admissionKinds = []string{"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"}

// owned are the admission objects of Skott in a cluster, by kind.
func owned(ctx context.Context, s *testenv.Server, kind string) []unstructured.Unstructured {
	GinkgoHelper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind(kind + "List"))
	Expect(s.Client().List(ctx, list, client.MatchingLabels{skottv1.LabelManagedBy: skottv1.FieldOwner})).To(Succeed())
	return list.Items
}

func policiesDeleted(ctx context.Context) {
	before := map[string]int{}
	requests.opened(staging)
	for _, kind := range admissionKinds {
		objects := owned(ctx, staging, kind)
		Expect(objects).NotTo(BeEmpty())
		before[kind] = len(objects)
		for i := range objects {
			Expect(client.IgnoreNotFound(staging.Client().Delete(ctx, &objects[i]))).To(Succeed())
		}
	}
	requests.healed()
	says(ctx, skottv1.ConditionGuarded, "staging", "False/")
	Eventually(func(g Gomega) {
		for kind, n := range before {
			g.Expect(owned(ctx, staging, kind)).To(HaveLen(n))
		}
	}).WithContext(ctx).WithTimeout(gapBound).Should(Succeed())
	closed(ctx, staging)
}

// closed waits until a cluster refuses every crossing of the load: an API server notices a policy that is back within a second
// or so, and one after the other.
func closed(ctx context.Context, s *testenv.Server) {
	GinkgoHelper()
	for _, r := range mix()[s] {
		if r.crossing {
			Eventually(func() bool { return deniedBySkott(r.send(ctx, s.Client())) }).WithContext(ctx).
				WithTimeout(gapBound).WithPolling(100*time.Millisecond).Should(BeTrue(), r.name)
		}
	}
}

func pinnedKept(ctx context.Context) {
	for _, kind := range admissionKinds {
		objects := owned(ctx, shop, kind)
		Expect(objects).NotTo(BeEmpty())
		for _, o := range objects {
			Expect(shop.Client().Delete(ctx, &o)).To(MatchError(ContainSubstring("pinned by a manifest")), o.GetName())
			Expect(shop.Client().Patch(ctx, &o, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"by":"hand"}}}`)))).
				To(MatchError(ContainSubstring("pinned by a manifest")), o.GetName())
		}
	}
}

// backupRestored writes what an old backup holds over the guard: the Guard without addresses, refused, and bindings
// that only audit, which nothing refuses where they are not pinned.
func backupRestored(ctx context.Context) {
	for _, s := range []*testenv.Server{staging, shop} {
		g := testenv.Parse("{apiVersion: skott.dev/v1alpha1, kind: Guard, metadata: {name: skott}}")
		Expect(s.Client().Get(ctx, client.ObjectKeyFromObject(g), g)).To(Succeed())
		Expect(unstructured.SetNestedMap(g.Object, map[string]any{}, "spec", "addresses")).To(Succeed())
		Expect(unstructured.SetNestedField(g.Object, "0123456789ab", "spec", "revision")).To(Succeed())
		patch, err := json.Marshal(map[string]any{"spec": g.Object["spec"]})
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Client().Update(ctx, g.DeepCopy())).To(MatchError(ContainSubstring("SKOTT-")))
		Expect(s.Client().Patch(ctx, g.DeepCopy(), client.RawPatch("application/merge-patch+json", patch))).To(MatchError(ContainSubstring("SKOTT-")))
		Expect(s.Client().Delete(ctx, g.DeepCopy())).To(MatchError(ContainSubstring("SKOTT-")))
		g.SetResourceVersion("")
		Expect(apierrors.IsAlreadyExists(s.Client().Create(ctx, g)) || deniedBySkott(s.Client().Create(ctx, g))).To(BeTrue())
	}
	requests.opened(staging)
	audits := []byte(`{"spec":{"validationActions":["Audit"]}}`)
	for _, o := range owned(ctx, staging, admissionKinds[0]) {
		Expect(staging.Client().Patch(ctx, &o, client.RawPatch("application/merge-patch+json", audits))).To(Succeed())
	}
	for _, o := range owned(ctx, shop, admissionKinds[0]) {
		Expect(shop.Client().Patch(ctx, &o, client.RawPatch("application/merge-patch+json", audits))).To(MatchError(ContainSubstring("pinned by a manifest")))
	}
	requests.healed()
	Eventually(func(g Gomega) {
		for _, o := range owned(ctx, staging, admissionKinds[0]) {
			actions, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "validationActions")
			g.Expect(actions).To(ContainElement("Deny"), o.GetName())
		}
	}).WithContext(ctx).WithTimeout(gapBound).Should(Succeed())
	closed(ctx, staging)
}

// boundaryDeleted deletes the boundary beside which an equal one stands, so that what the load sends stays forbidden,
// and looks that the first one acts until its grace is over.
func boundaryDeleted(ctx context.Context) {
	writes(ctx, `
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: second}
spec: {action: Deny}
`)
	second := &skottv1.DataBoundary{}
	second.Name = "second"
	Eventually(func() string { return condition(ctx, second, skottv1.ConditionEnforced) }).WithContext(ctx).WithTimeout(40 * time.Second).Should(HavePrefix("True/"))
	Expect(hub.Delete(ctx, dataBoundary())).To(Succeed())
	Eventually(func() string { return condition(ctx, dataBoundary(), skottv1.ConditionPublished) }).WithContext(ctx).WithTimeout(10 * time.Second).
		Should(HavePrefix("False/" + skottv1.ReasonBeingRemoved))
	Eventually(func() bool {
		return apierrors.IsNotFound(hub.Get(ctx, client.ObjectKey{Name: "customer-data"}, dataBoundary()))
	}).WithContext(ctx).WithTimeout(60 * time.Second).Should(BeTrue())
	writes(ctx, boundary)
	settled(ctx)
	remove(ctx, second)
}

// upgraded replaces a running version by another one: one built from the same source whose policies differ in a word
// of every refusal, so that each of them has to be replaced in each cluster.
func upgraded(ctx context.Context) {
	policies := func() map[string]int64 {
		out := map[string]int64{}
		for _, o := range owned(ctx, shop, admissionKinds[1]) {
			out[o.GetName()+" "+string(o.GetUID())] = o.GetGeneration()
		}
		return out
	}
	before := policies()
	var err error
	binary, err = otherVersion(ctx) // the faults that follow are done to it
	Expect(err).NotTo(HaveOccurred())
	requests.healed()
	single(ctx, operator)
	Eventually(func(g Gomega) {
		now := policies()
		for name, generation := range before {
			g.Expect(now).To(HaveKeyWithValue(name, BeNumerically(">", generation)), "replaced in place: "+name)
		}
	}).WithContext(ctx).WithTimeout(gapBound).Should(Succeed())
}
