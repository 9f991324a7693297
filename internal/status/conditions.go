// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// maxNamed is how many names a message lists before it counts the rest.
const maxNamed = 10

// Names lists names for a message, the first few of them and how many more there are.
func Names(names []string) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(sorted) <= maxNamed {
		return strings.Join(sorted, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(sorted[:maxNamed], ", "), len(sorted)-maxNamed)
}

// verdict is what a condition says, before it is given its type.
type verdict struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// yes is the verdict that a condition holds.
func yes(reason, message string) verdict { return verdict{metav1.ConditionTrue, reason, message} }

// no is the verdict that it does not.
func no(reason, message string) verdict { return verdict{metav1.ConditionFalse, reason, message} }

// unclear is the verdict that nobody can say yet.
func unclear(reason, message string) verdict {
	return verdict{metav1.ConditionUnknown, reason, message}
}

// Object is an object with conditions.
type Object interface {
	metav1.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// set writes the verdict into a condition of the object, for its current generation.
func set(o Object, conditionType string, v verdict) {
	conditions := slices.Clone(o.GetConditions())
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type: conditionType, Status: v.Status, Reason: v.Reason, Message: v.Message, ObservedGeneration: o.GetGeneration(),
	})
	o.SetConditions(conditions)
}

// summarise writes Ready: true when all the given conditions are, else with the reason of
// the first that is not.
func summarise(o Object, conditionTypes ...string) {
	v := yes(skottv1.ReasonReady, "")
	for _, t := range conditionTypes {
		c := meta.FindStatusCondition(o.GetConditions(), t)
		if c == nil || c.Status == metav1.ConditionTrue {
			continue
		}
		v = verdict{Status: c.Status, Reason: c.Reason, Message: t + ": " + c.Message}
		break
	}
	set(o, skottv1.ConditionReady, v)
}
