// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// member is one engaged ManagementCluster. Its goroutine probes it, and starts and ends
// what depends on it: the guard loop of the cluster itself, and the manager that follows
// its Clusters.
type member struct {
	fleet *Fleet
	name  string
	ended context.Context
	stop  context.CancelFunc
	done  chan struct{}
	wakes chan struct{}
	self  *station

	mu sync.Mutex
	// target is replaced by retarget; reconnect ends the session with the old one.
	target    Target
	reconnect context.CancelFunc
	state     Member
	clusters  map[types.NamespacedName]*station
	manager   *running
	// enqueue makes the Cluster controller look at a Cluster, while there is one.
	enqueue func(types.NamespacedName)
}

// running is a goroutine that can be ended and waited for.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func newMember(f *Fleet, t Target) *member {
	m := &member{
		fleet: f, name: t.Name, target: t,
		done: make(chan struct{}), wakes: make(chan struct{}, 1),
		clusters:  map[types.NamespacedName]*station{},
		reconnect: func() {},
		state:     Member{Name: t.Name, Reason: skottv1.ReasonWaitingForConnection, Message: "the first connection is under way"},
	}
	m.ended, m.stop = context.WithCancel(context.Background())
	m.self = newStation(m, Cluster{ManagementCluster: t.Name, Role: t.Role, Endpoint: endpoint(t.Config)}, t.Created, func() {})
	return m
}

// retarget takes over what changed.
func (m *member) retarget(t Target) {
	m.mu.Lock()
	old := m.target
	m.target = t
	reconnect := m.reconnect
	m.mu.Unlock()
	if old.InCluster != t.InCluster || old.Role != t.Role || fingerprint(old.Config) != fingerprint(t.Config) {
		m.self.update(func(c *Cluster) { c.Role, c.Endpoint = t.Role, endpoint(t.Config) })
		reconnect()
	}
	if old.Environment != t.Environment || old.Stage != t.Stage || old.Datacenter != t.Datacenter {
		m.relabelAll()
	}
}

func (m *member) currentTarget() Target {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.target
}

// end stops the member and waits until nothing of it runs.
func (m *member) end() {
	m.stop()
	<-m.done
	for _, s := range m.stations() {
		m.fleet.drop(s.key())
	}
}

func (m *member) wake() {
	select {
	case m.wakes <- struct{}{}:
	default:
	}
}

// run holds one session after the other: a session ends when the connection has to be
// another one.
func (m *member) run(ctx context.Context) {
	defer close(m.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ended, cancel)()
	for ctx.Err() == nil {
		session, reconnect := context.WithCancel(ctx)
		m.mu.Lock()
		m.reconnect = reconnect
		target := m.target
		m.mu.Unlock()
		m.session(session, target)
		reconnect()
	}
}

