// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/audit"
	"github.com/skott-dev/skott/internal/status"
)

const (
	// defaultTokenKey is where a token is in its Secret unless spec.audit says otherwise.
	defaultTokenKey = "token"
	// minToken is the shortest token that is taken for one, and maxTokens how many of a Secret are.
	minToken, maxTokens = 16, 8
	// tokenLife is how long what a Secret said is believed. Failures are remembered as long, so
	// that nobody can make the operator read Secrets by guessing.
	tokenLife = 5 * time.Second
	// denialsInterval is between two writes of counts into statuses.
	denialsInterval = 3 * time.Second
	// auditPatience is how long a cluster may send nothing before it counts as silent, and
	// auditLook between two looks at that.
	auditPatience, auditLook = 15 * time.Minute, 5 * time.Minute
	// auditRetry is between two tries to take audit events.
	auditRetry = 10 * time.Second
	// otherBoundary is counted in metrics for a boundary that the hub does not know, so that
	// no cluster can make up label values.
	otherBoundary = "other"
)

// denials receives what API servers denied: it writes the decision record, and counts.
type denials struct {
	*hub

	mu sync.Mutex
	// fault is why no events are taken, "" while they are.
	fault string
	// received is when denials of a cluster, those of live proofs too, came last.
	received map[audit.Source]time.Time
	// pending are denials that no status holds yet, by boundary.
	pending map[string]skottv1.DenialsStatus
	tokens  map[string]tokens
}

// tokens are what a Secret was found to hold.
type tokens struct {
	ref     skottv1.TokenSecretReference
	digests [][sha256.Size]byte
	status  int // http.StatusOK if there are digests
	until   time.Time
}

func setupDenials(mgr manager.Manager, h *hub) error {
	h.denials = &denials{hub: h, received: map[audit.Source]time.Time{}, pending: map[string]skottv1.DenialsStatus{}, tokens: map[string]tokens{}}
	if !h.options.listens() {
		h.denials.fault = "the operator was started without --audit-bind-address"
		return nil
	}
	h.denials.fault = "the operator has just been started"
	return mgr.Add(h.denials)
}

// listens reports whether the operator is to take audit events.
func (o Options) listens() bool { return o.AuditAddress != "" && o.AuditAddress != "0" }

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader knows the
// clusters and writes statuses. Nobody else listens, so that what is sent is sent again.
func (d *denials) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable. What keeps the operator from taking events, such as a
// certificate that is not there yet, must not keep it from guarding: it is tried again.
func (d *denials) Start(ctx context.Context) error {
	log := ctrl.Log.WithName("audit")
	go wait.UntilWithContext(ctx, d.flush, denialsInterval)
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := d.serve(ctx, log); err != nil {
			log.Error(err, "Taking no audit events")
			d.became(err.Error())
		}
	}, auditRetry)
	return nil
}

// serve takes events until the context ends, or until it cannot.
func (d *denials) serve(ctx context.Context, log logr.Logger) (err error) {
	record, err := audit.OpenRecord(d.options.DecisionLog, d.options.DecisionLogSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	receiver := audit.NewReceiver(d.authorize, func(s audit.Source, decoded audit.Decoded) error { return d.keep(record, s, decoded) }, log)
	receiver.Answered = d.recorder.AuditRequest
	server := &audit.Server{
		Address: d.options.AuditAddress, Certificates: d.options.AuditCertificates, Handler: receiver, Log: log,
		Listening: func() { d.became("") },
	}
	return server.Run(ctx)
}

func (d *denials) became(fault string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != fault {
		d.fault = fault
		d.bell.ring()
	}
}

// authorize answers whether the bearer of a token may speak for a cluster. To those who may
// not, all that does not exist looks like a wrong token.
func (d *denials) authorize(ctx context.Context, s audit.Source, bearer string) int {
	mc := &skottv1.ManagementCluster{}
	if err := d.Get(ctx, types.NamespacedName{Name: s.ManagementCluster}, mc); err != nil {
		if apierrors.IsNotFound(err) {
			return http.StatusUnauthorized
		}
		return http.StatusServiceUnavailable
	}
	if mc.Spec.Audit == nil || bearer == "" {
		return http.StatusUnauthorized
	}
	t := d.tokensOf(ctx, mc.Name, mc.Spec.Audit.TokenSecretRef)
	if t.status != http.StatusOK {
		return t.status
	}
	given, right := sha256.Sum256([]byte(bearer)), 0
	for i := range t.digests {
		right |= subtle.ConstantTimeCompare(given[:], t.digests[i][:])
	}
	if right != 1 {
		return http.StatusUnauthorized
	}
	return d.exists(s)
}

// exists answers whether a source is a cluster of the fleet.
func (d *denials) exists(s audit.Source) int {
	if s.Name == "" {
		return http.StatusOK
	}
	m, engaged := d.fleet.Member(s.ManagementCluster)
	if engaged && has(&m, s) {
		return http.StatusOK
	}
	if !engaged || !m.ClustersListed {
		return http.StatusServiceUnavailable // it may be one
	}
	return http.StatusNotFound
}

func has(m *status.Member, s audit.Source) bool {
	return s.Name == "" || slices.ContainsFunc(m.Clusters, func(c status.Cluster) bool { return c.Namespace == s.Namespace && c.Name == s.Name })
}

// tokensOf are what the Secret of a ManagementCluster holds, or held a moment ago.
func (d *denials) tokensOf(ctx context.Context, name string, ref skottv1.TokenSecretReference) tokens {
	d.mu.Lock()
	t, found := d.tokens[name]
	d.mu.Unlock()
	now := d.now()
	if found && t.ref == ref && now.Before(t.until) {
		return t
	}
	t = tokens{ref: ref, status: http.StatusOK, until: now.Add(tokenLife)}
	secret := &corev1.Secret{}
	err := d.reader.Get(ctx, types.NamespacedName{Namespace: d.options.Namespace, Name: ref.Name}, secret)
	t.digests = digestsOf(secret.Data[cmp.Or(ref.Key, defaultTokenKey)])
	switch {
	case apierrors.IsNotFound(err) || err == nil && len(t.digests) == 0:
		t.status = http.StatusUnauthorized
	case err != nil:
		t.status = http.StatusServiceUnavailable
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens[name] = t
	return t
}

// digestsOf are the tokens in a text, one in a line: the old one beside the new one while it
// is being replaced.
func digestsOf(text []byte) [][sha256.Size]byte {
	var out [][sha256.Size]byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) >= minToken && len(out) < maxTokens {
			out = append(out, sha256.Sum256(line))
		}
	}
	return out
}

