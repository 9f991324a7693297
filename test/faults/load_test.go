// SPDX-License-Identifier: Apache-2.0

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/skott-dev/skott/test/testenv"
)

const (
	minimum = 20000
	// workers per cluster, and the time between two requests of each.
	workers = 2
	pace    = 80 * time.Millisecond
	// gapBound is how long crossings may be admitted after an administrator took a policy away or changed it: the API
	// server looks for changes once a second, and takes about a second of a CPU to accept each of some ten policies.
	gapBound = 90 * time.Second
	// startBound is how long an API server that has just started may refuse what it cannot decide yet: it looks for the
	// kind of its parameters every 30 seconds.
	startBound = 50 * time.Second
)

// request is one that is sent again and again.
type request struct {
	name     string
	crossing bool
	object   *unstructured.Unstructured
	remove   bool // instead of creating it
}

func crossing(name, text string) request {
	return request{name: name, crossing: true, object: testenv.Parse(text)}
}

func permitted(name, text string) request { return request{name: name, object: testenv.Parse(text)} }

// mix is what is sent to each cluster. All are dry runs, which admission judges like any other, so that the data of
// etcd does not grow with the load.
func mix() map[*testenv.Server][]request {
	theft := crossing("delete of the Guard", "{apiVersion: skott.dev/v1alpha1, kind: Guard, metadata: {name: skott}}")
	theft.remove = true
	common := []request{
		permitted("Service", service("db.elsewhere.example")), permitted("ConfigMap", configMap("nothing to see")),
		permitted("Pod", pod("registry.example/shop", "mail.example")), theft,
	}
	pulls := append(slices.Clone(common), crossing("Service", service("orders.db.prod.example")),
		crossing("Pod", pod("registry.example/shop", "orders.db.prod.example")), crossing("ConfigMap", configMap("host=orders.db.prod.example")),
		crossing("Namespace", "{apiVersion: v1, kind: Namespace, metadata: {name: restore, labels: {skott.dev/environment: production}}}"))
	return map[*testenv.Server][]request{
		staging:    pulls,
		shop:       append(slices.Clone(pulls), crossing("BackupStorageLocation", bucket("prod-backups")), permitted("BackupStorageLocation", bucket("own-backups"))),
		production: append(slices.Clone(common), crossing("BackupStorageLocation", bucket("stage-backups")), permitted("BackupStorageLocation", bucket("prod-backups"))),
		ops:        common,
	}
}

// tally counts the answers during one fault.
type tally struct {
	name              string
	began             time.Time
	crossings, others int
	unanswered        int
	admitted, refused int
	// gap are crossings admitted in a cluster that an administrator had opened, starting are innocents refused by an API
	// server that could not decide yet.
	gap, starting         int
	gapFirst, gapLast     time.Time
	startFirst, startLast time.Time
	opened                *testenv.Server
	// healed is when the harm ended; converged is how long everything took from then on to be published and proved.
	healed    time.Time
	converged time.Duration
	samples   []string
}

func (t *tally) sent() int { return t.crossings + t.others }

type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	ready   map[*testenv.Server]bool
	tallies []*tally
}

func startLoad() *load {
	GinkgoHelper()
	l := &load{ready: map[*testenv.Server]bool{}, tallies: []*tally{{name: "none", began: time.Now()}}}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for s, requests := range mix() {
		for _, r := range requests { // otherwise the counts would mean nothing
			Eventually(func() error {
				err := r.send(ctx, s.Client())
				if r.crossing == deniedBySkott(err) && (r.crossing || err == nil) {
					return nil
				}
				return fmt.Errorf("%s to %s, crossing %t: %w", r.name, s.Name(), r.crossing, errors.Join(err, errors.New("was the answer")))
			}).WithTimeout(20 * time.Second).Should(Succeed())
		}
		l.done.Go(func() { l.lookWhetherReady(ctx, s) })
		for n := range workers {
			config := s.Config()
			config.Timeout = 15 * time.Second
			c, err := client.New(config, client.Options{})
			Expect(err).NotTo(HaveOccurred())
			l.done.Go(func() { l.work(ctx, s, c, requests, n) })
		}
	}
	return l
}

// lookWhetherReady is what a load balancer does.
func (l *load) lookWhetherReady(ctx context.Context, s *testenv.Server) {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, time.Second)
		err := s.Ready(within)
		cancel()
		l.mu.Lock()
		l.ready[s] = err == nil
		l.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}

func (l *load) work(ctx context.Context, s *testenv.Server, c client.Client, requests []request, n int) {
	ticks := time.NewTicker(pace)
	defer ticks.Stop()
	for ; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		r := &requests[n%len(requests)]
		l.mu.Lock()
		t, ready := l.tallies[len(l.tallies)-1], l.ready[s]
		l.mu.Unlock()
		if !r.crossing && !ready {
			continue // a load balancer would send it elsewhere; who wants to cross sends it anyway
		}
		err := r.send(ctx, c)
		if ctx.Err() != nil {
			return
		}
		l.record(t, s, r, err)
	}
}

func (r *request) send(ctx context.Context, c client.Client) error {
	if r.remove {
		return c.Delete(ctx, r.object.DeepCopy(), client.DryRunAll)
	}
	return c.Create(ctx, r.object.DeepCopy(), client.DryRunAll)
}

