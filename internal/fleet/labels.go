// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"strconv"
	"time"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// proofGrace is how long the last proof counts while the next revision is on its way. What
// waits for the label guarded would otherwise see every publication as a failure.
const proofGrace = 15 * time.Second

// labelsFor computes the labels of a Cluster under a target. All are always there: to the
// policies a missing label and a foreign one are the same.
func labelsFor(t Target, guarded bool) map[string]string {
	return map[string]string{
		skottv1.LabelEnvironment:       t.Environment,
		skottv1.LabelStage:             t.Stage,
		skottv1.LabelDatacenter:        t.Datacenter,
		skottv1.LabelManagementCluster: t.Name,
		skottv1.LabelGuarded:           strconv.FormatBool(guarded),
	}
}

// guardedNow says whether a cluster counts as guarded, and when to ask again if time alone
// changes the answer.
func guardedNow(s GuardState, now time.Time) (guarded bool, again time.Duration) {
	switch {
	case s.Phase == Enforced:
		return true, 0
	case (s.Phase == Publishing || s.Phase == Published) && s.ProvedRevision != "":
		left := s.Since.Add(proofGrace).Sub(now)
		return left > 0, max(left, 0)
	default:
		return false, 0
	}
}

// carries says whether every wanted label, or annotation, is there.
func carries(labels, want map[string]string) bool {
	for key, value := range want {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}
