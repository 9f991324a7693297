// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"weak"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// objectKey names one object of Skott in a guarded cluster; all are cluster-scoped.
type objectKey struct{ kind, name string }

func keyOf(u *unstructured.Unstructured) objectKey { return objectKey{u.GetKind(), u.GetName()} }

// record is what our last write of an object left behind.
type record struct {
	hash       [sha256.Size]byte
	uid        types.UID
	generation int64
	// labels are compared too: a changed one selects other parameters, and does not count
	// as a generation.
	labels map[string]string
	// version stands for the generation of kinds that have none; "" if it is not recorded.
	version string
	// head and shared are of a Guard: what it says of its cluster, and all the rest, for as
	// long as that is kept anyhow.
	head   string
	shared weak.Pointer[encoding]
}

// drifted says whether an object, nil when it is gone, is not the one our last write left.
func (r record) drifted(live *metav1.PartialObjectMetadata) bool {
	return live == nil || live.UID != r.uid || live.Generation != r.generation || !carries(live.Labels, r.labels) ||
		r.generation == 0 && r.version != "" && live.ResourceVersion != r.version
}

// toUnstructured is the object as it is applied: marked as Skott's, and without what only
// the API server writes.
func toUnstructured(obj client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(obj, scheme)
	if err != nil {
		return nil, fmt.Errorf("cannot write %T: %w", obj, err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s %q: %w", gvk.Kind, obj.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(content)}
	u.SetGroupVersionKind(gvk)
	delete(u.Object, "status")
	for _, field := range []string{"creationTimestamp", "resourceVersion", "uid", "generation", "managedFields"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	labels := u.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[skottv1.LabelManagedBy] = skottv1.FieldOwner
	u.SetLabels(labels)
	return u, nil
}

func hashOf(u *unstructured.Unstructured) ([sha256.Size]byte, error) {
	content, err := json.Marshal(u.Object) // sorts keys
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("cannot encode %s %q: %w", u.GetKind(), u.GetName(), err)
	}
	return sha256.Sum256(content), nil
}

// applyObject makes the object on the server what is desired, and returns what is there.
// Apply corrects fields that we own. What somebody added and we have no opinion on (a match
// condition that lets everything pass) survives it, and takes a replacement; so does what
// cannot stand beside ours (the action Warn in the set that we want to be Deny). Nothing is
// ever deleted and created: a policy is never away. What is there already is not written: to
// accept a policy again, unchanged, costs the API server as much as a new one, and an operator
// that starts would ask that of every cluster at once.
func applyObject(ctx context.Context, c client.Client, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	content := contentOf(desired)
	if content != "" {
		live := desired.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(desired), live); err == nil && stands(desired, live, content) {
			return live, nil
		}
	}
	live := desired.DeepCopy()
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(live), client.ForceOwnership, client.FieldOwner(skottv1.FieldOwner))
	if apierrors.IsInvalid(err) && c.Get(ctx, client.ObjectKeyFromObject(desired), live) == nil {
		err = nil // if it is invalid by itself, the replacement is refused too
		live.SetLabels(merged(live.GetLabels(), desired.GetLabels()))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot apply %s %q: %w", desired.GetKind(), desired.GetName(), err)
	}
	if content == "" || same(desired.Object[content], live.Object[content]) {
		return live, nil
	}
	live.Object[content] = runtime.DeepCopyJSONValue(desired.Object[content])
	if err := c.Update(ctx, live, client.FieldOwner(skottv1.FieldOwner)); err != nil {
		return nil, fmt.Errorf("cannot replace %s %q: %w", desired.GetKind(), desired.GetName(), err)
	}
	return live, nil
}

// stands says whether an apply of desired would change nothing that is there.
func stands(desired, live *unstructured.Unstructured, content string) bool {
	return live.GetDeletionTimestamp() == nil && carries(live.GetLabels(), desired.GetLabels()) &&
		carries(live.GetAnnotations(), desired.GetAnnotations()) && same(desired.Object[content], live.Object[content])
}

// contentOf is the field of an object that says what it does, and is all ours; "" if it has none.
func contentOf(u *unstructured.Unstructured) string {
	for _, field := range []string{"spec", "webhooks"} {
		if _, ok := u.Object[field]; ok {
			return field
		}
	}
	return ""
}

func merged(base, over map[string]string) map[string]string {
	result := map[string]string{}
	maps.Copy(result, base)
	maps.Copy(result, over)
	return result
}

// defaults are what the API server adds to the kinds we write when a field is left out.
var defaults = map[string]any{
	"failurePolicy":     "Fail",
	"matchPolicy":       "Equivalent",
	"namespaceSelector": map[string]any{},
	"objectSelector":    map[string]any{},
	"scope":             "*",
	"conversion":        map[string]any{"strategy": "None"},
	"finalizers":        []any{"kubernetes"}, // of a Namespace, in its spec
}

// same says whether live is desired, defaults aside.
func same(desired, live any) bool {
	want, ok := desired.(map[string]any)
	if !ok {
		return sameList(desired, live)
	}
	got, ok := live.(map[string]any)
	if !ok {
		return len(want) == 0 && live == nil
	}
	for key, value := range got {
		if w, ok := want[key]; ok {
			if !same(w, value) {
				return false
			}
		} else if d, ok := defaults[key]; !ok || !reflect.DeepEqual(d, value) {
			return false
		}
	}
	for key, value := range want {
		if _, ok := got[key]; !ok && !empty(value) {
			return false
		}
	}
	return true
}

// sameList compares lists item by item: their order counts, as everywhere in what Skott writes.
func sameList(desired, live any) bool {
	want, ok := desired.([]any)
	if !ok {
		return reflect.DeepEqual(desired, live)
	}
	got, _ := live.([]any)
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !same(want[i], got[i]) {
			return false
		}
	}
	return true
}

// empty says whether the API server may leave a value out that we wrote.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// getMetadata reads the metadata of an object; nil when there is none.
func getMetadata(ctx context.Context, c client.Reader, kind schema.GroupVersionKind, key client.ObjectKey) (*metav1.PartialObjectMetadata, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(kind)
	err := c.Get(ctx, key, m)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot get %s %q: %w", kind.Kind, key, err)
	}
	return m, nil
}

// prune deletes Skott's objects that are not desired, those that act first. Guards are
// Skott's whatever their labels say.
func prune(ctx context.Context, c client.Client, desired map[objectKey]record) error {
	var errs []error
	for _, kind := range []schema.GroupVersionKind{kindBinding, kindPolicy, kindGuard} {
		options := []client.ListOption{client.MatchingLabels{skottv1.LabelManagedBy: skottv1.FieldOwner}}
		if kind == kindGuard {
			options = nil
		}
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		if err := c.List(ctx, list, options...); err != nil {
			return fmt.Errorf("cannot list %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			item := &list.Items[i]
			if _, ok := desired[objectKey{kind.Kind, item.Name}]; ok {
				continue
			}
			item.SetGroupVersionKind(kind)
			if err := c.Delete(ctx, item); client.IgnoreNotFound(err) != nil {
				errs = append(errs, fmt.Errorf("cannot delete %s %q: %w", kind.Kind, item.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// established says whether the API server serves the kind that a CRD defines.
func established(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}
