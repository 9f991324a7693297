// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/metrics"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/internal/status"
)

// publisher turns the hub's objects into a policy and hands it to the fleet. It has one key
// and is level-based: whatever happened, it builds everything anew from what there is.
type publisher struct {
	*hub
	selector labels.Selector
	// rules of the last pass, and the movement kinds of users that they were made from.
	rules *policy.Rules
	kinds []skottv1.MovementKindSpec
	// publishedAt is when something was published last, and quiet until when nothing more is.
	publishedAt, quiet time.Time
}

// share of its time that the publisher may take: while thousands of addresses are learned,
// what comes in during a pause is published together. A large fleet takes longer to be written
// than a policy to be made.
// Guards of a megabyte cost every guarded API server a good part of a second.
const (
	share        = 5
	longestQuiet = time.Second
	bulkQuiet    = 4 * time.Second
	// underWay times what a fleet takes to settle is the longest that is waited for the clusters to be written, and
	// undelivered the pause between two looks.
	underWay    = 5
	undelivered = 100 * time.Millisecond
)

// publication is a policy with what is needed to apply it to a cluster.
type publication struct {
	policy   *policy.Policy
	clusters map[string]skottv1.GuardedCluster // by ManagementCluster
	webhooks webhooks
	revision string
	// asked remembers what a cluster was asked to hold, by its key: guard loops ask every
	// time they wake, and Guards of a megabyte take long to make.
	asked sync.Map
	// alike is what clusters hold that are published the same Guards, by their revision: what
	// is one object here is encoded once for all of them.
	alike sync.Map
	// draft is the policy with the drafts of boundaries in place of their rules; nil if there is none.
	draft *policy.Policy
	// boundaries are those that it was made of, by name.
	boundaries map[string]*skottv1.DataBoundarySpec
	// drafts are the boundaries that have one.
	drafts map[string]bool
	// scanKinds are the kinds that are scanned everywhere.
	scanKinds []fleet.ScanKind
	// rules identifies everything that decides beside addresses.
	rules string
	// bases are Evaluators by the revision of their Guards.
	bases sync.Map
}

// asked is what a cluster is to hold, and what of the cluster that follows from.
type asked struct {
	cluster    skottv1.GuardedCluster
	namespaces map[string]string
	groups     []string
	desired    fleet.Desired
	// scanning follows from it, and is made by whoever asks first.
	scanned  sync.Once
	scanning fleet.Scanning
}

type holder = atomic.Pointer[publication]

// setupPublisher adds the controller that compiles the policy anew. Whatever changes asks for the same
// one request.
func setupPublisher(mgr manager.Manager, h *hub) error {
	selector, err := labels.Parse(h.options.Selector)
	if err != nil {
		return fmt.Errorf("cannot parse the selector of ManagementClusters: %w", err)
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "policy"}}}
	})
	// A status decides nothing, and is written for every address that is learned.
	decides := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	return ctrl.NewControllerManagedBy(mgr).Named("publisher").
		Watches(&skottv1.Environment{}, one, decides).
		Watches(&skottv1.ManagementCluster{}, one, decides).
		Watches(&skottv1.DataLocation{}, one, decides).
		Watches(&skottv1.DataBoundary{}, one, decides).
		Watches(&skottv1.MovementKind{}, one, decides).
		WatchesRawSource(h.bell.listen(one)).
		Complete(&publisher{hub: h, selector: selector, rules: policy.BuiltinRules()})
}

