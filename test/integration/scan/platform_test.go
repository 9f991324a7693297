// SPDX-License-Identifier: Apache-2.0

package scan_test

import "fmt"

// platform is what people write in the Ops Cluster on the first day: they watch before they refuse.
const platform = `
Environment production {stage: production}
Environment staging {stage: staging}
DataLocation production {environmentRef: {name: production}, addresses: [{type: Host, value: "*.db.prod.example"}, {type: Bucket, value: "https://s3.example/prod-backups"}]}
DataLocation staging {environmentRef: {name: staging}, addresses: [{type: Host, value: "*.db.stage.example"}]}
DataBoundary customer-data {action: Audit}
`

// upstream is where production gets something from staging.
const upstream = `
apiVersion: v1
kind: ConfigMap
metadata: {name: upstream, namespace: default}
data: {url: "https://reports.db.stage.example/today"}
`

// corrected is the Service of oldStaging as it should be.
const corrected = `
apiVersion: v1
kind: Service
metadata: {name: orders-db, namespace: shop}
spec: {type: ExternalName, externalName: orders.db.stage.example}
`

// shared is a resolver that production runs for everybody.
const shared = "DataLocation shared {environmentRef: {name: production}, shared: true, addresses: [{type: Host, value: resolver.db.prod.example}]}"

// integration is an Environment that has no cluster, and preview a namespace of it, which crosses.
const (
	integration = "Environment integration {stage: integration}"
	preview     = `
apiVersion: v1
kind: Namespace
metadata: {name: preview, labels: {skott.dev/environment: integration}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: old, namespace: preview}
data: {url: "https://preview.db.prod.example"}
`
)

// oldStaging has grown for years: five objects of four kinds get at production, one of them in a system namespace.
var oldStaging = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: velero}}
---
apiVersion: v1
kind: Service
metadata: {name: orders-db, namespace: shop}
spec: {type: ExternalName, externalName: orders.db.prod.example}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: orders, namespace: shop}
data: {url: "postgres://orders.db.prod.example:5432/orders"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: dns-of-old, namespace: kube-system}
data: {upstream: "resolver.db.prod.example"}
---
apiVersion: velero.io/v1
kind: BackupStorageLocation
metadata: {name: default, namespace: velero}
spec:
  provider: aws
  objectStorage: {bucket: prod-backups}
  config: {s3Url: "https://s3.example"}
---` + deployment("shop", "importer", "DB", "reports.db.prod.example") + "---" + deployment("shop", "web", "DB", "web.db.stage.example")

// oldProduction sends one report into staging.
var oldProduction = deployment("default", "exporter", "TARGET", "reports.db.stage.example")

// deployment is one that a variable of its only container leads somewhere.
func deployment(namespace, name, variable, host string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      containers:
      - {name: %[2]s, image: registry.example/%[2]s:1, env: [{name: %[3]s, value: %[4]q}]}
`, namespace, name, variable, host)
}

// limited may do what docs/operations.md says that a kubeconfig must, but for the right to read what is scanned.
const limited = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: skott-bootstrap}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, create, update, patch]}
- {apiGroups: [""], resources: [serviceaccounts], verbs: [create, patch]}
- {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [skott-operator, skott-canary], verbs: [create]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles, clusterrolebindings, roles, rolebindings], verbs: [create, patch]}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles, roles]
  resourceNames: [skott-operator, skott-canary, skott-learner, skott-learner-secrets, skott-surveyor, skott-reporter%s]
  verbs: [bind, escalate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: skott-bootstrap}
subjects: [{kind: User, name: skott-bootstrap, apiGroup: rbac.authorization.k8s.io}]
roleRef: {kind: ClusterRole, name: skott-bootstrap, apiGroup: rbac.authorization.k8s.io}
`
