// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"maps"
	"slices"
	"strings"
)

// telling are names of fields, in lower case, behind which addresses stand in the APIs of
// what moves data.
var telling = map[string]bool{
	"bucket": true, "bucketname": true, "buckets": true, "endpoint": true, "endpointurl": true, "endpoints": true, "s3": true,
	"s3url": true, "host": true, "hostname": true, "hosts": true, "url": true, "uri": true, "server": true, "serverurl": true,
	"address": true, "dsn": true, "connectionstring": true, "bootstrapservers": true, "brokers": true, "repourl": true,
	"repository": true, "destinationpath": true, "image": true, "projectid": true, "volumehandle": true, "snapshothandle": true,
	"externalname": true, "remoteref": true, "storageuri": true, "secretref": true, "secretname": true, "kubeconfig": true,
	"kubeconfigsecretref": true, "credentialssecret": true,
}

// innocent are groups in which such fields mean something else: they configure the cluster
// itself.
var innocent = map[string]bool{
	"apiextensions.k8s.io": true, "admissionregistration.k8s.io": true, "apiregistration.k8s.io": true, "rbac.authorization.k8s.io": true,
	"authentication.k8s.io": true, "authorization.k8s.io": true, "certificates.k8s.io": true, "coordination.k8s.io": true,
	"events.k8s.io": true, "policy": true, "scheduling.k8s.io": true, "node.k8s.io": true, "kustomize.config.k8s.io": true, "skott.dev": true,
}

// Telling reports whether a field of this name often holds an address.
func Telling(name string) bool { return telling[strings.ToLower(name)] }

// Innocent reports whether the kinds of a group configure a cluster itself, so that such
// fields mean something else in them.
func Innocent(group string) bool { return innocent[group] }

const (
	// maxSuspicions is how many fields of a kind are named.
	maxSuspicions = 8
	// maxSchemaDepth is how deep a schema is read.
	maxSchemaDepth = 16
)

// Suspicions are the fields, by path, that make a CustomResourceDefinition, as decoded JSON,
// look as if its kind moved data: none if it does not.
func Suspicions(crd map[string]any) []string {
	spec, _ := crd["spec"].(map[string]any)
	if group, _ := spec["group"].(string); Innocent(group) {
		return nil
	}
	found := map[string]bool{}
	versions, _ := spec["versions"].([]any)
	for _, v := range versions {
		version, _ := v.(map[string]any)
		schema, _ := version["schema"].(map[string]any)
		root, _ := schema["openAPIV3Schema"].(map[string]any)
		properties, _ := root["properties"].(map[string]any)
		for name, p := range properties {
			if name != "metadata" && name != "status" && name != "apiVersion" && name != "kind" {
				suspect(found, p, name, name, 0)
			}
		}
	}
	paths := slices.Sorted(maps.Keys(found))
	slices.SortStableFunc(paths, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
	return paths[:min(len(paths), maxSuspicions)]
}

func suspect(found map[string]bool, schema any, path, name string, depth int) {
	node, _ := schema.(map[string]any)
	if node == nil || depth > maxSchemaDepth || len(found) > 64 {
		return
	}
	if Telling(name) {
		found[path] = true
		return
	}
	properties, _ := node["properties"].(map[string]any)
	for child, p := range properties {
		suspect(found, p, path+"."+child, child, depth+1)
	}
	if items, ok := node["items"].(map[string]any); ok {
		suspect(found, items, path+"[*]", name, depth+1)
	}
	if values, ok := node["additionalProperties"].(map[string]any); ok {
		suspect(found, values, path+"{*}", "", depth+1)
	}
}
