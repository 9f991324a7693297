// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// kills is how often the operator is killed in each of the two stories about that.
const kills = 8

// killAtRandom runs the operator and kills it after a time in which it may be anywhere in what follows a start.
func killAtRandom(ctx context.Context, random *rand.Rand, longest time.Duration) {
	GinkgoHelper()
	startOperator(ctx)
	time.Sleep(time.Duration(random.Int64N(int64(longest))))
	Expect(operator.Stop()).To(Succeed())
}

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), kills)) }

// crossing is the load of requests that must be refused.
type crossing struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	guarded  time.Time // when the Cluster was first said to be guarded
	refused  int       // since then
	admitted []string  // since then
}

// startCrossing sends crossing requests to the shop, which is of staging, until it is stopped.
func startCrossing(ctx context.Context) *crossing {
	l := &crossing{}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.done.Go(func() {
		for ctx.Err() == nil {
			if labelsOf(ctx, staging, "platform", "shop")[skottv1.LabelGuarded] == "true" {
				l.mu.Lock()
				l.guarded = time.Now()
				l.mu.Unlock()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	l.done.Go(func() {
		object := testenv.Parse(service("orders.db.prod.example"))
		for n := 0; ctx.Err() == nil; n++ {
			sent := time.Now()
			err := shop.Client().Create(ctx, object.DeepCopy(), client.DryRunAll)
			if ctx.Err() != nil {
				return
			}
			l.record(sent, err)
			time.Sleep(15 * time.Millisecond)
		}
	})
	return l
}

func (l *crossing) record(sent time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.guarded.IsZero() || sent.Before(l.guarded):
	case err != nil && strings.Contains(err.Error(), "denied request"):
		l.refused++
	default:
		l.admitted = append(l.admitted, fmt.Sprintf("%s: %v", sent.Format(time.StampMilli), err))
	}
}

// stop ends the load and returns how many requests were refused, and the others.
func (l *crossing) stop() (int, []string) {
	l.cancel()
	l.done.Wait()
	return l.refused, l.admitted
}

// shrinking watches the Guards of the platform for what was in one and is not any more.
type shrinking struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu   sync.Mutex
	lost []string
	seen int
}

func watchGuards(ctx context.Context, servers ...*testenv.Server) *shrinking {
	w := &shrinking{}
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, s := range servers {
		w.done.Go(func() {
			before := map[string]bool{}
			for ctx.Err() == nil {
				g, err := guardOf(ctx, s)
				if ctx.Err() != nil {
					return
				}
				now := map[string]bool{}
				if err == nil {
					now = says(g)
				}
				w.compare(s.Name(), before, now)
				maps.Copy(before, now)
				time.Sleep(30 * time.Millisecond)
			}
		})
	}
	return w
}

// says is every fact of a Guard, except the address that proves its revision.
func says(g *skottv1.Guard) map[string]bool {
	out := map[string]bool{}
	for a, place := range g.Spec.Addresses {
		if place != skottv1.PlaceCanary {
			out[a+" of "+place] = true
		}
	}
	for from, to := range g.Spec.Crossings {
		for place := range to {
			out[from+" to "+place] = true
		}
	}
	return out
}

func (w *shrinking) compare(cluster string, before, now map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen++
	for fact := range before {
		if !now[fact] {
			w.lost = append(w.lost, cluster+": "+fact)
		}
	}
}

func (w *shrinking) stop() []string {
	w.cancel()
	w.done.Wait()
	slices.Sort(w.lost)
	return slices.Compact(w.lost)
}

func diesWhilePublishing(ctx SpecContext) {
	declare(ctx)
	load, guards := startCrossing(ctx), watchGuards(ctx, production, staging, shop)
	random := newRandom()
	for n := range kills {
		// An API server takes from a second to ten to accept the policies, so some have to live long.
		killAtRandom(ctx, random, time.Duration(n+1)*time.Second)
	}
	startOperator(ctx)
	began := time.Now()
	settled(ctx)
	AddReportEntry("settled after the last start in", time.Since(began).String())

	Expect(try(ctx, shop, service("orders.db.prod.example"))).To(refuses("D101", `Environment "production"`, `Environment "staging"`))
	Expect(try(ctx, shop, bucket("default", "prod-backups"))).To(refuses("D102", "customer-data"))
	Expect(try(ctx, production, bucket("default", "prod-backups"))).To(Succeed())
	time.Sleep(time.Second) // some more requests, so that there are some in any case
	refused, admitted := load.stop()
	AddReportEntry("crossing requests refused since the cluster was first guarded", refused)
	Expect(admitted).To(BeEmpty())
	Expect(refused).NotTo(BeZero())
	Expect(guards.stop()).To(BeEmpty())
}

func diesWhileChanging(ctx SpecContext) {
	load, guards := startCrossing(ctx), watchGuards(ctx, production, staging, shop)
	Expect(operator.Stop()).To(Succeed())
	random := newRandom()
	var added []client.Object
	for n := range kills {
		name := fmt.Sprintf("changed-%d", n)
		Expect(ops.ApplyYAML(ctx, []byte(location(name, "production", "Bucket", "https://s3.sto2.example/"+name)))).To(Succeed())
		added = append(added, suite.DataLocation(name))
		killAtRandom(ctx, random, 2*time.Second)
	}
	startOperator(ctx)
	for n := range kills {
		eventually(ctx, shop, bucket("default", fmt.Sprintf("changed-%d", n)), refuses("D102"))
	}
	settled(ctx)
	refused, admitted := load.stop()
	AddReportEntry("crossing requests refused meanwhile", refused)
	Expect(admitted).To(BeEmpty())
	Expect(refused).NotTo(BeZero())
	Expect(guards.seen).NotTo(BeZero())
	Expect(guards.stop()).To(BeEmpty())
	remove(ctx, added...)
}

// works tells whether a replica follows the fleet: one that waits knows of no cluster.
func works(o *testenv.Operator) bool {
	return strings.Contains(metricsOf(o), "skott_clusters{")
}

// metricsOf is what a replica serves to Prometheus.
func metricsOf(o *testenv.Operator) string {
	if o == nil {
		return ""
	}
	return o.Metrics()
}

func hasAStandby(ctx SpecContext) {
	Expect(operator.Stop()).To(Succeed())
	replicas := map[string]*testenv.Operator{}
	for _, name := range []string{"replica-a", "replica-b"} {
		o, err := env.StartOperator(ctx, name, operatorKubeconfig, append(operatorFlags, "--leader-elect")...)
		Expect(err).NotTo(HaveOccurred())
		replicas[name] = o
	}
	lease := &coordinationv1.Lease{}
	holder := func() string {
		if err := hub.Get(ctx, client.ObjectKey{Namespace: system, Name: "skott.dev"}, lease); err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	working := func() []string {
		var out []string
		for name, o := range replicas {
			if works(o) {
				out = append(out, name)
			}
		}
		return out
	}
	Eventually(working).WithTimeout(30 * time.Second).Should(HaveLen(1))
	settled(ctx)
	Consistently(working).WithTimeout(2 * time.Second).Should(HaveLen(1))
	leader, first := working()[0], holder()

	By("killing the one that leads")
	Expect(replicas[leader].Stop()).To(Succeed())
	began := time.Now()
	Expect(try(ctx, shop, service("orders.db.prod.example"))).To(refuses("D101"))
	Expect(ops.ApplyYAML(ctx, []byte(location("after-failover", "production", "Bucket", "https://s3.sto2.example/failover")))).To(Succeed())
	Eventually(holder).WithTimeout(40 * time.Second).ShouldNot(Or(BeEmpty(), Equal(first)))
	AddReportEntry("the other one took over after", time.Since(began).String())
	eventually(ctx, shop, bucket("default", "failover"), refuses("D102"))
	settled(ctx)
	Expect(working()).NotTo(ContainElement(leader))

	By("starting the first one again, which waits")
	Expect(replicas[leader].Start(ctx)).To(Succeed())
	Consistently(working).WithTimeout(2 * time.Second).ShouldNot(ContainElement(leader))
	for _, o := range replicas {
		Expect(o.Stop()).To(Succeed())
	}
	startOperator(ctx)
	remove(ctx, suite.DataLocation("after-failover"))
}
