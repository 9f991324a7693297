// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"testing"
)

// deployment is what a chart renders for one application.
const deployment = `---
# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop-%[1]d
  namespace: team-%[2]d
  labels: &labels
    app.kubernetes.io/name: shop
    app.kubernetes.io/instance: shop-%[1]d
    app.kubernetes.io/managed-by: Helm
  annotations:
    checksum/config: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
spec:
  replicas: 2
  selector: {matchLabels: {app.kubernetes.io/instance: shop-%[1]d}}
  template:
    metadata: {labels: {app.kubernetes.io/instance: shop-%[1]d}}
    spec:
      serviceAccountName: shop
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: app
        image: registry.example/team/shop:1.%[1]d.0
        args: ["--config=/etc/shop/config.yaml", "--log-level=info"]
        env:
        - {name: PGHOST, value: db.shop.svc}
        - {name: PGUSER, valueFrom: {secretKeyRef: {name: db, key: user}}}
        - {name: PGPASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
        - {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector.observability.svc:4317"}
        ports:
        - {name: http, containerPort: 8080}
        - {name: metrics, containerPort: 9090}
        livenessProbe: {httpGet: {path: /healthz, port: http}}
        readinessProbe: {httpGet: {path: /readyz, port: http}}
        resources:
          requests: {cpu: 100m, memory: 128Mi}
          limits: {memory: 256Mi}
        volumeMounts:
        - {name: config, mountPath: /etc/shop}
      volumes:
      - {name: config, configMap: {name: shop-%[1]d}}
---
# Source: shop/templates/configmap.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-%[1]d, namespace: team-%[2]d}
data:
  config.yaml: |
    listen: 0.0.0.0:8080
    upstream: https://catalogue.staging.example/v1
    database: {host: db.shop.svc, port: 5432}
    features: [search, basket, checkout]
`

// repository writes manifests of that many objects and returns the folder.
func repository(t testing.TB, objects int) string {
	t.Helper()
	folder := t.TempDir()
	for n := 0; n < objects; n += 20 {
		var b strings.Builder
		for i := range 10 {
			fmt.Fprintf(&b, deployment, n+i, n%7)
		}
		write(t, folder, fmt.Sprintf("team-%d/app-%d.yaml", n%7, n), b.String())
	}
	return folder
}

// A repository of 5,000 objects is checked in a couple of seconds.
func BenchmarkCheck(b *testing.B) {
	folder := repository(b, 5000)
	b.ReportAllocs()
	for b.Loop() {
		a := run(b, "", "check", "-f", folder, "--snapshot", "testdata/hub.yaml", "--environment", "staging")
		if a.code != exitClean || !strings.Contains(a.err, "5000 objects checked") {
			b.Fatalf("exit status %d: %s%s", a.code, a.out, a.err)
		}
	}
}
