// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/scale/simulator"
	"github.com/skott-dev/skott/test/testenv"
)

// unguarded is what the hub says of what is not guarded.
func (p *platform) unguarded(ctx context.Context) string {
	list := &skottv1.ManagementClusterList{}
	if err := p.hub.List(ctx, list); err != nil {
		return err.Error()
	}
	var out []string
	for i := range list.Items {
		if c := meta.FindStatusCondition(list.Items[i].Status.Conditions, skottv1.ConditionGuarded); c != nil && c.Status != metav1.ConditionTrue {
			out = append(out, c.Message)
		}
	}
	events := &unstructured.UnstructuredList{}
	events.SetAPIVersion("events.k8s.io/v1")
	events.SetKind("EventList")
	if err := p.ops.Client().List(ctx, events); err == nil {
		for _, e := range events.Items {
			note, _, _ := unstructured.NestedString(e.Object, "note")
			out = append(out, note)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), "; ")
}

// tail is the end of a file.
func tail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-1500):])
}

// look is the pause between two looks at the clusters.
const look = 20 * time.Millisecond

// measure prints one table of numbers.
func measure(ctx context.Context, s settings) error {
	p, err := start(ctx, s)
	if p != nil {
		defer p.close()
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d Workload Clusters and %d Management Clusters are SIMULATED, %d Workload Clusters and the hub are real API servers; %d addresses\n\n| what | value |\n|---|---|\n",
		s.clusters, s.managements, s.real, s.addresses)
	began := time.Now()
	operator, err := p.operator(ctx, "operator")
	if err != nil {
		return err
	}
	if err := p.allGuarded(ctx, operator); err != nil {
		return fmt.Errorf("%w; %s; the operator says: %s", err, p.unguarded(ctx), tail(operator.LogFile()))
	}
	row("all guarded and proved after a start of the operator", "%s", time.Since(began).Round(100*time.Millisecond))
	u, err := usageOf(operator.PID())
	if err != nil {
		return err
	}
	row("CPU for that", "%s", u.cpu.Round(100*time.Millisecond))
	row("RSS", "%d MiB", u.rss>>20)
	if err := p.firstScans(ctx, operator); err != nil {
		return err
	}
	if err := p.rest(ctx, operator); err != nil {
		return err
	}
	if err := p.newCluster(ctx); err != nil {
		return err
	}
	if err := p.additions(ctx, "", operator); err != nil {
		return err
	}
	if err := p.underChurn(ctx, operator); err != nil {
		return err
	}
	return p.inTrouble(ctx, operator)
}

func row(what, format string, values ...any) {
	fmt.Printf("| %s | %s |\n", what, fmt.Sprintf(format, values...))
}

