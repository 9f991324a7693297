// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// maxPatch is how large a patch of a Guard may be: beyond, all of it is sent.
const maxPatch = 128 << 10

// applyGuard makes a Guard on the server what is desired, and returns its metadata; the rest
// of what is there is large, and known.
//
// If the object is still the one that our last write left, which the API server checks by its
// resource version, what is stored is what we wrote, and only what differs is sent. Else all
// of it is applied, and the owners of fields tell whether anybody else has ever written into
// the spec. If so it is read, compared and, if need be, replaced, as applyObject does.
func (i item) applyGuard(ctx context.Context, c client.Client, last record) (client.Object, error) {
	if last.version != "" && last.head == i.head {
		live, err := i.change(ctx, c, last)
		if err == nil {
			return live, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) {
			return nil, fmt.Errorf("cannot change Guard %q: %w", i.guard.Name, err)
		}
	}
	body, err := i.body("")
	if err != nil {
		return nil, err
	}
	live, err := i.send(ctx, c, types.ApplyPatchType, body)
	if err == nil && onlyOurs(live.ManagedFields) {
		return live, nil
	}
	desired, convertErr := toUnstructured(i.guard)
	if convertErr != nil {
		return nil, convertErr
	}
	desired.SetAnnotations(merged(desired.GetAnnotations(), map[string]string{skottv1.AnnotationContent: i.content()}))
	return applyObject(ctx, c, desired)
}

