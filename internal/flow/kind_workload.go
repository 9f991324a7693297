// SPDX-License-Identifier: Apache-2.0

package flow

import "github.com/skott-dev/skott/internal/address"

// Workload: pods, and everything that holds a pod template; ConfigMaps, which pods mount.
//
// Read from: core v1, apps/v1, batch/v1. The usual way production data reaches staging is a
// dump or restore job with no kind of its own, so env values, commands and arguments are
// read as free text; ephemeral containers arrive through pods/ephemeralcontainers. An image
// of a production registry project is customer data (requirements R5).
func workloadKinds() []Kind {
	templates := []struct{ group, version, resource, kind, path string }{
		{"", "v1", "pods", "Pod", "spec"},
		{"", "v1", "podtemplates", "PodTemplate", "template.spec"},
		{"", "v1", "replicationcontrollers", "ReplicationController", "spec.template.spec"},
		{"apps", "v1", "deployments", "Deployment", "spec.template.spec"},
		{"apps", "v1", "statefulsets", "StatefulSet", "spec.template.spec"},
		{"apps", "v1", "daemonsets", "DaemonSet", "spec.template.spec"},
		{"apps", "v1", "replicasets", "ReplicaSet", "spec.template.spec"},
		{"batch", "v1", "jobs", "Job", "spec.template.spec"},
		{"batch", "v1", "cronjobs", "CronJob", "spec.jobTemplate.spec.template.spec"},
	}
	out := make([]Kind, 0, len(templates))
	for _, t := range templates {
		k := Kind{Group: t.group, Version: t.version, Resource: t.resource, Kind: t.kind, Family: Workload, Root: t.path, Rows: "podSpec", Fields: podFields()}
		if t.kind == "Pod" {
			k.Subresources = []string{"ephemeralcontainers"}
		}
		out = append(out, k)
	}
	return out
}

// podFields are the rows of a pod spec.
func podFields() []Field {
	var out []Field
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		c := list + "[name]."
		out = append(out,
			Field{Path: c + "image", Form: Image, Type: address.Registry, Direction: From},
			Field{Path: c + "env[name].value", Form: Text, Type: address.Host, Direction: Names},
			Field{Path: c + "command[*]", Form: Text, Type: address.Host, Direction: Names},
			Field{Path: c + "args[*]", Form: Text, Type: address.Host, Direction: Names},
		)
	}
	const v = "volumes[name]."
	return append(out,
		Field{Path: v + "nfs.server", Form: Join, Const: "nfs", Type: address.Volume, Direction: Names, With: []string{"", v + "nfs.path"}},
		Field{Path: v + "nfs.server", Form: Text, Type: address.Host, Direction: Names},
		Field{Path: v + "csi.volumeAttributes{*}", Form: Text, Type: address.Host, Direction: Names},
		Field{Path: v + "image.reference", Form: Image, Type: address.Registry, Direction: From},
	)
}

// configKinds are read as free text: keys hold whole configuration files.
var configKinds = []Kind{{
	Version: "v1", Resource: "configmaps", Kind: "ConfigMap", Family: Config,
	Fields: []Field{{Path: "data{*}", Form: Text, Type: address.Host, Direction: Names}},
}}
