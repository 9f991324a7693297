// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// Fleet is every engaged ManagementCluster with the Clusters under it.
type Fleet struct {
	options Options
	// started tells Clusters that were labelled by an earlier process from new ones.
	started time.Time
	desire  atomic.Pointer[delivery]
	learn   atomic.Pointer[func(Cluster) (Learning, bool)]
	scan    atomic.Pointer[func(Cluster) (Scanning, bool)]
	claims  claims
	// encodings of what many clusters must hold.
	encodings encodings
	// judging is held while an object is judged, which waits for nothing: scanners take half of
	// the processors at most, and leave the rest to those who guard.
	judging chan struct{}
	// scans is the pace of all scanners together.
	scans flowcontrol.RateLimiter
	// writing is held by clusters whose Guards are being written.
	writing precedence
	// lanes are for clusters that are worked on.
	lanes lanes
	// writable is how many clusters were written without a failure when it was last tried.
	writable atomic.Int64

	mu      sync.Mutex
	members map[string]*member
}

// New returns a Fleet without members.
func New(options Options) *Fleet {
	options.Namespace = cmp.Or(options.Namespace, "skott-system")
	options.CanaryInterval = cmp.Or(options.CanaryInterval, time.Minute)
	options.ProbeInterval = cmp.Or(options.ProbeInterval, 10*time.Second)
	options.CertificateLife = cmp.Or(options.CertificateLife, 365*24*time.Hour)
	options.SurveyInterval = cmp.Or(options.SurveyInterval, 5*time.Minute)
	options.ScanInterval = cmp.Or(options.ScanInterval, 10*time.Minute)
	options.Timeout = cmp.Or(options.Timeout, 10*time.Second)
	if options.Observer == nil {
		options.Observer = silent{}
	}
	return &Fleet{
		options: options,
		started: time.Now(),
		claims:  claims{byUID: map[types.UID][]claim{}},
		members: map[string]*member{},
		judging: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		lanes:   make(lanes, lanesPerProcessor*runtime.GOMAXPROCS(0)),
		scans:   flowcontrol.NewTokenBucketRateLimiter(scanRates, scanRates),
	}
}

// Engage makes a target a member, or changes one. It returns at once. Other credentials or
// another server reconnect it; another Environment, stage or datacenter changes labels.
// The context gives the logger only.
func (f *Fleet) Engage(ctx context.Context, t Target) error {
	if t.Name == "" || t.Config == nil {
		return errors.New("cannot engage: the target has no name or no configuration")
	}
	if t.Config.ExecProvider != nil || t.Config.AuthProvider != nil {
		return errors.New("cannot engage: credentials that run a program are not supported")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.members[t.Name]; ok {
		m.retarget(t)
		return nil
	}
	log := logr.FromContextOrDiscard(ctx).WithValues("managementCluster", t.Name)
	m := newMember(f, t)
	f.members[t.Name] = m
	go m.run(ctrllog.IntoContext(context.Background(), log))
	return nil
}

// Disengage ends everything that belongs to a member and waits for it. The guards in its
// clusters stay, and keep refusing.
func (f *Fleet) Disengage(name string) {
	f.mu.Lock()
	m, ok := f.members[name]
	delete(f.members, name)
	f.mu.Unlock()
	if !ok {
		return
	}
	m.end()
	f.options.Observer.Changed()
}

// Close disengages every member, all at a time.
func (f *Fleet) Close() {
	var all sync.WaitGroup
	f.mu.Lock()
	for name := range f.members {
		all.Go(func() { f.Disengage(name) })
	}
	f.mu.Unlock()
	all.Wait()
}

// Publish replaces the function that says what a cluster must hold, and wakes every guard
// loop. False means that nothing is known for the cluster yet; it then is left as it is. The
// function is called from many goroutines and should only look up. A cluster is asked for
// again when its Namespaces change.
func (f *Fleet) Publish(desire func(Cluster) (Desired, bool)) {
	f.encodings.turn()
	next := &delivery{desire: desire, generation: 1, superseded: make(chan struct{})}
	last := f.desire.Load()
	if last != nil {
		next.generation = last.generation + 1
	}
	if f.desire.Store(next); last != nil {
		close(last.superseded)
	}
	f.wakeGuards()
}

// State is what is known of every member, sorted by name.
func (f *Fleet) State() []Member {
	members := f.all()
	result := make([]Member, 0, len(members))
	for _, m := range members {
		result = append(result, m.snapshot())
	}
	return result
}

// Member is what is known of one member; false if there is none of that name.
func (f *Fleet) Member(name string) (Member, bool) {
	f.mu.Lock()
	m, ok := f.members[name]
	f.mu.Unlock()
	if !ok {
		return Member{}, false
	}
	return m.snapshot(), true
}

// Size is how many API servers are known, those of the members included.
func (f *Fleet) Size() int {
	n := 0
	for _, m := range f.all() {
		m.mu.Lock()
		n += len(m.clusters) + 1
		m.mu.Unlock()
	}
	return n
}

// all returns the members sorted by name.
func (f *Fleet) all() []*member {
	f.mu.Lock()
	defer f.mu.Unlock()
	result := make([]*member, 0, len(f.members))
	for _, m := range f.members {
		result = append(result, m)
	}
	slices.SortFunc(result, func(a, b *member) int { return cmp.Compare(a.name, b.name) })
	return result
}

func (f *Fleet) desired(c Cluster) (Desired, bool) {
	return f.desire.Load().of(c)
}

// wakeGuards makes every guard loop look again.
func (f *Fleet) wakeGuards() {
	for _, m := range f.all() {
		for _, s := range m.stations() {
			s.wake()
		}
	}
}

// wakeAll makes every member look again too: an API server has changed hands.
func (f *Fleet) wakeAll() {
	for _, m := range f.all() {
		m.wake()
	}
	f.wakeGuards()
}

// drop gives up the claims of a key; who takes its place has to hear of it.
func (f *Fleet) drop(key string) {
	if f.claims.drop(key) {
		f.wakeAll()
	}
}

// silent is the Observer of who has none.
type silent struct{}

func (silent) Restored(string, string, string)            {}
func (silent) CanaryAdmitted(string, string)              {}
func (silent) Canary(string, string, bool, time.Duration) {}
func (silent) Changed()                                   {}
