// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	// minToken is the shortest token that is taken for one.
	minToken = 16
	// tokenLife is how long what a Secret said is believed. Failures are remembered as long, so
	// that nobody can make the operator read Secrets by guessing.
	tokenLife = 5 * time.Second
	// denialsInterval is between two writes of counts into statuses.
	denialsInterval = 3 * time.Second
	// auditPatience is how long a cluster may send nothing before it counts as silent, and
	// auditLook between two looks at that.
	auditPatience, auditLook = 15 * time.Minute, 5 * time.Minute
	// otherBoundary is counted in metrics for a boundary that the hub does not know, so that
	// no cluster can make up label values.
	otherBoundary = "other"
)

// denials receives what API servers denied: it writes the decision record, and counts.
type denials struct {
	*hub
	record *audit.Record // nil for none

	mu sync.Mutex
	// received is when events of a cluster came last, by its key.
	received map[string]time.Time
	// pending are denials that no status holds yet, by boundary.
	pending map[string]skottv1.DenialsStatus
	tokens  map[string]token
}

// token is what a Secret was found to hold.
type token struct {
	ref    skottv1.TokenSecretReference
	digest [sha256.Size]byte
	status int // http.StatusOK if digest is one
	until  time.Time
}

func setupDenials(mgr manager.Manager, h *hub) error {
	h.denials = &denials{hub: h, received: map[string]time.Time{}, pending: map[string]skottv1.DenialsStatus{}, tokens: map[string]token{}}
	if !h.options.listens() {
		return nil
	}
	if path := h.options.DecisionLog; path != "" {
		var err error
		if h.denials.record, err = audit.OpenRecord(path, h.options.DecisionLogSize); err != nil {
			return err
		}
	}
	return mgr.Add(h.denials)
}

// listens reports whether the operator takes audit events.
func (o Options) listens() bool { return o.AuditAddress != "" && o.AuditAddress != "0" }

// NeedLeaderElection implements manager.LeaderElectionRunnable: only the leader knows the
// clusters and writes statuses. Nobody else listens, so that what is sent is sent again.
func (d *denials) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable.
func (d *denials) Start(ctx context.Context) error {
	log := ctrl.Log.WithName("audit")
	go func() {
		ticker := time.NewTicker(denialsInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				d.flush(ctx)
			}
		}
	}()
	return audit.Listen(ctx, d.options.AuditAddress, d.options.AuditCertificates, audit.NewReceiver(d.authorize, d.keep, log), log)
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
	t := d.token(ctx, mc.Name, mc.Spec.Audit.TokenSecretRef)
	if t.status != http.StatusOK {
		return t.status
	}
	given := sha256.Sum256([]byte(bearer))
	if subtle.ConstantTimeCompare(given[:], t.digest[:]) != 1 {
		return http.StatusUnauthorized
	}
	return d.exists(s)
}

// exists answers whether a source is a cluster of the fleet.
func (d *denials) exists(s audit.Source) int {
	d.mu.Lock()
	_, heard := d.received[s.String()]
	d.mu.Unlock()
	if heard || s.Name == "" {
		return http.StatusOK
	}
	m, engaged := d.members()[s.ManagementCluster]
	for _, c := range m.Clusters {
		if c.Namespace == s.Namespace && c.Name == s.Name {
			return http.StatusOK
		}
	}
	if !engaged || !m.ClustersListed {
		return http.StatusServiceUnavailable // it may be one
	}
	return http.StatusNotFound
}

// token is what the Secret of a ManagementCluster holds, or held a moment ago.
func (d *denials) token(ctx context.Context, name string, ref skottv1.TokenSecretReference) token {
	d.mu.Lock()
	t, found := d.tokens[name]
	d.mu.Unlock()
	now := d.now()
	if found && t.ref == ref && now.Before(t.until) {
		return t
	}
	t = token{ref: ref, status: http.StatusOK, until: now.Add(tokenLife)}
	secret := &corev1.Secret{}
	err := d.reader.Get(ctx, types.NamespacedName{Namespace: d.options.Namespace, Name: ref.Name}, secret)
	value := strings.TrimSpace(string(secret.Data[cmp.Or(ref.Key, defaultTokenKey)]))
	switch {
	case apierrors.IsNotFound(err) || err == nil && len(value) < minToken:
		t.status = http.StatusUnauthorized
	case err != nil:
		t.status = http.StatusServiceUnavailable
	default:
		t.digest = sha256.Sum256([]byte(value))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens[name] = t
	return t
}

// keep writes denials into the record and counts them. Canaries show that a cluster is
// heard, and are not counted.
func (d *denials) keep(s audit.Source, decoded audit.Decoded) error {
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
	if d.record != nil {
		if err := d.record.Append(attempts); err != nil {
			return err
		}
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Sub(d.received[s.String()]) > auditPatience {
		d.bell.ring() // it was silent until now
	}
	d.received[s.String()] = now
	for _, one := range attempts {
		if !known[one.Boundary] {
			d.recorder.Denial(s.String(), otherBoundary, string(one.Code))
			continue
		}
		d.recorder.Denial(s.String(), one.Boundary, string(one.Code))
		if one.Boundary != "" {
			d.pending[one.Boundary] = skottv1.DenialsStatus{Count: d.pending[one.Boundary].Count + 1, LastTime: metav1.NewTime(now)}
		}
	}
	return nil
}

// flush adds what is pending to the statuses of the boundaries. What cannot be written stays
// pending, and what was counted before the operator started is kept.
func (d *denials) flush(ctx context.Context) {
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

// view is what is known of the audit events of clusters.
func (d *denials) view() status.AuditView {
	d.mu.Lock()
	defer d.mu.Unlock()
	return status.AuditView{
		Listening: d.options.listens(), Received: maps.Clone(d.received), Now: d.now(), Patience: max(auditPatience, 5*d.options.CanaryInterval),
	}
}