// Reconcile builds and publishes the policy if anything it depends on has changed.
func (p *publisher) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	began := p.now()
	quiet := p.quiet
	if p.bulk.Load() {
		quiet = p.publishedAt.Add(bulkQuiet)
	}
	if left := quiet.Sub(began); left > 0 {
		return ctrl.Result{RequeueAfter: min(left, longestQuiet)}, nil // the rest of a bulk may be there earlier
	}
	if left := p.publishedAt.Add(underWay * p.settling()).Sub(began); left > 0 && !p.fleet.Delivered() {
		return ctrl.Result{RequeueAfter: min(left, undelivered)}, nil
	}
	snapshot, managementClusters, wake, err := p.read(ctx)
	if err != nil {
		p.recorder.Error(true)
		return ctrl.Result{}, err
	}
	hooks, err := p.webhooks(ctx, snapshot.Locations)
	if err != nil {
		p.recorder.Error(true)
		return ctrl.Result{}, err
	}
	revision := digest(snapshot, managementClusters, hooks)
	if current := p.published.Load(); current == nil || current.revision != revision {
		if current != nil {
			snapshot.Last = current.policy
		}
		next := newPublication(snapshot)
		next.clusters, next.webhooks, next.revision = managementClusters, hooks, revision
		p.published.Store(next)
		p.fleet.Publish(next.desire)
		p.fleet.Scan(next.scan)
		p.bell.ring()
		if current == nil || current.policy.Rules() != next.policy.Rules() {
			p.learned.ring() // what is learned depends on the table
		}
		p.publishedAt = p.now()
		p.quiet = p.publishedAt.Add(max(min(share*p.now().Sub(began), longestQuiet), p.settling()))
		ctrl.LoggerFrom(ctx).Info("Published the policy", "revision", revision, "addresses", next.policy.Size())
	}
	return ctrl.Result{RequeueAfter: wake}, p.count(ctx)
}

// newPublication resolves a snapshot, its drafts included.
func newPublication(snapshot policy.Snapshot) *publication {
	next := &publication{policy: policy.New(snapshot), rules: rulesDigest(snapshot), boundaries: map[string]*skottv1.DataBoundarySpec{}}
	next.scanKinds = scanKinds(next.policy.Rules().Table())
	for i := range snapshot.Boundaries {
		next.boundaries[snapshot.Boundaries[i].Name] = &snapshot.Boundaries[i].Spec
	}
	if boundaries, drafts := drafted(snapshot.Boundaries); len(drafts) > 0 {
		next.draft, next.drafts = next.policy.WithBoundaries(boundaries, snapshot.Environments), drafts
	}
	return next
}

// read lists everything that decides. wake is when a deleted boundary stops acting.
func (p *publisher) read(ctx context.Context) (s policy.Snapshot, clusters map[string]skottv1.GuardedCluster, wake time.Duration, err error) {
	environments, boundaries := &skottv1.EnvironmentList{}, &skottv1.DataBoundaryList{}
	locations, managementClusters, kinds := &skottv1.DataLocationList{}, &skottv1.ManagementClusterList{}, &skottv1.MovementKindList{}
	for _, list := range []client.ObjectList{environments, boundaries, locations, managementClusters, kinds} {
		if err := p.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // none is changed
			return s, nil, 0, fmt.Errorf("cannot list %T: %w", list, err)
		}
	}
	s.Environments, s.Locations = environments.Items, locations.Items
	p.graces.forget(boundaries.Items)
	for i := range boundaries.Items {
		b := boundaries.Items[i]
		if left := p.actsFor(&b); left <= 0 {
			continue
		} else if !b.DeletionTimestamp.IsZero() && (wake == 0 || left < wake) {
			wake = left
		}
		s.Boundaries = append(s.Boundaries, b)
	}
	clusters = map[string]skottv1.GuardedCluster{}
	for i := range managementClusters.Items {
		mc := &managementClusters.Items[i]
		clusters[mc.Name] = skottv1.GuardedCluster{
			Name: mc.Name, ManagementCluster: mc.Name, Role: string(mc.Spec.Role), Environment: mc.EnvironmentName(), Datacenter: mc.Spec.Datacenter,
		}
	}
	sortByName(kinds.Items)
	s.Rules = p.rulesOf(kinds.Items)
	sortByName(s.Environments)
	sortByName(s.Boundaries)
	return s, clusters, wake, nil
}

// rulesOf are the rules with the movement kinds of users, made anew only when one of them
// has changed: the policies are compiled from them.
func (p *publisher) rulesOf(kinds []skottv1.MovementKind) *policy.Rules {
	var specs []skottv1.MovementKindSpec
	for i := range kinds {
		if kinds[i].DeletionTimestamp.IsZero() {
			specs = append(specs, kinds[i].Spec)
		}
	}
	if !equality.Semantic.DeepEqual(p.kinds, specs) {
		p.rules, _ = policy.NewRules(specs...) // what is invalid is told in its own status
		p.kinds = specs
	}
	return p.rules
}

