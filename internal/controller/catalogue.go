// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/ledger"
)

// maxPath is how much of the path of a field an origin holds.
const maxPath = 512

// learning is what a table says to learn.
func learning(t *flow.Table) fleet.Learning {
	var out fleet.Learning
	sum := sha256.New()
	for _, k := range t.Kinds() {
		kind, ok := learnKind(k)
		if !ok {
			continue
		}
		fmt.Fprintln(sum, kind.Name(), kind.Resource, kind.Versions, kind.Revision)
		out.Kinds = append(out.Kinds, kind)
	}
	out.Revision = hex.EncodeToString(sum.Sum(nil))[:12]
	return out
}

// learnKind is a kind with those of its fields that say what is of its cluster.
func learnKind(k *flow.Kind) (fleet.LearnKind, bool) {
	reader := *k
	reader.Fields = slices.DeleteFunc(slices.Clone(k.Fields), func(f flow.Field) bool { return !f.Learn })
	if len(reader.Fields) == 0 {
		return fleet.LearnKind{}, false
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v", k.Root, reader.Fields))
	return fleet.LearnKind{
		Group: k.Group, Resource: k.Resource, Kind: k.Kind, Versions: k.Versions, Revision: hex.EncodeToString(sum[:6]),
		Extract: func(object map[string]any) (string, []fleet.Found) { return homeOf(object), extract(&reader, object) },
	}, true
}

// homeOf is the namespace that says whose an object is: its own, or that of the claim or the
// snapshot that something cluster-wide is bound to.
func homeOf(object map[string]any) string {
	for _, path := range [][]string{{"metadata", "namespace"}, {"spec", "claimRef", "namespace"}, {"spec", "volumeSnapshotRef", "namespace"}} {
		if namespace := textAt(object, path...); namespace != "" {
			return namespace
		}
	}
	return ""
}

// textAt is the text at a path, "" if there is none.
func textAt(object map[string]any, path ...string) string {
	for _, name := range path[:len(path)-1] {
		object, _ = object[name].(map[string]any)
	}
	text, _ := object[path[len(path)-1]].(string)
	return text
}

// extract finds the distinctive addresses in an object.
func extract(k *flow.Kind, object map[string]any) []fleet.Found {
	var out []fleet.Found
	flow.Walk(k, object, true, func(r *flow.Reference) {
		for _, a := range addresses(r, object) {
			found := fleet.Found{Type: string(a.Type()), Value: a.String(), Path: r.Path()}
			if len(found.Path) > maxPath {
				found.Path = strings.ToValidUTF8(found.Path[:maxPath], "")
			}
			if !slices.Contains(out, found) {
				out = append(out, found)
			}
		}
	})
	return out
}

// addresses are the distinctive ones that a reference names.
func addresses(r *flow.Reference, object map[string]any) []address.Address {
	f := r.Field
	switch f.Form {
	case flow.Text:
		return addressesIn(f.Type, r.Text)
	case flow.Alias, flow.Encoded, flow.Link, flow.Payload:
		return nil // what they name stands somewhere else, or is not known to be of the cluster
	case flow.Image:
		if f.Direction != flow.To {
			return nil
		}
	case flow.Bucket, flow.Object:
		if assumed(r, object) {
			return nil
		}
	case flow.IP:
		if a, reason := ledger.Distinct(address.Host, r.Key); reason == "" {
			return []address.Address{a}
		}
	}
	if a, reason := ledger.Distinct(f.Type, r.Key); reason == "" {
		return []address.Address{a}
	}
	return nil
}

// addressesIn are those in a text: it is one, or its tokens are.
func addressesIn(t address.Type, text string) []address.Address {
	text = strings.TrimSpace(text)
	if _, err := address.Parse(t, text); err == nil {
		if a, reason := ledger.Distinct(t, text); reason == "" {
			return []address.Address{a}
		}
		return nil // such as a wildcard, whose token would be another name
	}
	var out []address.Address
	for _, token := range address.Tokens(address.Short(text)) {
		key := address.TokenKey(token)
		if t == address.Host {
			key, _, _ = strings.Cut(key, "/")
			key, _, _ = strings.Cut(key, ":")
		}
		if a, reason := ledger.Distinct(t, key); reason == "" && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// assumed reports whether a bucket was taken for one of AWS, or of Google, for want of an
// endpoint that can be understood: a provider of another kind, or the short name of a server
// in the cluster. Refusing it elsewhere would refuse the bucket of that name in AWS.
func assumed(r *flow.Reference, object map[string]any) bool {
	if !strings.HasPrefix(r.Key, "aws/") && !strings.HasPrefix(r.Key, "gcs/") {
		return false
	}
	companion := func(i int) string {
		steps, relative := r.Field.WithSteps(i)
		if steps == nil || relative {
			return ""
		}
		path := make([]string, len(steps))
		for j, s := range steps {
			path[j] = s.Name
		}
		return address.Short(textAt(object, path...))
	}
	if endpoint := companion(0); endpoint != "" {
		return address.TokenKey(address.FindToken(address.Authority(endpoint))) == ""
	}
	if r.Field.Form != flow.Bucket {
		return false
	}
	provider := companion(2)
	return provider != "" && !strings.Contains(provider, "aws") && !strings.Contains(provider, "gcp")
}
