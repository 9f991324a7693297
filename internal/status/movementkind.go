// SPDX-License-Identifier: Apache-2.0

package status

import skottv1 "github.com/skott-dev/skott/api/v1alpha1"

// MovementKind says whether a kind of a user is in use; invalid is why it is not.
func MovementKind(k *skottv1.MovementKind, invalid error) {
	if invalid != nil {
		Set(k, skottv1.ConditionReady, No(skottv1.ReasonMovementKindRejected, invalid.Error()))
		return
	}
	Set(k, skottv1.ConditionReady, Yes(skottv1.ReasonMovementKindInUse, ""))
}
