// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The least that is accepted of each kind, and every field of it.
var (
	minimal = map[string]string{
		"Environment":       `{stage: staging}`,
		"ManagementCluster": `{environmentRef: {name: production}, datacenter: sto2, role: Management, connection: {inCluster: {}}}`,
		"DataLocation":      `{environmentRef: {name: production}, addresses: [{type: Project, value: openstack/abc}]}`,
		"DataBoundary":      `{action: Deny}`,
		"MovementKind":      `{group: movers.example, kind: Mover, resource: movers, fields: [{path: spec.bucket}]}`,
		"Guard":             guardSpec,
	}

	full = map[string][]string{
		"Environment": {`
spec: {stage: staging, class: Production, datacenters: [sto2], customerNamespaces: [cust-acme]}
status:
  ` + conditions + `
  managementClusters: 1
  workloadClusters: 2
  datacenters: [{name: sto2, managementClusters: 1, workloadClusters: 2}]
  violations: 3
  contested: 1
  parity: {clusters: 2, productionClusters: 3, measures: 4, missingCount: 1, missing: [{kind: PodSecurity, name: web, role: Workload, production: restricted,
    weaker: true, clusters: [cust-acme/acme], clusterCount: 1}]}
  isolation: [{environment: production, level: Node, clusters: [mc], clusterCount: 1}]`},
		"ManagementCluster": {
			clusterWith(`{kubeconfigSecretRef: {namespace: skott-system, name: mc, key: value}}`,
				`{mode: URL, url: "https://127.0.0.1:9443", urls: {a: "https://127.0.0.1:9444"}, caBundle: PEM}`),
			clusterWith(`{argoCDClusterSecretRef: {namespace: argocd, name: mc}}`, `{mode: Deploy, exemptNamespaces: [cni], textReader: Webhook}`),
			clusterWith(`{inCluster: {}}`, `{mode: "Off"}`),
		},
		"DataLocation": {`
spec:
  environmentRef: {name: production}
  addresses: [{type: Project, value: openstack/abc}]
  shared: true
  retention: 1h
status:
  ` + conditions + `
  originCount: 1
  seen: Pod ns/pod in mc
  firstSeen: "2026-01-02T03:04:05Z"
  lastSeen: "2026-01-02T03:04:05Z"
  origins:
  - {managementCluster: mc, cluster: ns/name, kind: Pod, namespace: ns, name: pod, path: spec,
     firstSeen: "2026-01-02T03:04:05Z", lastSeen: "2026-01-02T03:04:05Z"}`},
		"DataBoundary": {`
spec:
  from: ` + selector + `
  to: ` + selector + `
  action: Deny
  draft: {from: ` + selector + `, to: ` + selector + `, action: Warn}
status:
  ` + conditions + `
  guardedClusters: {desired: 3, enforced: 2, unreachable: 1}
  addresses: 4
  violations: 5
  contested: 1
  breakdown: [{environment: staging, datacenter: sto2, cluster: mc, kind: Pod, count: 2, since: "2026-01-02T03:04:05Z"}]
  draft: {violations: 3, newlyRefused: 1}
  denials: {count: 6, lastTime: "2026-01-02T03:04:05Z"}
  revision: abc`},
		"MovementKind": {
			kindWith(`{path: spec.handle, form: Join, type: Volume, direction: From, with: {before: spec.driver}, const: csi, end: Source, createOnly: true, learn: true}`),
			kindWith(`{path: spec.ref, form: Reference, to: {group: movers.example, resource: stores}}`),
		},
		"Guard": {"spec: " + guardSpec},
	}
)

const (
	conditions = `conditions:
  - {type: Ready, status: "False", reason: NotReady, message: m, observedGeneration: 1, lastTransitionTime: "2026-01-02T03:04:05Z"}`

	selector = `{classes: [Production], environments: [staging], selector: {matchLabels: {a: b}}}`

	guardSpec = `{cluster: {name: cust-acme/acme, managementCluster: mc, role: Workload, environment: staging,
  stage: staging, class: NonProduction, datacenter: sto2, textNamespaces: [kube-system]}, action: Deny, revision: abc,
  environments: {production: Production}, namespaces: {a: staging},
  crossings: {production: {staging: customer-data}}, addresses: {a: production}, parents: {a: production},
  depths: [2], suffixLabels: [2], prefixLengths: [16], hosts: {a: ""}, aliases: {x: a}, customerNamespaces: [cust-acme],
  families: [storage]}`
)

// kindWith is a MovementKind with one field.
func kindWith(field string) string {
	return `
spec:
  group: movers.example
  kind: Mover
  resource: movers
  scope: Cluster
  versions: [v1]
  subresources: [status]
  podSpecs: [spec.template.spec]
  fields: [` + field + `]
  hidden: What it copies.
status:
  ` + conditions
}

func clusterWith(connection, webhook string) string {
	return `
spec: {environmentRef: {name: production}, datacenter: sto2, role: Management, connection: ` + connection + `,
  learn: {disabled: true, secrets: true}, scan: {reports: None}, webhook: ` + webhook + `,
  audit: {tokenSecretRef: {name: mc-audit, key: token}}}
status:
  ungoverned: [{kind: Mover.movers.example, resource: movers, fields: [spec.bucket], clusters: [mc], clusterCount: 1}]
  ` + conditions + `
  kubernetesVersion: v1.36.3
  clusterAPIVersions: [v1beta2]
  workloadClusters: {total: 3, labelled: 2, guarded: 1}`
}

// object is an object of a kind from the YAML of its body.
func object(kind, name, body string) *unstructured.Unstructured {
	o := parse(body)
	o.SetAPIVersion("skott.dev/v1alpha1")
	o.SetKind(kind)
	o.SetName(name)
	return o
}

// least is the least that is accepted of a kind, with edits.
func least(kind, name string, set edits) *unstructured.Unstructured {
	return set.apply(object(kind, name, "spec: "+minimal[kind]))
}

// edits are values by path, segments separated by "/", list items by their number.
type edits map[string]any

// absent as a value removes the field.
type removed struct{}

var absent = removed{}

func (e edits) apply(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	for path, value := range e {
		edit(o.Object, strings.Split(path, "/"), value)
	}
	return o
}

// edit sets, adds or removes the value at a path. Maps on the way are created.
func edit(parent any, path []string, value any) {
	head, rest := path[0], path[1:]
	switch p := parent.(type) {
	case map[string]any:
		if len(rest) > 0 {
			if p[head] == nil {
				p[head] = map[string]any{}
			}
			edit(p[head], rest, value)
		} else if value == absent {
			delete(p, head)
		} else {
			p[head] = value
		}
	case []any:
		i, err := strconv.Atoi(head)
		if err != nil {
			panic(fmt.Sprintf("%q is no number of an item", head))
		}
		if len(rest) > 0 {
			edit(p[i], rest, value)
		} else {
			p[i] = value
		}
	default:
		panic(fmt.Sprintf("%v has no member %q", parent, head))
	}
}

// try creates an object by dry run: what is refused, and nothing else, is the answer.
func try(ctx context.Context, o *unstructured.Unstructured) error {
	return c.Create(ctx, o.DeepCopy(), client.DryRunAll)
}
