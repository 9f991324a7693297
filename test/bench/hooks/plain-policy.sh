#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# A product for "make bench-admission": the ValidatingAdmissionPolicy that an administrator would write, with a list of
# addresses and "contains". Copy it to put another product beside Skott.
#
#   start       install the product, so that it acts in the namespace $BENCH_NAMESPACE and nowhere else. It may print the
#               process ids of what it started, one a line: their CPU time and memory are then measured.
#   apply FILE  refuse every object that names one of the addresses in FILE, one a line, in place of those before.
#   stop        remove everything, and end what was started.
#
# $KUBECONFIG leads to the API server, as its administrator; $KUBECTL is a kubectl. The namespace has the label
# kubernetes.io/metadata.name, as every namespace has.
set -eu
name=bench-plain-policy

case "$1" in
start)
	"$KUBECTL" apply -f - >&2 <<YAML
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $name}
spec:
  failurePolicy: Fail
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules:
    - {apiGroups: [velero.io], apiVersions: [v1], resources: [backupstoragelocations], operations: [CREATE, UPDATE]}
    - {apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE, UPDATE]}
    - {apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}
  variables:
  - name: addresses
    expression: params.data.addresses.split('\n')
  - name: values
    expression: >-
      object.kind == 'BackupStorageLocation' ? [object.spec.config.s3Url + '/' + object.spec.objectStorage.bucket] :
      object.kind == 'Deployment' ? object.spec.template.spec.containers.map(c, has(c.env) ? c.env.filter(e, has(e.value)).map(e, e.value).join('\n') : '') :
      has(object.data) ? object.data.map(k, object.data[k]) : []
  validations:
  - expression: "!variables.values.exists(v, variables.addresses.exists(a, v.contains(a)))"
    message: names an address of production
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $name}
spec:
  policyName: $name
  validationActions: [Deny]
  paramRef: {name: $name, namespace: default, parameterNotFoundAction: Deny}
  matchResources:
    namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: $BENCH_NAMESPACE}
YAML
	;;
apply)
	"$KUBECTL" --namespace default create configmap $name --from-file=addresses="$2" --dry-run=client -o yaml |
		"$KUBECTL" apply --server-side --force-conflicts -f - >&2
	;;
stop)
	"$KUBECTL" delete --ignore-not-found validatingadmissionpolicybinding/$name validatingadmissionpolicy/$name >&2
	"$KUBECTL" --namespace default delete --ignore-not-found configmap/$name >&2
	;;
*)
	echo "usage: $0 start | apply FILE | stop" >&2
	exit 2
	;;
esac