// webhooks are what the ManagementClusters say of theirs. They have the key of fingerprints as long
// as there is any, or may be.
func (p *publisher) webhooks(ctx context.Context, locations []skottv1.DataLocation) (webhooks, error) {
	out := webhooks{image: p.options.GuardImage, specs: map[string]*skottv1.Webhook{}, secrets: map[string]bool{}, digests: &sync.Map{}}
	list := &skottv1.ManagementClusterList{}
	if err := p.List(ctx, list); err != nil {
		return out, fmt.Errorf("cannot list %T: %w", list, err)
	}
	for i := range list.Items {
		if spec := list.Items[i].Spec.Webhook; spec != nil {
			out.specs[list.Items[i].Name] = spec
		}
		if reads(&list.Items[i]) {
			out.secrets[list.Items[i].Name] = true
		}
	}
	if len(out.secrets) > 0 || slices.ContainsFunc(locations, holdsCredential) {
		if f := p.fingerprints(ctx); f != nil {
			out.key = f.raw
		}
	}
	return out, nil
}

func sortByName[T any, P named[T]](items []T) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(P(&a).GetName(), P(&b).GetName()) })
}

// digest identifies the input of a policy, without what does not decide.
func digest(s policy.Snapshot, clusters map[string]skottv1.GuardedCluster, hooks webhooks) string {
	sum := sha256.New()
	encoder := json.NewEncoder(sum)
	for i := range s.Environments {
		_ = encoder.Encode([]any{s.Environments[i].Name, s.Environments[i].Labels, s.Environments[i].Spec})
	}
	for i := range s.Boundaries {
		_ = encoder.Encode([]any{s.Boundaries[i].Name, s.Boundaries[i].Spec})
	}
	// There may be very many, and most of the time none of them has changed.
	locations := make([]string, len(s.Locations))
	for i := range s.Locations {
		d := &s.Locations[i]
		locations[i] = fmt.Sprintf("%s %s %d", d.Name, d.UID, d.Generation)
	}
	slices.Sort(locations)
	_ = encoder.Encode(locations)
	_ = encoder.Encode(s.Rules.Kinds())
	_ = encoder.Encode([]any{hooks.specs, hooks.secrets, hooks.key != nil}) // the key itself never changes
	_ = encoder.Encode(clusters)                                            // encoding sorts the keys; nothing of this can fail to encode
	return hex.EncodeToString(sum.Sum(nil))[:12]
}

// rulesDigest identifies what decides beside addresses.
func rulesDigest(s policy.Snapshot) string {
	s.Locations = nil
	return digest(s, nil, webhooks{})
}

// guarded describes a cluster of the fleet as its Guard does.
func (p *publication) guarded(c status.Cluster) (skottv1.GuardedCluster, bool) {
	g, known := p.clusters[c.ManagementCluster]
	if !known {
		return g, false
	}
	if c.Name != "" {
		g.Name, g.Role = c.Namespace+"/"+c.Name, string(fleet.RoleWorkload)
	}
	g.TextNamespaces = p.webhooks.textNamespaces(c, p.policy)
	return p.policy.GuardedCluster(g), true
}

// desire says what a cluster must hold.
func (p *publication) desire(c status.Cluster) (fleet.Desired, bool) {
	a, known := p.ask(c)
	if !known {
		return fleet.Desired{}, false
	}
	return a.desired, true
}

// ask makes what a cluster must hold, unless it is known.
func (p *publication) ask(c status.Cluster) (*asked, bool) {
	g, known := p.guarded(c)
	if !known {
		return nil, false
	}
	if last, ok := p.lastAsked(c.Key()); ok && reflect.DeepEqual(last.cluster, g) && maps.Equal(last.namespaces, c.Namespaces) && slices.Equal(last.groups, c.Groups) {
		return last, true
	}
	rules := p.policy.Rules()
	families := rules.Families(c.Groups)
	guards := p.policy.Guards(g, c.Namespaces, families)
	d := p.alikeOf(guards, families)
	d.Guards, d.Webhook = guards, p.webhooks.of(c, p.policy, guards)
	a := &asked{cluster: g, namespaces: c.Namespaces, groups: c.Groups, desired: d}
	p.asked.Store(c.Key(), a)
	return a, true
}

