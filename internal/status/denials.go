// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// AuditView is what is known of the audit events of clusters.
type AuditView struct {
	// Fault is why the operator takes no audit events, "" if it does.
	Fault string
	// Received is when denials by a cluster, those of live proofs too, came last, by its Key.
	Received map[string]time.Time
	// Now is when the view was made.
	Now time.Time
	// Patience is how long a cluster may be silent. The live proof is denied more often.
	Patience time.Duration
}

// lastStep keeps a condition from changing with every event.
const lastStep = 10 * time.Minute

// DenialsCollected says on mc whether what its clusters deny is recorded. m is nil when the
// cluster was not reached yet.
func DenialsCollected(mc *skottv1.ManagementCluster, m *Member, view AuditView) {
	set(mc, skottv1.ConditionDenialsCollected, denialsCollected(mc, m, view))
}

func denialsCollected(mc *skottv1.ManagementCluster, m *Member, view AuditView) verdict {
	switch {
	case mc.Spec.Audit == nil:
		return no(skottv1.ReasonNoAuditSource, "spec.audit is not set: what its API servers deny is not recorded")
	case view.Fault != "":
		return no(skottv1.ReasonNotListening, "the operator takes no audit events: "+view.Fault)
	}
	clusters := []Cluster{{ManagementCluster: mc.Name}}
	if m != nil {
		clusters = append([]Cluster{m.Self}, m.Clusters...)
	}
	var silent []string
	var last time.Time
	asked := 0
	for _, c := range clusters {
		if c.GuardedAs != "" || c.Guard.Phase == NotGuardable {
			continue
		}
		asked++
		received := view.Received[c.Key()]
		if received.IsZero() || view.Now.Sub(received) > view.Patience {
			silent = append(silent, c.Key())
		}
		if received.After(last) {
			last = received
		}
	}
	if len(silent) > 0 {
		return no(skottv1.ReasonNothingReceived, fmt.Sprintf("no denials lately from %d of %d clusters, of live proofs neither: %s", len(silent), asked, Names(silent)))
	}
	return yes(skottv1.ReasonReceiving, fmt.Sprintf("denials of %d clusters arrive, the last after %s", asked, last.UTC().Truncate(lastStep).Format(time.RFC3339)))
}