// session works with one set of credentials.
func (m *member) session(ctx context.Context, t Target) {
	l, err := newLink(t.Config, t.InCluster, m.fleet.options)
	if err != nil {
		m.update(func(s *Member) {
			s.Reachable, s.Reason, s.Message = false, skottv1.ReasonInvalidKubeconfig, brief(err)
		})
		<-ctx.Done()
		return
	}
	defer l.close()
	defer m.halt()
	for ctx.Err() == nil {
		if err := m.probe(ctx, l); err != nil && ctx.Err() == nil {
			reason, message := classify(err)
			ctrllog.FromContext(ctx).V(1).Info("Failing to reach the API server", "reason", reason)
			m.update(func(s *Member) { s.Reachable, s.Reason, s.Message = false, reason, message })
		}
		timer := time.NewTimer(m.fleet.options.ProbeInterval)
		select {
		case <-ctx.Done():
		case <-m.wakes:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// probe looks at the API server, and makes what should run there run. What runs already is
// left alone in an outage: it recovers by itself.
func (m *member) probe(ctx context.Context, l *link) error {
	uid, err := l.clusterUID(ctx)
	if err != nil {
		return err
	}
	version, err := l.version(ctx)
	if err != nil {
		return err
	}
	versions, err := l.clusterAPIVersions(ctx)
	if err != nil {
		return err
	}
	served := slices.Contains(versions, clusterv1.GroupVersion.Version)
	duplicate := ""
	if owner := m.self.claim(uid); owner != m.self {
		duplicate = owner.member.name
		m.halt()
		m.forget(func(types.NamespacedName) bool { return true })
		m.update(func(s *Member) { s.ClustersListed = false })
		m.self.follow(owner)
	} else if err := m.work(ctx, l, served); err != nil {
		return err
	}
	m.update(func(s *Member) {
		s.UID, s.Version, s.ClusterAPIVersions, s.ClusterAPIServed = uid, version, versions, served
		s.Reachable, s.Reason, s.Message, s.Duplicate = true, skottv1.ReasonReachable, "", duplicate
	})
	return nil
}

// clusterAPIVersions are the served versions of cluster.x-k8s.io, none when it is not there.
func (l *link) clusterAPIVersions(ctx context.Context) ([]string, error) {
	group := &metav1.APIGroup{}
	if err := discover(ctx, l.discovery, "/apis/"+clusterv1.GroupVersion.Group, group); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var versions []string
	for _, v := range group.Versions {
		versions = append(versions, v.Version)
	}
	return versions, nil
}

// work starts what does not run yet.
func (m *member) work(ctx context.Context, l *link, served bool) error {
	if err := l.account.ensure(ctx, true); err != nil {
		return err
	}
	// The manager has no way to tell that the account stopped working.
	if _, err := getMetadata(ctx, l.account.operator, kindNamespace, client.ObjectKey{Name: metav1.NamespaceSystem}); err != nil {
		l.account.doubt()
		return err
	}
	if m.self.guarding() == nil {
		m.self.guard(ctx, newLoop(m.self, l))
	}
	m.mu.Lock()
	r := m.manager
	m.mu.Unlock()
	if r != nil {
		select {
		case <-r.done: // it failed
		default:
			if served {
				return nil
			}
			m.haltManager()
		}
	}
	if !served {
		m.forget(func(types.NamespacedName) bool { return true })
		m.update(func(s *Member) { s.ClustersListed = true }) // there are none
		return nil
	}
	r = &running{done: make(chan struct{})}
	var managed context.Context
	managed, r.cancel = context.WithCancel(ctx)
	m.mu.Lock()
	m.manager = r
	m.mu.Unlock()
	go func() {
		defer close(r.done)
		if err := m.manage(managed, ctx, rest.CopyConfig(l.account.config)); err != nil && managed.Err() == nil {
			ctrllog.FromContext(ctx).Error(err, "Following the Clusters ended, starting again")
		}
	}()
	return nil
}

func (m *member) haltManager() {
	m.mu.Lock()
	r := m.manager
	m.manager = nil
	m.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// halt ends everything that works for the member, and waits for it.
func (m *member) halt() {
	m.haltManager()
	for _, s := range m.stations() {
		s.halt()
	}
}

// forget ends and removes the Clusters that are gone.
func (m *member) forget(isGone func(types.NamespacedName) bool) {
	m.mu.Lock()
	var gone []*station
	for name, s := range m.clusters {
		if isGone(name) {
			gone = append(gone, s)
			delete(m.clusters, name)
		}
	}
	m.mu.Unlock()
	for _, s := range gone {
		s.halt()
		m.fleet.drop(s.key())
	}
	if len(gone) > 0 {
		m.fleet.options.Observer.Changed()
	}
}

// stations are the member's own and those of its Clusters.
func (m *member) stations() []*station {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(slices.Collect(maps.Values(m.clusters)), m.self)
}

// relabelAll makes the Cluster controller look at every Cluster.
func (m *member) relabelAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.enqueue == nil {
		return
	}
	for name := range m.clusters {
		m.enqueue(name)
	}
}

func (m *member) update(change func(*Member)) {
	m.mu.Lock()
	before := m.state
	change(&m.state)
	same := reflect.DeepEqual(before, m.state)
	m.mu.Unlock()
	if !same {
		m.fleet.options.Observer.Changed()
	}
}

// snapshot is the state with those of its clusters, sorted by namespace and name.
func (m *member) snapshot() Member {
	m.mu.Lock()
	state := m.state
	m.mu.Unlock()
	for _, s := range m.stations() {
		if c := s.snapshot(); c.Name == "" {
			state.Self = c
		} else {
			state.Clusters = append(state.Clusters, c)
		}
	}
	slices.SortFunc(state.Clusters, func(a, b Cluster) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return state
}

func (m *member) setEnqueue(enqueue func(types.NamespacedName)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enqueue = enqueue
}

// station of a Cluster, made when it is seen first. A change of its guard is a reason to
// look at its labels.
func (m *member) station(name types.NamespacedName, created time.Time) *station {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.clusters[name]
	if !ok {
		cluster := Cluster{ManagementCluster: m.name, Namespace: name.Namespace, Name: name.Name, Role: RoleWorkload}
		s = newStation(m, cluster, created, func() {
			m.mu.Lock()
			enqueue := m.enqueue
			m.mu.Unlock()
			if enqueue != nil {
				enqueue(name)
			}
		})
		m.clusters[name] = s
	}
	return s
}

// closeIdle ends the connections that ClusterCache leaves open.
func (m *member) closeIdle() {
	for _, s := range m.stations() {
		if l := s.guarding(); l != nil && l.given != nil {
			if t, err := rest.TransportFor(l.given); err == nil {
				utilnet.CloseIdleConnectionsFor(t)
			}
		}
	}
}