// alikeOf is what all clusters hold whose Guards are of one revision, beside these.
func (p *publication) alikeOf(guards []*skottv1.Guard, families []flow.Family) fleet.Desired {
	revision := policy.Revision(guards)
	made, _ := p.alike.LoadOrStore(revision, sync.OnceValue(func() fleet.Desired {
		d := fleet.Desired{
			Revision: revision, Policies: p.policy.Rules().Policies(families, p.policy.Denies()), Bindings: policy.Bindings(families, p.policy.Actions()...),
		}
		for _, canary := range policy.Canaries(guards) {
			d.Canaries = append(d.Canaries, fleet.Canary(canary))
		}
		return d
	}))
	d, _ := made.(func() fleet.Desired)
	return d()
}

// lastAsked is what a cluster was last asked to hold.
func (p *publication) lastAsked(key string) (*asked, bool) {
	last, _ := p.asked.Load(key)
	a, ok := last.(*asked)
	return a, ok
}

// desired is the revision that a cluster was last asked to hold, "" if it was not asked.
func (p *publication) desired(c status.Cluster) string {
	key := c.Key()
	if c.GuardedAs != "" {
		key = c.GuardedAs
	}
	if last, ok := p.lastAsked(key); ok {
		return last.desired.Revision
	}
	return ""
}

// current reports whether the proof of a cluster is of what it should hold now.
func (h *hub) current(c status.Cluster) bool {
	p := h.published.Load()
	return p != nil && c.Guard.ProvedRevision != "" && c.Guard.ProvedRevision == p.desired(c)
}

// count writes the gauges of addresses and clusters.
func (p *publisher) count(ctx context.Context) error {
	published := p.published.Load()
	var addresses []metrics.AddressCount
	for _, c := range published.policy.Counts() {
		addresses = append(addresses, metrics.AddressCount{Kind: string(c.Type), Origin: c.Origin, Count: c.Count})
	}
	p.recorder.Addresses(addresses)
	list := &skottv1.ManagementClusterList{}
	if err := p.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil { // none is changed
		return fmt.Errorf("cannot list %T: %w", list, err)
	}
	learns, own := map[string]bool{}, map[string]bool{}
	for i := range list.Items {
		mc := &list.Items[i]
		own[mc.Name] = p.selector.Matches(labels.Set(mc.Labels))
		learns[mc.Name] = mc.Learns() && mc.EnvironmentName() != ""
	}
	var clusters []metrics.Cluster
	var scans []metrics.ScanCount
	for _, c := range p.clusters(published) {
		if !own[c.ManagementCluster] {
			continue // another instance counts it
		}
		if c.Scan != nil {
			scans = append(scans, scanCount(c))
		}
		g, _ := published.guarded(c)
		clusters = append(clusters, counted(c, g.Environment, learns[c.ManagementCluster], p.current(c)))
	}
	p.recorder.Clusters(clusters)
	p.recorder.Scans(scans)
	return nil
}

// counted is what is counted of a cluster. A proof of what is not wanted any more counts as one that
// is under way.
func counted(c status.Cluster, environment string, learns, current bool) metrics.Cluster {
	phase := cmp.Or(c.Guard.Phase, status.Unknown)
	if phase == status.Enforced && !current {
		phase = status.Publishing
	}
	return metrics.Cluster{
		Name: c.Key(), Environment: environment, Phase: string(phase), Enforced: phase == status.Enforced, Proved: c.Guard.ProvedAt,
		Learns: learns, Complete: c.Learned && phase != status.Unreachable, Gaps: len(c.LearnGaps),
		Webhook: c.Webhook.Phase == status.WebhookActs || c.Webhook.Phase == status.WebhookAway, WebhookActs: c.Webhook.Phase == status.WebhookActs,
	}
}
