// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
)

// A pod often says in one place at which endpoint it works, and in another which bucket it
// reads there: rclone with its remote in a Secret, "aws --endpoint-url". Neither is an
// address by itself. Where a bucket is meant is told by the shape of what is written, never
// by a bare word, of which many are the names of buckets.

const (
	// maxEndpoints and maxBuckets bound the pairs that are looked up for one pod.
	maxEndpoints = 16
	maxBuckets   = 256
)

// remote is rclone's REMOTE:BUCKET/PATH, and s3://BUCKET/PATH.
var remote = regexp.MustCompile(`(?i)(?:^|[\s"'=])(?:s3a?://|[a-z0-9_.-]+:)([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[a-z0-9._~%=+/-]*)?)(?:$|[\s"',;])`)

// option is --bucket=NAME, bucket: NAME and the like.
var option = regexp.MustCompile(`(?i)bucket[a-z_-]*["']?\s*[=:]\s*["']?([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])`)

// plain is the name of a bucket and nothing else.
var plain = regexp.MustCompile(`^(?i)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// scattered are the endpoints and the buckets of one pod.
type scattered struct {
	endpoints map[string]bool
	buckets   []bucketText
	before    string // the text before, for an option and its value
}

// bucketText is a bucket that a text names, and where.
type bucketText struct {
	name string
	v    Violation // with path, phrase and what may be shown
}

// gather takes what a text of a pod, or of what it mounts, says of endpoints and buckets.
func (r *reading) gather(ref *flow.Reference, text string) {
	s := r.scattered
	lower := address.Lower(text)
	for _, token := range address.Tokens(lower) {
		if host, _, _ := strings.Cut(address.TokenKey(token), "/"); len(s.endpoints) < maxEndpoints && r.e.holdsBuckets(host) {
			s.endpoints[host] = true
		}
	}
	var names []string
	for _, pattern := range []*regexp.Regexp{remote, option} {
		for _, m := range pattern.FindAllStringSubmatch(lower, maxBuckets) {
			name := m[1]
			if len(m) > 2 {
				name += m[2]
			}
			names = append(names, name)
		}
	}
	name := strings.ToLower(ref.Name())
	if plain.MatchString(lower) && (strings.Contains(name, "bucket") || strings.HasPrefix(s.before, "-") && strings.HasSuffix(s.before, "bucket")) {
		names = append(names, lower)
	}
	s.before = lower
	for _, n := range names {
		if len(s.buckets) >= maxBuckets {
			return
		}
		v := Violation{Path: r.outer + ref.Path(), Address: n, phrase: verbs[flow.Names] + " " + nouns[address.Bucket]}
		if r.via != nil {
			v.Path, v.Address, v.phrase = r.via.path, r.via.name, "leads to "+nouns[address.Bucket]+" through"
		}
		s.buckets = append(s.buckets, bucketText{name: n, v: v})
	}
}

// holdsBuckets reports whether an address of the book lies below a host.
func (e *Evaluator) holdsBuckets(host string) bool {
	_, ok := e.book.Hosts[host]
	return ok && host != "aws" && host != "gcs"
}

// pair judges every bucket at every endpoint of the pod.
func (r *reading) pair() {
	for _, endpoint := range slices.Sorted(maps.Keys(r.scattered.endpoints)) {
		for _, b := range r.scattered.buckets {
			key := address.Path(endpoint + "/" + b.name)
			match, ok := r.e.book.Owner(key, r.e.spec.Cluster.Datacenter)
			if ok && match.Address == endpoint {
				continue // of the host itself, which was judged where it stands
			}
			v, crosses := r.e.crosses(mention{key: key, typ: address.Bucket, direction: flow.Names}, r.here, r.there)
			if !crosses || slices.ContainsFunc(r.exact, func(o Violation) bool { return o.Path == b.v.Path && o.Code == v.Code }) {
				continue
			}
			v.Path, v.Address, v.phrase = b.v.Path, b.v.Address, b.v.phrase
			r.exact = append(r.exact, v)
		}
	}
}

// withData is a Secret as the API server stores it: what is written in plain as stringData
// stands in its data.
func withData(object map[string]any) map[string]any {
	written, ok := object["stringData"].(map[string]any)
	if !ok || len(written) == 0 {
		return object
	}
	data, _ := object["data"].(map[string]any)
	merged := maps.Clone(data)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, value := range written {
		if text, ok := value.(string); ok {
			merged[key] = base64.StdEncoding.EncodeToString([]byte(text))
		}
	}
	out := maps.Clone(object)
	out["data"] = merged
	return out
}