// allGuarded waits until the operator says of every cluster that it is proved.
func (p *platform) allGuarded(ctx context.Context, operator *testenv.Operator) error {
	ends, said := time.Now().Add(p.patience), time.Now()
	for {
		missing := 0
		for _, w := range p.workloads {
			if w.management.Label("clusters", "platform", w.Name, skottv1.LabelGuarded) != "true" {
				missing++
			}
		}
		for _, server := range p.reals {
			if p.managements[0].Label("clusters", "platform", server.Name(), skottv1.LabelGuarded) != "true" {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Now().After(ends) {
			return fmt.Errorf("%d clusters are not guarded after %s", missing, p.patience)
		}
		if time.Since(said) > 20*time.Second {
			said = time.Now()
			if u, err := usageOf(operator.PID()); err == nil {
				fmt.Printf("<!-- %d are missing, RSS %d MiB, CPU %s -->\n", missing, u.rss>>20, u.cpu)
			}
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// watched is what the operator has used before and after some time.
func watched(ctx context.Context, operator *testenv.Operator, d time.Duration) (from, to usage, err error) {
	if from, err = usageOf(operator.PID()); err != nil {
		return from, to, err
	}
	if err = pause(ctx, d); err != nil {
		return from, to, err
	}
	to, err = usageOf(operator.PID())
	return from, to, err
}

// firstScans lets every cluster be scanned and surveyed for the first time.
func (p *platform) firstScans(ctx context.Context, operator *testenv.Operator) error {
	from, to, err := watched(ctx, operator, p.settle)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("CPU in the %s after that, in which all is scanned for the first time", p.settle), "%.1f %% of a core", share(from, to))
	return nil
}

// rest watches the steady state.
func (p *platform) rest(ctx context.Context, operator *testenv.Operator) error {
	p.requests()
	from, to, err := watched(ctx, operator, p.steady)
	if err != nil {
		return err
	}
	perMinute := func(n int) float64 {
		return float64(n) / float64(len(p.workloads)) / to.at.Sub(from.at).Minutes()
	}
	all, total := p.requests(), 0
	for _, n := range all {
		total += n
	}
	row("CPU at rest", "%.1f %% of a core", share(from, to))
	row("RSS at rest", "%d MiB", to.rss>>20)
	row("requests per cluster and minute at rest", "%.1f", perMinute(total))
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[b] - all[a] })
	for _, name := range names[:min(8, len(names))] {
		row("… "+name, "%.2f", perMinute(all[name]))
	}
	return nil
}

// requests since the last call, over all Workload Clusters.
func (p *platform) requests() map[string]int {
	all := map[string]int{}
	for _, w := range p.workloads {
		requests, _ := w.Requests()
		for what, n := range requests {
			all[what] += n
		}
	}
	return all
}

// newCluster times the way of a new cluster to its first proof.
func (p *platform) newCluster(ctx context.Context) error {
	var took []time.Duration
	for range min(5, p.changes) {
		began := time.Now()
		w, err := p.workload(len(p.workloads))
		if err != nil {
			return err
		}
		for w.management.Label("clusters", "platform", w.Name, skottv1.LabelGuarded) != "true" {
			if time.Since(began) > p.patience {
				return fmt.Errorf("new cluster %q is not guarded after %s", w.Name, p.patience)
			}
			if err := pause(ctx, look); err != nil {
				return err
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	row("first full guard of a new cluster, median and worst", "%s, %s", short(took[len(took)/2]), short(took[len(took)-1]))
	return nil
}

func short(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// additions times new addresses, one after the other.
func (p *platform) additions(ctx context.Context, where string, operator *testenv.Operator, without ...*workload) error {
	staging := slices.DeleteFunc(slices.Clone(p.workloads), func(w *workload) bool { return w.production || slices.Contains(without, w) })
	var simulated, actual, everywhere []time.Duration
	var bytes int64
	from, err := usageOf(operator.PID())
	if err != nil {
		return err
	}
	for i := range p.changes {
		if err := pause(ctx, p.between); err != nil {
			return err
		}
		a := p.addition(fmt.Sprintf("new-%d-%d.prod.example", len(where), i), staging)
		if err := a.run(ctx); err != nil {
			return err
		}
		simulated, actual, bytes = append(simulated, a.simulated...), append(actual, a.real...), bytes+a.bytes
		everywhere = append(everywhere, slices.Max(slices.Concat(a.simulated, a.real)))
	}
	to, err := usageOf(operator.PID())
	if err != nil {
		return err
	}
	slices.Sort(simulated)
	slices.Sort(actual)
	slices.Sort(everywhere)
	row("a new address is refused"+where+", p50, p99, worst", "%s, %s, %s", short(at(simulated, 0.5)), short(at(simulated, 0.99)), short(at(simulated, 1)))
	row("… everywhere"+where+", median and worst change", "%s, %s", short(at(everywhere, 0.5)), short(at(everywhere, 1)))
	if len(actual) > 0 {
		row("… in real API servers"+where+", p50, worst", "%s, %s", short(at(actual, 0.5)), short(at(actual, 1)))
	}
	row(fmt.Sprintf("CPU of the operator for one change%s and the %s before it", where, p.between), "%s", ((to.cpu - from.cpu) / time.Duration(p.changes)).Round(10*time.Millisecond))
	row("bytes of Guards sent for one change and cluster"+where, "%d", bytes/int64(p.changes)/int64(len(staging)))
	return nil
}

func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// addition is one new address on its way.
type addition struct {
	*platform
	host    string
	staging []*workload
	before  []simulator.Guards

	simulated, real []time.Duration
	bytes           int64
}

func (p *platform) addition(host string, staging []*workload) *addition {
	a := &addition{platform: p, host: host, staging: staging}
	for _, w := range staging {
		a.before = append(a.before, w.Guards())
		w.Writes()
	}
	return a
}

// run declares the address, and waits until everybody holds it.
func (a *addition) run(ctx context.Context) error {
	var group sync.WaitGroup
	began := time.Now()
	if err := a.hub.Create(ctx, location(strings.ReplaceAll(a.host, ".", "-"), skottv1.Address{Type: "Host", Value: a.host})); err != nil {
		return err
	}
	a.real = make([]time.Duration, len(a.reals))
	for i, server := range a.reals {
		group.Go(func() { a.real[i] = a.refusedBy(ctx, server, began) })
	}
	first := make([]*simulator.Write, len(a.staging))
	held := make([]simulator.Guards, len(a.staging))
	copy(held, a.before)
	for missing := len(a.staging); missing > 0; {
		for i, w := range a.staging {
			if first[i] != nil {
				continue
			}
			for _, write := range w.Writes() {
				a.bytes += int64(write.Bytes)
				held[i] = held[i].After(write)
				if first[i] == nil && write.Mentions(a.host) {
					first[i], a.before[i] = &write, held[i]
					missing--
				}
			}
		}
		if time.Since(began) > a.patience {
			return fmt.Errorf("%d clusters do not hold %q after %s", missing, a.host, a.patience)
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
	group.Wait()
	for _, write := range first {
		a.simulated = append(a.simulated, write.At.Sub(began))
	}
	return a.decide()
}

// decide asks the product's Evaluator, after the fact, whether what was held by then refuses
// the address. Some clusters stand for all: they hold the same bytes.
func (a *addition) decide() error {
	for range min(5, len(a.staging)) {
		i := rand.IntN(len(a.staging))
		refused, err := a.before[i].Refuses(a.host)
		if err != nil || !refused {
			return fmt.Errorf("cluster %q holds %q and does not refuse it: %w", a.staging[i].Name, a.host, err)
		}
	}
	return nil
}

// refusedBy asks a real API server until it refuses.
func (a *addition) refusedBy(ctx context.Context, server *testenv.Server, began time.Time) time.Duration {
	for {
		probe := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": "probe", "namespace": "default"}, "spec": map[string]any{"type": "ExternalName", "externalName": a.host}}}
		err := server.Client().Create(ctx, probe, client.DryRunAll)
		if took := time.Since(began); err != nil && strings.Contains(err.Error(), "SKOTT-D") || took > a.patience || ctx.Err() != nil {
			return took
		}
		if pause(ctx, look) != nil {
			return a.patience
		}
	}
}

// underChurn replaces addresses all the time, and times some more meanwhile.
func (p *platform) underChurn(ctx context.Context, operator *testenv.Operator) error {
	perMinute := p.churn * float64(p.addresses)
	if perMinute < 1 || p.steady == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	var churning sync.WaitGroup
	churning.Go(func() { p.churnUntil(ctx, time.Duration(float64(time.Minute)/perMinute)) })
	defer churning.Wait()
	defer stop()
	from, err := usageOf(operator.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := p.additions(ctx, " under churn", operator); err != nil {
		return err
	}
	if err := pause(ctx, p.steady-time.Since(began)); err != nil {
		return err
	}
	to, err := usageOf(operator.PID())
	if err != nil {
		return err
	}
	row("CPU under churn", "%.0f %% of a core", share(from, to))
	row("RSS under churn", "%d MiB", to.rss>>20)
	return nil
}

// churnUntil adds an address and removes the one before, again and again.
func (p *platform) churnUntil(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var last *skottv1.DataLocation
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if last != nil {
			_ = p.hub.Delete(ctx, last) // churn is not what is measured
		}
		last = location(fmt.Sprintf("churn-%d", i), skottv1.Address{Type: "Host", Value: fmt.Sprintf("churn-%d.prod.example", i)})
		_ = p.hub.Create(ctx, last)
	}
}

// inTrouble measures once more while some clusters are slow and others do not answer.
func (p *platform) inTrouble(ctx context.Context, operator *testenv.Operator) error {
	var troubled []*workload
	for i, w := range p.workloads {
		switch n := float64(i) / float64(len(p.workloads)); {
		case n < p.slow:
			w.Slow(3 * time.Second)
		case n < p.slow+p.unreachable:
			w.Down(true)
		default:
			continue
		}
		troubled = append(troubled, w)
	}
	if len(troubled) == 0 {
		return nil
	}
	where := fmt.Sprintf(" elsewhere, while %d clusters are slow or do not answer", len(troubled))
	return p.additions(ctx, where, operator, troubled...)
}
