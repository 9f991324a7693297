// SPDX-License-Identifier: Apache-2.0

package status

import skottv1 "github.com/skott-dev/skott/api/v1alpha1"

// MovementKind says whether a kind of a user is in use; invalid is why it is not.
func MovementKind(k *skottv1.MovementKind, invalid error) {
	if invalid != nil {
		set(k, skottv1.ConditionReady, no(skottv1.ReasonMovementKindRejected, invalid.Error()))
		return
	}
	set(k, skottv1.ConditionReady, yes(skottv1.ReasonMovementKindInUse, ""))
}
