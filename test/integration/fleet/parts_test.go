// SPDX-License-Identifier: Apache-2.0

package fleet_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
)

var _ = Describe("A fleet with Guards in parts", func() {
	It("holds an address at every moment while it moves from one Guard to another", func(ctx SpecContext) {
		publishParts := func(f *fleet.Fleet, revision string, first, second []string) {
			f.Publish(func(c fleet.Cluster) (fleet.Desired, bool) {
				d := fleet.Desired{
					Revision: revision, Policies: []*admissionv1.ValidatingAdmissionPolicy{policy()}, Bindings: []*admissionv1.ValidatingAdmissionPolicyBinding{binding()},
				}
				for i, addresses := range [][]string{first, second} {
					g := guardFor(c, fmt.Sprintf("%d-%s", i, strings.Join(addresses, "-")))
					if i > 0 {
						g.Name = fmt.Sprintf("skott-%d", i)
					}
					for _, a := range addresses {
						g.Spec.Addresses[a] = "production"
					}
					d.Guards = append(d.Guards, g)
					d.Canaries = append(d.Canaries, fleet.Canary{Family: "config", Guard: g.Name, Object: configMap(g.Spec.Revision), Want: g.Spec.Revision})
				}
				return d, true
			})
		}
		f, _ := start()
		publishParts(f, "r1", []string{"a", "x"}, []string{"b"})
		engage(f, "mc", bravo.Config())
		enforced(f, "r1", 30*time.Second)

		watching, err := client.NewWithWatch(bravo.Config(), client.Options{})
		Expect(err).NotTo(HaveOccurred())
		list := listOf("skott.dev/v1alpha1", "Guard")
		Expect(watching.List(ctx, list)).To(Succeed())
		guards, err := watching.Watch(ctx, listOf("skott.dev/v1alpha1", "Guard"), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
		Expect(err).NotTo(HaveOccurred())
		defer guards.Stop()
		held := map[string]map[string]any{}
		for _, g := range list.Items {
			held[g.GetName()], _, _ = unstructured.NestedMap(g.Object, "spec", "addresses")
		}
		// until follows the writes up to one that makes the Guards these, and says how many there were.
		until := func(names ...string) (writes int) {
			GinkgoHelper()
			for {
				event, ok := <-guards.ResultChan()
				Expect(ok).To(BeTrue(), "the watch ended")
				g, _ := event.Object.(*unstructured.Unstructured)
				if event.Type == watch.Deleted {
					delete(held, g.GetName())
				} else {
					held[g.GetName()], _, _ = unstructured.NestedMap(g.Object, "spec", "addresses")
				}
				writes++
				for _, address := range []string{"a", "b"} {
					Expect(slices.Collect(maps.Values(held))).To(ContainElement(HaveKey(address)), "%s %s", event.Type, g.GetName())
				}
				var all []string
				for name, addresses := range held {
					for address := range addresses {
						all = append(all, name+" "+address)
					}
				}
				if slices.Sort(all); slices.Equal(all, names) {
					return writes
				}
			}
		}
		By("adding one, which changes one Guard and needs nothing else")
		publishParts(f, "r2", []string{"a", "x"}, []string{"b", "c"})
		enforced(f, "r2", 15*time.Second)
		Expect(until("skott a", "skott x", "skott-1 b", "skott-1 c")).To(Equal(1))

		By("moving one")
		publishParts(f, "r3", []string{"x"}, []string{"a", "b"})
		enforced(f, "r3", 15*time.Second)
		Expect(until("skott x", "skott-1 a", "skott-1 b")).To(Equal(4))

		By("exchanging two")
		publishParts(f, "r4", []string{"b"}, []string{"a", "y"})
		enforced(f, "r4", 15*time.Second)
		until("skott b", "skott-1 a", "skott-1 y")
		publishParts(f, "r5", []string{"a"}, []string{"b"})
		enforced(f, "r5", 15*time.Second)
		until("skott a", "skott-1 b")

		By("exchanging them while nobody guards")
		f.Close()
		f, o := start()
		publishParts(f, "r6", []string{"b"}, []string{"a"})
		engage(f, "mc", bravo.Config())
		enforced(f, "r6", 15*time.Second)
		until("skott b", "skott-1 a")

		By("starting again, which writes nothing that is there")
		before := list.DeepCopy()
		Expect(watching.List(ctx, before)).To(Succeed())
		f.Close()
		f, _ = start()
		publishParts(f, "r6", []string{"b"}, []string{"a"})
		engage(f, "mc", bravo.Config())
		enforced(f, "r6", 15*time.Second)
		after := list.DeepCopy()
		Expect(watching.List(ctx, after)).To(Succeed())
		Expect(after.Items).To(Equal(before.Items))
		Expect(o.restorations()).To(BeEmpty())

		By("starting again after somebody else has written, which puts it back")
		f.Close()
		changed := after.Items[0].DeepCopy()
		Expect(unstructured.SetNestedField(changed.Object, "staging", "spec", "addresses", "b")).To(Succeed())
		Expect(bravo.Client().Update(ctx, changed, client.FieldOwner("somebody"))).To(Succeed())
		f, _ = start()
		publishParts(f, "r6", []string{"b"}, []string{"a"})
		engage(f, "mc", bravo.Config())
		enforced(f, "r6", 15*time.Second)
		Expect(bravo.Client().Get(ctx, client.ObjectKeyFromObject(changed), changed)).To(Succeed())
		holder, _, _ := unstructured.NestedString(changed.Object, "spec", "addresses", "b")
		Expect(holder).To(Equal("production"))

		By("starting again after somebody has written in the name of Skott, which is noticed later")
		f.Close()
		Expect(unstructured.SetNestedField(changed.Object, "staging", "spec", "addresses", "b")).To(Succeed())
		Expect(bravo.Client().Update(ctx, changed, client.FieldOwner(skottv1.FieldOwner))).To(Succeed())
		f, _ = start(func(o *fleet.Options) { o.CanaryInterval = time.Second })
		publishParts(f, "r6", []string{"b"}, []string{"a"})
		engage(f, "mc", bravo.Config())
		enforced(f, "r6", 15*time.Second)
		Eventually(func(g Gomega) {
			g.Expect(bravo.Client().Get(ctx, client.ObjectKeyFromObject(changed), changed)).To(Succeed())
			holder, _, _ := unstructured.NestedString(changed.Object, "spec", "addresses", "b")
			g.Expect(holder).To(Equal("production"))
		}).WithTimeout(20 * time.Second).Should(Succeed())
		f.Close()
	}, SpecTimeout(3*time.Minute))
})