// keep writes denials into the record and counts them. Canaries show that a cluster is
// heard, and are not counted.
func (d *denials) keep(record *audit.Record, s audit.Source, decoded audit.Decoded) error {
	boundaries := &skottv1.DataBoundaryList{}
	if err := d.List(context.Background(), boundaries, client.UnsafeDisableDeepCopy); err != nil { // none is changed
		return fmt.Errorf("cannot list %T: %w", boundaries, err)
	}
	known := map[string]bool{"": true}
	for i := range boundaries.Items {
		known[boundaries.Items[i].Name] = true
	}
	var attempts []audit.Denial
	for _, one := range decoded.Denials {
		if !one.Canary {
			one.Cluster = s.String()
			attempts = append(attempts, one)
		}
	}
	fresh, err := record.Append(attempts)
	if err != nil {
		return err
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(decoded.Denials) > 0 { // other events do not show that these would arrive
		if now.Sub(d.received[s]) > auditPatience {
			d.bell.ring() // it was silent until now
		}
		d.received[s] = now
	}
	for i := range fresh {
		boundary := fresh[i].Boundary
		if !known[boundary] {
			boundary = otherBoundary
		} else if boundary != "" {
			d.pending[boundary] = skottv1.DenialsStatus{Count: d.pending[boundary].Count + 1, LastTime: metav1.NewTime(now)}
		}
		d.recorder.Denial(s.String(), boundary, string(fresh[i].Code))
	}
	return nil
}

// flush adds what is pending to the statuses of the boundaries. What cannot be written stays
// pending, and what was counted before the operator started is kept.
func (d *denials) flush(ctx context.Context) {
	d.tellAges()
	d.mu.Lock()
	pending := maps.Clone(d.pending)
	d.mu.Unlock()
	for name, add := range pending {
		b := &skottv1.DataBoundary{}
		err := d.Get(ctx, types.NamespacedName{Name: name}, b)
		if err == nil {
			before := b.DeepCopy()
			after := add
			if b.Status.Denials != nil {
				after.Count += b.Status.Denials.Count
			}
			b.Status.Denials = &after
			// An outdated copy must not overwrite a count.
			err = d.Status().Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		}
		if client.IgnoreNotFound(err) != nil {
			continue
		}
		d.mu.Lock()
		left := d.pending[name]
		if left.Count -= add.Count; left.Count <= 0 {
			delete(d.pending, name)
		} else {
			d.pending[name] = left
		}
		d.mu.Unlock()
	}
}

// tellAges says when clusters were heard last, and forgets those that are gone.
func (d *denials) tellAges() {
	members := d.members()
	heard := map[string]time.Time{}
	d.mu.Lock()
	defer d.mu.Unlock()
	for s, when := range d.received {
		if m, engaged := members[s.ManagementCluster]; !engaged || m.ClustersListed && !has(&m, s) {
			delete(d.received, s)
			continue
		}
		heard[s.String()] = when
	}
	d.recorder.Heard(heard)
}

// view is what is known of the audit events of clusters.
func (d *denials) view() status.AuditView {
	d.mu.Lock()
	defer d.mu.Unlock()
	received := make(map[string]time.Time, len(d.received))
	for s, when := range d.received {
		received[s.String()] = when
	}
	return status.AuditView{Fault: d.fault, Received: received, Now: d.now(), Patience: max(auditPatience, 5*d.options.CanaryInterval)}
}