// change writes over what our last write left, and over nothing else.
func (i item) change(ctx context.Context, c client.Client, last record) (*metav1.PartialObjectMetadata, error) {
	if base := last.shared.Value(); base != nil {
		if spec := i.shared.from(base).patch; spec != nil {
			return i.send(ctx, c, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"annotations":{%q:%q}},"spec":%s}`,
				last.version, skottv1.AnnotationContent, i.content(), spec))
		}
	}
	body, err := i.body(last.version)
	if err != nil {
		return nil, err
	}
	return i.send(ctx, c, types.ApplyPatchType, body)
}

// send sends a patch of a Guard; of the answer only the metadata are asked for.
func (i item) send(ctx context.Context, c client.Client, kind types.PatchType, body []byte) (*metav1.PartialObjectMetadata, error) {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(kindGuard)
	live.Name = i.guard.Name
	options := []client.PatchOption{client.FieldOwner(skottv1.FieldOwner)}
	if kind == types.ApplyPatchType {
		options = append(options, client.ForceOwnership)
	}
	return live, c.Patch(ctx, live, client.RawPatch(kind, body), options...)
}

// body is a Guard as it is applied, if it still has a resource version; "" for any.
func (i item) body(version string) ([]byte, error) {
	cluster, err := json.Marshal(i.guard.Spec.Cluster)
	if err != nil {
		return nil, fmt.Errorf("cannot encode Guard %q: %w", i.guard.Name, err)
	}
	meta := map[string]any{"name": i.guard.Name, "labels": i.labels, "annotations": map[string]string{skottv1.AnnotationContent: i.content()}}
	if version != "" {
		meta["resourceVersion"] = version
	}
	head, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("cannot encode Guard %q: %w", i.guard.Name, err)
	}
	spec := i.shared.encoded()
	var b bytes.Buffer
	b.Grow(len(spec) + len(cluster) + len(head) + 128)
	fmt.Fprintf(&b, `{"apiVersion":%q,"kind":%q,"metadata":%s,"spec":{"cluster":%s,`, kindGuard.GroupVersion(), kindGuard.Kind, head, cluster)
	b.Write(bytes.TrimPrefix(spec, []byte("{")))
	b.WriteByte('}')
	return b.Bytes(), nil
}

// content identifies the Guard with all that it says.
func (i item) content() string { return hex.EncodeToString(i.hash[:])[:24] }

// onlyOurs reports whether nobody but Skott has fields of the spec. An object whose owners
// somebody took away has others after the next apply: the API server then notes that what
// was there is older.
func onlyOurs(owners []metav1.ManagedFieldsEntry) bool {
	return len(owners) > 0 && !slices.ContainsFunc(owners, func(e metav1.ManagedFieldsEntry) bool {
		ours := e.Manager == skottv1.FieldOwner && e.Operation == metav1.ManagedFieldsOperationApply
		return !ours && ofSpec(e)
	})
}

// ofSpec reports whether an entry may own fields of the spec.
func ofSpec(e metav1.ManagedFieldsEntry) bool {
	return e.FieldsV1 == nil || strings.Contains(e.FieldsV1.GetRawString(), `"f:spec"`)
}

// transition is how a Guard becomes another one.
type transition struct {
	// patch is the merge patch of the spec; nil if there is no small one.
	patch []byte
	// leaves are the addresses that are taken away.
	leaves []string
}

// from is how base becomes e. It is made once, for all clusters that hold base.
func (e *encoding) from(base *encoding) *transition {
	made, _ := e.transitions.LoadOrStore(base.hash, sync.OnceValue(func() *transition { return newTransition(base.spec(), e.spec()) }))
	t, ok := made.(func() *transition)
	if !ok {
		return &transition{}
	}
	return t()
}

func newTransition(from, to skottv1.GuardSpec) *transition {
	t := &transition{}
	for address := range from.Addresses {
		if _, stays := to.Addresses[address]; !stays {
			t.leaves = append(t.leaves, address)
		}
	}
	changes, ok := difference(from, to)
	if !ok {
		return t
	}
	if patch, err := json.Marshal(changes); err == nil && len(patch) <= maxPatch {
		t.patch = patch
	}
	return t
}

// addressMaps are the maps of a Guard that grow with the addresses.
var addressMaps = []string{"addresses", "parents", "hosts", "aliases"}

// difference is what a merge patch (RFC 7396) of one spec to another one says. A null in it
// takes a key away, so that what can hold one itself cannot be patched.
func difference(from, to skottv1.GuardSpec) (map[string]any, bool) {
	if !reflect.DeepEqual(from.MovementKinds, to.MovementKinds) {
		return nil, false
	}
	out := map[string]any{}
	for _, m := range []struct {
		name     string
		from, to *map[string]string
	}{
		{"addresses", &from.Addresses, &to.Addresses}, {"parents", &from.Parents, &to.Parents},
		{"hosts", &from.Hosts, &to.Hosts}, {"aliases", &from.Aliases, &to.Aliases},
	} {
		if *m.from == nil || *m.to == nil {
			return nil, false
		}
		changed := map[string]any{}
		for k, v := range *m.to {
			if was, there := (*m.from)[k]; !there || was != v {
				changed[k] = v
			}
		}
		for k := range *m.from {
			if _, there := (*m.to)[k]; !there {
				changed[k] = nil
			}
		}
		if len(changed) > 0 {
			out[m.name] = changed
		}
		*m.from, *m.to = nil, nil
	}
	from.MovementKinds, to.MovementKinds = nil, nil
	before, after := plainSpec(from), plainSpec(to)
	if before == nil || after == nil {
		return nil, false
	}
	for _, name := range addressMaps {
		delete(before, name)
		delete(after, name)
	}
	for k, v := range changes(before, after) {
		out[k] = v
	}
	return out, true
}

func plainSpec(spec skottv1.GuardSpec) map[string]any {
	out := map[string]any{}
	encoded, err := json.Marshal(spec)
	if err != nil || json.Unmarshal(encoded, &out) != nil {
		return nil
	}
	return out
}

// changes is the merge patch between two small maps.
func changes(from, to map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range to {
		was, there := from[k]
		inner, isMap := v.(map[string]any)
		innerWas, wasMap := was.(map[string]any)
		switch {
		case there && reflect.DeepEqual(was, v):
		case isMap && wasMap:
			out[k] = changes(innerWas, inner)
		default:
			out[k] = v
		}
	}
	for k := range from {
		if _, there := to[k]; !there {
			out[k] = nil
		}
	}
	return out
}
