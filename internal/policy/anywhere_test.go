// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skott-dev/skott/internal/policy"
)

// An address stands out anywhere, in any kind, however it is encoded; what an object does
// not say is left alone.
func TestAnywhere(t *testing.T) {
	for name, c := range map[string]struct {
		reason, group, resource, object string
		want                            string
	}{
		"UnknownKind": {
			reason: "a kind of no table", group: "example.io", resource: "widgets", object: `{"spec":{"deep":[{"x":1},{"url":"https://db.prod.example/x"}]}}`,
			want: `spec.deep[1].url names host "db.prod.example"`,
		},
		"Label": {
			reason: "a label", group: "example.io", resource: "widgets", object: `{"metadata":{"labels":{"example.io/host":"db.prod.example"}}}`,
			want: `metadata.labels["example.io/host"] names host "db.prod.example"`,
		},
		"AnnotationOfKnownKind": {
			reason: "an annotation of a kind of the table", resource: "services", object: `{"metadata":{"annotations":{"a":"DB.PROD.EXAMPLE."}},"spec":{}}`,
			want: `metadata.annotations.a names host "db.prod.example"`,
		},
		"Key": {
			reason: "a key", resource: "configmaps", object: `{"data":{"db.prod.example":"x"}}`, want: `data["db.prod.example"] names host "db.prod.example"`,
		},
		"Base64": {
			reason: "encoded", group: "example.io", resource: "widgets", object: `{"spec":{"blob":"` + encoded("see https://db.prod.example/x for it") + `"}}`,
			want: `spec.blob (base64) names host "db.prod.example"`,
		},
		"Percent": {
			reason: "percent-encoded", group: "example.io", resource: "widgets", object: `{"spec":{"u":"https://x.example/?to=db%2Eprod%2Eexample"}}`,
			want: `spec.u (percent-encoded) names host "db.prod.example"`,
		},
		"Status": {
			reason: "what was observed", group: "example.io", resource: "widgets", object: `{"status":{"message":"cannot reach db.prod.example"}}`,
		},
		"LastApplied": {
			reason: "how it was written before", group: "example.io", resource: "widgets",
			object: `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"spec\":{\"u\":\"db.prod.example\"}}"}}}`,
		},
		"OtherHost": {
			reason: "another host", group: "example.io", resource: "widgets", object: `{"spec":{"u":"adb.prod.example","v":"db.prod.example.org"}}`,
		},
		"Report":        {reason: "what repeats the address that it is about", group: "openreports.io", resource: "reports", object: `{"results":[{"message":"db.prod.example"}]}`},
		"ClusterReport": {reason: "the same, of a cluster-scoped object", group: "openreports.io", resource: "clusterreports", object: `{"results":[{"message":"db.prod.example"}]}`},
		"PolicyReport":  {reason: "the same, of the older API", group: "wgpolicyk8s.io", resource: "policyreports", object: `{"results":[{"message":"db.prod.example"}]}`},
		"Events":        {reason: "an event", resource: "events", object: `{"message":"cannot reach db.prod.example"}`},
		"Policies": {
			reason: "a policy that shuts production out", group: "networking.k8s.io", resource: "networkpolicies", object: `{"metadata":{"annotations":{"why":"not db.prod.example"}}}`,
		},
		"Broken": {reason: "no JSON", group: "example.io", resource: "widgets", object: `{"spec":`},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := follower(t, nil)
			var object map[string]any
			_ = json.Unmarshal([]byte(c.object), &object) // nil for what is broken
			r := &policy.Request{Operation: "CREATE", Group: c.group, Resource: c.resource, Namespace: "app", Object: object, Raw: []byte(c.object)}
			d := e.Evaluate(r)
			if d.Allowed != (c.want == "") || !strings.Contains(d.Message, c.want) {
				t.Errorf("%s: %q, want %q", c.reason, d.Message, c.want)
			}
			if e.Clean(r) && !d.Allowed {
				t.Errorf("%s: Clean lets it through", c.reason)
			}
		})
	}
}

// Clean never contradicts Evaluate.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"a":"db.prod.example"}}`, `{"data":{"a":"jdbc://DB.prod.example:1/x"}}`, `{"data":{"a":"s3.example/prod-backups/x"}}`,
		`{"data":{"a":"https://s3.example:443//prod-backups"}}`, `{"binaryData":{"a":"ZGIucHJvZC5leGFtcGxl"}}`, `{"data":{"a":"db.prod.example."}}`,
	} {
		f.Add(seed)
	}
	e, _ := follower(&testing.T{}, nil)
	f.Fuzz(func(t *testing.T, text string) {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil {
			return
		}
		for _, resource := range []string{"configmaps", "widgets"} {
			r := &policy.Request{Operation: "CREATE", Resource: resource, Namespace: "app", Object: object, Raw: []byte(text)}
			if d := e.Evaluate(r); !d.Allowed && e.Clean(r) {
				t.Errorf("%s: Clean, but %s", text, d.Message)
			}
		}
	})
}
