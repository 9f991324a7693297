// SPDX-License-Identifier: Apache-2.0

package scan_test

// platform is what people write in the Ops Cluster on the first day: they watch before they refuse.
const platform = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: production}
spec: {stage: production}
---
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec: {stage: staging}
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: production}
spec:
  environmentRef: {name: production}
  addresses:
  - {type: Host, value: "*.db.prod.example"}
  - {type: Bucket, value: "https://s3.example/prod-backups"}
---
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: staging}
spec:
  environmentRef: {name: staging}
  addresses: [{type: Host, value: "*.db.stage.example"}]
---
apiVersion: skott.dev/v1alpha1
kind: DataBoundary
metadata: {name: customer-data}
spec: {action: Audit}
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
const shared = `
apiVersion: skott.dev/v1alpha1
kind: DataLocation
metadata: {name: shared}
spec:
  environmentRef: {name: production}
  shared: true
  addresses: [{type: Host, value: resolver.db.prod.example}]
`

// integration is an Environment that has no cluster, and preview a namespace of it, which crosses.
const (
	integration = `
apiVersion: skott.dev/v1alpha1
kind: Environment
metadata: {name: integration}
spec: {stage: integration}
`
	preview = `
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

// member is a Management Cluster, of which nothing is learned: what crosses here is declared.
const member = `
apiVersion: skott.dev/v1alpha1
kind: ManagementCluster
metadata: {name: mc-%[1]s}
spec:
  environmentRef: {name: %[2]s}
  datacenter: %[3]s
  role: Management
  learn: {disabled: true}
  connection: {kubeconfigSecretRef: {namespace: skott-system, name: mc-%[1]s}}
`

// oldStaging has grown for years: five objects of four kinds get at production, one of them in a system namespace.
const oldStaging = `
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
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: importer, namespace: shop}
spec:
  selector: {matchLabels: {app: importer}}
  template:
    metadata: {labels: {app: importer}}
    spec:
      containers:
      - {name: importer, image: registry.example/importer:1, env: [{name: DB, value: "reports.db.prod.example"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: registry.example/web:1, env: [{name: DB, value: "web.db.stage.example"}]}
`

// oldProduction sends one report into staging.
const oldProduction = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: exporter, namespace: default}
spec:
  selector: {matchLabels: {app: exporter}}
  template:
    metadata: {labels: {app: exporter}}
    spec:
      containers:
      - {name: exporter, image: registry.example/exporter:1, env: [{name: TARGET, value: "reports.db.stage.example"}]}
`

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