func (l *load) record(t *tally, s *testenv.Server, r *request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if r.crossing {
		t.crossings++
	} else {
		t.others++
	}
	switch {
	case err == nil && r.crossing && t.opened == s:
		t.gap++
		if t.gapFirst.IsZero() {
			t.gapFirst = now
		}
		t.gapLast = now
	case err == nil && r.crossing:
		t.admitted++
		t.sample(now, s, r, "admitted")
	case err == nil:
	case cannotDecide(err) && !r.crossing:
		t.starting++
		if t.startFirst.IsZero() {
			t.startFirst = now
		}
		t.startLast = now
		if t.starting%50 == 1 {
			t.sample(now, s, r, err.Error())
		}
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		if !r.crossing {
			t.refused++
			t.sample(now, s, r, err.Error())
		}
	default:
		t.unanswered++
		if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Code < 500 && !apierrors.IsTooManyRequests(err) {
			t.sample(now, s, r, err.Error())
		}
	}
}

func (t *tally) sample(now time.Time, s *testenv.Server, r *request, answer string) {
	if len(t.samples) < 8 {
		t.samples = append(t.samples, fmt.Sprintf("%s +%s %s %s: %s", t.name, now.Sub(t.began).Round(time.Millisecond), s.Name(), r.name, answer))
	}
}

// cannotDecide is an answer of an API server that does not know its policies or their parameters yet.
func cannotDecide(err error) bool {
	return slices.ContainsFunc([]string{"not yet ready to handle request", "failed to configure policy",
		"failed to configure binding"}, func(s string) bool { return strings.Contains(err.Error(), s) })
}

func deniedBySkott(err error) bool { return err != nil && strings.Contains(err.Error(), "SKOTT-") }

// begin counts what is sent from now on for a fault.
func (l *load) begin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies = append(l.tallies, &tally{name: name, began: time.Now()})
}

// opened says that an administrator opens a cluster: what crosses there until the fault is over is counted apart.
func (l *load) opened(s *testenv.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies[len(l.tallies)-1].opened = s
}

// current is the tally of the fault under way.
func (l *load) current() *tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tallies[len(l.tallies)-1]
}

// healed says that the harm is over.
func (l *load) healed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies[len(l.tallies)-1].healed = time.Now()
}

// converged says that everything is published and proved again.
func (l *load) converged() {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tallies[len(l.tallies)-1]
	t.converged = time.Since(t.healed)
}

// total is how many requests were sent until now.
func (l *load) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tallies {
		n += t.sent()
	}
	return n
}

func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

func (l *load) longestGap() (longest time.Duration) {
	for _, t := range l.tallies {
		longest = max(longest, t.gapLast.Sub(t.gapFirst))
	}
	return longest
}

func (l *load) longestStart() (longest time.Duration) {
	for _, t := range l.tallies {
		longest = max(longest, t.startLast.Sub(t.startFirst))
	}
	return longest
}

// sum adds up all faults.
func (l *load) sum() *tally {
	sum := &tally{name: "all"}
	for _, t := range l.tallies {
		sum.crossings, sum.others, sum.unanswered = sum.crossings+t.crossings, sum.others+t.others, sum.unanswered+t.unanswered
		sum.admitted, sum.refused, sum.gap, sum.starting = sum.admitted+t.admitted, sum.refused+t.refused, sum.gap+t.gap, sum.starting+t.starting
		sum.converged = max(sum.converged, t.converged)
		sum.samples = append(sum.samples, t.samples...)
	}
	return sum
}

// print writes the table that the suite is for.
func (l *load) print() {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "\nfault\trequests\tof them crossings\tcrossings admitted\tinnocents refused\tconverged after\tnot answered\tin the gap\tgap\twhile starting\tstart")
	sum := l.sum()
	for _, t := range append(slices.Clone(l.tallies), sum) {
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t%s\t%d\t%s\n", t.name, t.sent(), t.crossings, t.admitted, t.refused, inTenths(t.converged),
			t.unanswered, t.gap, inTenths(t.gapLast.Sub(t.gapFirst)), t.starting, inTenths(t.startLast.Sub(t.startFirst)))
	}
	_ = out.Flush()
	fmt.Printf("\ncrossings admitted = %d, innocents refused = %d, requests sent = %d, faults = %d\n", sum.admitted, sum.refused, sum.sent(), len(faults))
	fmt.Printf("counted apart (docs/faults.md): %d crossings where an administrator had taken policies away, %d innocents refused by API servers that were starting\n", sum.gap, sum.starting)
	for _, s := range sum.samples {
		fmt.Println("  " + s[:min(len(s), 400)])
	}
}

func inTenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

func service(host string) string {
	return "{apiVersion: v1, kind: Service, metadata: {generateName: load-, namespace: default}, spec: {type: ExternalName, externalName: " + host + "}}"
}

func configMap(text string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: load-, namespace: default}, data: {settings: " + text + "}}"
}

func pod(image, host string) string {
	return "{apiVersion: v1, kind: Pod, metadata: {generateName: load-, namespace: default}, spec: {containers: [{name: c, image: " + image +
		", env: [{name: HOST, value: " + host + "}]}]}}"
}

func bucket(name string) string {
	return `{apiVersion: velero.io/v1, kind: BackupStorageLocation, metadata: {generateName: load-, namespace: default},
 spec: {provider: aws, objectStorage: {bucket: ` + name + `}, config: {region: sto2, s3Url: "https://s3.sto2.example"}}}`
}
