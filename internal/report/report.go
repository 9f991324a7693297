// SPDX-License-Identifier: Apache-2.0

// Package report says what is found in a cluster in the terms of the reports that others
// read: OpenReports, and the PolicyReports that came before it. It is pure.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/status"
)

// API is a group of kinds of reports.
type API struct {
	schema.GroupVersion
	// Kind and Resource of the reports about objects in a namespace, with the prefix
	// Cluster and cluster of the others.
	Kind, Resource string
}

// The APIs, the preferred first.
var (
	OpenReports   = API{schema.GroupVersion{Group: "openreports.io", Version: "v1alpha1"}, "Report", "reports"}
	PolicyReports = API{schema.GroupVersion{Group: "wgpolicyk8s.io", Version: "v1alpha2"}, "PolicyReport", "policyreports"}

	// APIs are both, in that order.
	APIs = []API{OpenReports, PolicyReports}
)

// Resources are those of the namespaced and of the cluster-scoped reports.
func (a API) Resources() (namespaced, cluster schema.GroupVersionResource) {
	return a.WithResource(a.Resource), a.WithResource("cluster" + a.Resource)
}

const (
	// Max is how many reports a cluster gets at most; etcd is not ours to fill.
	Max = 1000
	// maxResults of one report, and maxText of one text in it, in bytes.
	maxResults = 64
	maxText    = 4096

	// MaxCentral is how many reports stand in the Ops Cluster at most, of all clusters.
	MaxCentral = 5000

	source = "skott"
	// prefixOwn begins the names of reports that stand beside their objects.
	prefixOwn = "skott-"
	// category is the control that a crossing is about, as catalogues of them name it.
	category = "ISO/IEC 27001:2022 A.8.31"
)

// Of makes one report for each object that crosses, with its UID in its name and owned by
// it. What only a draft would forbid is none, and an object without a UID cannot own one.
func Of(api API, findings []status.Finding) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for i := range findings {
		if len(out) == Max {
			break
		}
		f := &findings[i]
		results := resultsOf(f)
		if f.UID == "" || f.Name == "" || f.Kind == "" || len(results) == 0 {
			continue
		}
		out = append(out, reportOf(api, f, results))
	}
	return out
}

// Central makes the reports about a cluster that stand in a namespace of the Ops Cluster.
// Nothing there can own them, and those about objects in no namespace stand there too. Of a
// cluster that is a copy of another, objects have the same UID: a name says the cluster too.
func Central(api API, namespace, cluster string, findings []status.Finding) []*unstructured.Unstructured {
	out := Of(api, findings)
	managementCluster, _, _ := strings.Cut(cluster, "/")
	sum := sha256.Sum256([]byte(cluster))
	prefix := managementCluster + "-" + hex.EncodeToString(sum[:4]) + "-"
	for _, u := range out {
		u.SetName(prefix + strings.TrimPrefix(u.GetName(), prefixOwn))
		u.SetOwnerReferences(nil)
		u.SetNamespace(namespace)
		u.SetKind(api.Kind)
		u.SetAnnotations(map[string]string{skottv1.AnnotationCluster: cluster})
		labels := u.GetLabels()
		labels[skottv1.LabelCentral], labels[skottv1.LabelManagementCluster] = "true", managementCluster
		u.SetLabels(labels)
		results, _ := u.Object["results"].([]any)
		for _, r := range results {
			result, _ := r.(map[string]any)
			if properties, ok := result["properties"].(map[string]any); ok {
				properties["cluster"] = bounded(cluster)
			}
		}
	}
	return out
}

// KeepTimes gives the results of a report the times of those that were there already: when
// something was found first outlives the process that found it.
func KeepTimes(u, there *unstructured.Unstructured) {
	before := map[[3]string]map[string]any{}
	each(there, func(key [3]string, result map[string]any) {
		if seconds, timed := secondsOf(result); timed {
			if last, twice := secondsOf(before[key]); !twice || seconds < last {
				before[key] = result
			}
		}
	})
	each(u, func(key [3]string, result map[string]any) {
		now, timed := secondsOf(result)
		// One of the future would never pass, if a clock was wrong.
		if first, known := secondsOf(before[key]); known && timed && first < now {
			result["timestamp"] = before[key]["timestamp"]
		}
	})
}

// each visits the results of a report, by what they are about.
func each(u *unstructured.Unstructured, visit func(key [3]string, result map[string]any)) {
	results, _ := u.Object["results"].([]any)
	for _, r := range results {
		result, ok := r.(map[string]any)
		if !ok {
			continue
		}
		key := [3]string{}
		key[0], _ = result["policy"].(string)
		key[1], _ = result["rule"].(string)
		properties, _ := result["properties"].(map[string]any)
		key[2], _ = properties["path"].(string)
		visit(key, result)
	}
}

func secondsOf(result map[string]any) (int64, bool) {
	timestamp, _ := result["timestamp"].(map[string]any)
	seconds, ok := timestamp["seconds"].(int64)
	return seconds, ok
}

func reportOf(api API, f *status.Finding, results []any) *unstructured.Unstructured {
	kind := api.Kind
	if f.Namespace == "" {
		kind = "Cluster" + kind
	}
	summary := map[string]any{"pass": int64(0), "fail": int64(len(results)), "warn": int64(0), "error": int64(0), "skip": int64(0)}
	u := &unstructured.Unstructured{Object: map[string]any{"scope": reference(f), "summary": summary, "results": results}}
	if api == OpenReports {
		u.Object["source"] = source
	}
	u.SetGroupVersionKind(api.WithKind(kind))
	u.SetNamespace(f.Namespace)
	u.SetName(prefixOwn + strings.ToLower(string(f.UID)))
	u.SetLabels(map[string]string{skottv1.LabelManagedBy: skottv1.FieldOwner})
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: f.APIVersion, Kind: f.Kind, Name: f.Name, UID: f.UID}})
	return u
}

func reference(f *status.Finding) map[string]any {
	out := map[string]any{"apiVersion": f.APIVersion, "kind": f.Kind, "name": f.Name, "uid": string(f.UID)}
	if f.Namespace != "" {
		out["namespace"] = f.Namespace
	}
	return out
}

func resultsOf(f *status.Finding) (out []any) {
	for _, v := range f.Violations {
		if v.Draft || v.Boundary == "" || len(out) == maxResults {
			continue
		}
		severity := "medium"
		if v.Action == skottv1.ActionDeny {
			severity = "high"
		}
		properties := map[string]any{}
		for key, value := range map[string]string{"action": string(v.Action), "code": v.Code, "path": v.Path, "fromEnvironment": v.From, "environment": v.To} {
			if value != "" {
				properties[key] = bounded(value)
			}
		}
		result := map[string]any{
			"source": source, "policy": v.Boundary, "rule": v.Code, "result": "fail", "severity": severity, "category": category,
			"message": bounded(v.Message), "properties": properties, "resources": []any{reference(f)}, "scored": true,
		}
		if !f.Since.IsZero() {
			result["timestamp"] = map[string]any{"seconds": f.Since.Unix(), "nanos": int64(0)}
		}
		out = append(out, result)
	}
	return out
}

func bounded(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.ToValidUTF8(text, "")
}
