// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
)

// follower is a staging cluster with some objects in it, and what production owns.
func follower(t *testing.T, kinds []skottv1.MovementKindSpec, objects ...string) (*policy.Evaluator, func(group, resource, namespace, name string) map[string]any) {
	t.Helper()
	s := load.Snapshot(0,
		skottv1.Address{Type: "Bucket", Value: "https://s3.example/prod-backups"},
		skottv1.Address{Type: "Host", Value: "db.prod.example"},
		skottv1.Address{Type: "Volume", Value: "csi.example/vol-0123456789"},
		skottv1.Address{Type: "SecretPath", Value: "https://vault.example/secret/prod"},
		skottv1.Address{Type: "SecretPath", Value: "https://vault.example/kv/data/prod"},
		skottv1.Address{Type: "Git", Value: "https://git.example/platform/apps/clusters/prod"},
	)
	rules, errs := policy.NewRules(kinds...)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Rules = rules
	e := policy.NewEvaluator(policy.New(s).Guards(load.Staging, nil, rules.AllFamilies())...)
	stored := map[string]map[string]any{}
	for _, text := range objects {
		o := decoded(t, text)
		meta, _ := o["metadata"].(map[string]any)
		namespace, _ := meta["namespace"].(string)
		stored[o["kind"].(string)+" "+namespace+"/"+meta["name"].(string)] = o
	}
	return e, func(group, resource, namespace, name string) map[string]any {
		return stored[e.Table().Lookup(group, resource).Kind+" "+namespace+"/"+name]
	}
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const rcloneSecret = "{kind: Secret, metadata: {namespace: app, name: rclone}, data: {rclone.conf: %s}}"

// What a single object does not show is found through the objects that it names, and a
// denial shows no more of them than the requester wrote.
func TestFollows(t *testing.T) {
	restores := skottv1.MovementKindSpec{
		Group: "example.io", Kind: "Restore", Resource: "restores",
		Fields: []skottv1.MovementField{
			{Path: "spec.location", Form: "Reference", Direction: "From", To: &skottv1.MovementTarget{Group: "velero.io", Resource: "backupstoragelocations"}, With: map[string]string{"namespace": "spec.locationNamespace"}},
			{Path: "spec.template", Form: "Payload"},
			{Path: "spec.tree[name].branches[name].leaves[*]"},
		},
	}
	location := "{kind: BackupStorageLocation, metadata: {namespace: velero, name: nightly}, spec: {provider: aws, objectStorage: {bucket: prod-backups}, config: {s3Url: https://s3.example}}}"
	remote := strings.Replace(rcloneSecret, "%s", encoded("[remote]\ntype = s3\nendpoint = https://s3.example\n"), 1)
	pod := func(containers string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {namespace: app, name: sync}, spec: {containers: [" + containers + "]}}"
	}
	store := "{kind: SecretStore, metadata: {namespace: app, name: vault}, spec: {provider: {vault: {server: 'https://vault.example', path: secret}}}}"
	bare := strings.Replace(store, ", path: secret", "", 1)
	secret := func(spec string) string {
		return "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {namespace: app, name: db}, spec: {secretStoreRef: {name: vault}, " + spec + "}}"
	}
	repository := "{kind: GitRepository, metadata: {namespace: app, name: apps}, spec: {url: 'ssh://git@git.example/platform/apps.git'}}"
	kustomization := func(path string) string {
		return "{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {namespace: app, name: all}, spec: {path: " + path + ", sourceRef: {kind: GitRepository, name: apps}}}"
	}
	for name, c := range map[string]struct {
		reason, group, resource, object string
		objects                         []string
		want                            string // what the denial holds; "" for none
		hides                           string
	}{
		"Reference": {
			reason: "a restore reads what its location holds", group: "example.io", resource: "restores", objects: []string{location},
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {location: nightly, locationNamespace: velero}}",
			want:   `spec.location leads to bucket through "nightly", which belongs to Environment "production" (SKOTT-D102)`, hides: "prod-backups",
		},
		"Key": {
			reason: "a key of a store that all share is production's", group: "external-secrets.io", resource: "externalsecrets", objects: []string{store},
			object: secret("data: [{secretKey: a, remoteRef: {key: staging/db}}, {secretKey: b, remoteRef: {key: prod/db}}]"),
			want:   `spec.data[*].remoteRef.key leads to secret store through "prod/db", which belongs to Environment "production"`, hides: "vault.example",
		},
		"KeyOfStaging": {
			reason: "another key of the same store is not", group: "external-secrets.io", resource: "externalsecrets", objects: []string{store},
			object: secret("data: [{secretKey: a, remoteRef: {key: staging/db}}, {secretKey: b, remoteRef: {key: prodigy/db}}, {secretKey: c, remoteRef: {key: null}}, {remoteRef: 1}]"),
		},
		"KeyWithMount": {
			reason: "the mount may be said again", group: "external-secrets.io", resource: "externalsecrets", objects: []string{store},
			object: secret("dataFrom: [{extract: {key: secret/data/prod}}]"), want: `spec.dataFrom[*].extract.key leads to secret store through "secret/data/prod"`,
		},
		"KeyInAll": {
			reason: "or stand in the key alone", group: "external-secrets.io", resource: "externalsecrets", objects: []string{bare},
			object: secret("dataFrom: [{find: {path: secret/data/prod/}}]"), want: `spec.dataFrom[*].find.path leads to secret store`,
		},
		"KeyOfNoStore": {
			reason: "a key of a store that is not there is no address", group: "external-secrets.io", resource: "externalsecrets",
			object: secret("data: [{secretKey: b, remoteRef: {key: prod/db}}]"),
		},
		"KeyOfOtherKind": {
			reason: "a ClusterSecretStore is meant", group: "external-secrets.io", resource: "externalsecrets", objects: []string{store},
			object: strings.Replace(secret("data: [{secretKey: b, remoteRef: {key: prod/db}}]"), "{name: vault}", "{name: vault, kind: ClusterSecretStore}", 1),
		},
		"KeyBehindTwo": {
			reason: "the server is two objects away", group: "secrets.hashicorp.com", resource: "vaultstaticsecrets", objects: []string{
				"{kind: VaultAuth, metadata: {namespace: app, name: auth}, spec: {vaultConnectionRef: vault}}",
				"{kind: VaultConnection, metadata: {namespace: app, name: vault}, spec: {address: 'https://vault.example:443'}}",
			},
			object: "{apiVersion: secrets.hashicorp.com/v1beta1, kind: VaultStaticSecret, metadata: {namespace: app}, spec: {vaultAuthRef: auth, mount: secret, path: prod/db}}",
			want:   `spec.path leads to secret store through "prod/db"`,
		},
		"KeyOfOwnStore": {
			reason: "what says its store itself is not of the store of all", group: "external-secrets.io", resource: "externalsecrets", objects: []string{store},
			object: secret("data: [{secretKey: b, remoteRef: {key: prod/db}, sourceRef: {storeRef: {name: other}}}]"),
		},
		"KeyOfSharedStore": {
			reason: "unless that is the shared one", group: "external-secrets.io", resource: "externalsecrets",
			objects: []string{store, strings.Replace(store, "name: vault", "name: other", 1)},
			object:  secret("data: [{secretKey: b, remoteRef: {key: prod/db}, sourceRef: {storeRef: {name: other}}}]"), want: `spec.data[*].remoteRef.key leads to secret store through "prod/db"`,
		},
		"KeyWithoutData": {
			reason: "data stands in the declared address alone", group: "external-secrets.io", resource: "externalsecrets", objects: []string{strings.Replace(store, "path: secret", "path: kv", 1)},
			object: secret("data: [{secretKey: b, remoteRef: {key: prod/db}}]"), want: `spec.data[*].remoteRef.key leads to secret store through "prod/db"`,
		},
		"KeyOfAllWithoutData": {
			reason: "also where the key has the mount", group: "external-secrets.io", resource: "externalsecrets", objects: []string{bare},
			object: secret("data: [{secretKey: b, remoteRef: {key: kv/prod/db}}]"), want: `spec.data[*].remoteRef.key leads to secret store through "kv/prod/db"`,
		},
		"ReferenceWithNamespace": {
			reason: "a reference may say its namespace itself", group: "secrets.hashicorp.com", resource: "vaultstaticsecrets", objects: []string{
				"{kind: VaultAuth, metadata: {namespace: vault, name: auth}, spec: {vaultConnectionRef: system/default}}",
				"{kind: VaultConnection, metadata: {namespace: system, name: default}, spec: {address: 'https://vault.example'}}",
			},
			object: "{apiVersion: secrets.hashicorp.com/v1beta1, kind: VaultStaticSecret, metadata: {namespace: app}, spec: {vaultAuthRef: vault/auth, mount: kv, path: prod/db}}",
			want:   `spec.path leads to secret store through "prod/db"`,
		},
		"PathInRepository": {
			reason: "a directory of a repository that all share", group: "kustomize.toolkit.fluxcd.io", resource: "kustomizations", objects: []string{repository},
			object: kustomization("./clusters/prod/apps"), want: `spec.path leads to repository through "./clusters/prod/apps"`,
		},
		"PathOfStaging": {
			reason: "another directory of it", group: "kustomize.toolkit.fluxcd.io", resource: "kustomizations", objects: []string{repository},
			object: kustomization("./clusters/staging"),
		},
		"PathOfWrongType": {
			reason: "a path that is none", group: "kustomize.toolkit.fluxcd.io", resource: "kustomizations", objects: []string{repository},
			object: kustomization("[./clusters/prod]"),
		},
		"ReferenceElsewhere": {
			reason: "the same name in another namespace is another object", group: "example.io", resource: "restores", objects: []string{location},
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {location: nightly}}",
		},
		"ReferenceToNothing": {
			reason: "what is not there says nothing", group: "example.io", resource: "restores",
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {location: nightly, locationNamespace: velero}}",
		},
		"Payload": {
			reason: "an object inside another counts as itself", group: "example.io", resource: "restores",
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {template: {apiVersion: v1, kind: ConfigMap, data: {url: db.prod.example}}}}",
			want:   `spec.template.data["url"] names host "db.prod.example"`,
		},
		"PayloadText": {
			reason: "also as text, in base64, as one of several documents", group: "example.io", resource: "restores",
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {template: " +
				encoded("kind: Other\n---\napiVersion: v1\nkind: ConfigMap\ndata: {url: db.prod.example}\n") + "}}",
			want: `spec.template.data["url"] names host "db.prod.example"`,
		},
		"PayloadOfNothing": {
			reason: "broken text is no object", group: "example.io", resource: "restores",
			object: "{apiVersion: example.io/v1, kind: Restore, metadata: {namespace: app}, spec: {template: ': :'}}",
		},
		"DeepLists": {
			reason: "no depth of lists hides an address", group: "example.io", resource: "restores",
			object: "{apiVersion: example.io/v1, kind: Restore, spec: {tree: [{name: a, branches: [{name: b, leaves: [x, db.prod.example]}]}]}}",
			want:   `spec.tree["a"].branches["b"].leaves[*] names host "db.prod.example"`,
		},
		"Rclone": {
			reason: "the endpoint stands in a Secret, the bucket in the arguments", resource: "pods", objects: []string{remote},
			object: pod("{name: rclone, args: [sync, 'remote:prod-backups/daily', /data], envFrom: [{secretRef: {name: rclone}}]}"),
			want:   `spec.containers["rclone"].args[*] names bucket "prod-backups/daily", which belongs to Environment "production" (SKOTT-D102)`,
		},
		"RcloneOtherBucket": {
			reason: "another bucket at the same endpoint", resource: "pods", objects: []string{remote},
			object: pod("{name: rclone, args: [sync, 'remote:staging-backups', /data], envFrom: [{secretRef: {name: rclone}}]}"),
		},
		"RcloneMounted": {
			reason: "a Secret that is mounted", resource: "pods", objects: []string{remote},
			object: "{apiVersion: v1, kind: Pod, metadata: {namespace: app}, spec: {containers: [{name: rclone, args: ['remote:prod-backups']}], volumes: [{name: c, secret: {secretName: rclone}}]}}",
			want:   `names bucket "prod-backups"`,
		},
		"EndpointOption": {
			reason: "the two stand in different arguments", resource: "pods",
			object: pod("{name: aws, args: [s3, cp, --endpoint-url, 'https://s3.example', 's3://prod-backups/x', .]}"),
			want:   `names bucket "prod-backups/x"`,
		},
		"BucketVariable": {
			reason: "the bucket is a variable of that name", resource: "pods",
			object: pod("{name: app, env: [{name: S3_ENDPOINT, value: s3.example}, {name: S3_BUCKET, value: prod-backups}]}"),
			want:   `spec.containers["app"].env["S3_BUCKET"].value names bucket "prod-backups"`,
		},
		"BareWord": {
			reason: "a word that happens to be the name of a bucket", resource: "pods",
			object: pod("{name: app, env: [{name: S3_ENDPOINT, value: s3.example}, {name: JOB, value: prod-backups}]}"),
		},
		"SecretOfPod": {
			reason: "a Secret that names production, made before the policy was", resource: "pods",
			objects: []string{strings.Replace(rcloneSecret, "%s", encoded("postgres://db.prod.example/app"), 1)},
			object:  pod("{name: app, env: [{name: URL, valueFrom: {secretKeyRef: {name: rclone, key: url}}}]}"),
			want:    `spec.containers["app"].env["URL"].valueFrom.secretKeyRef.name leads to host through "rclone"`, hides: "db.prod.example",
		},
		"PlainSecret": {
			reason: "stringData is what the API server makes data of", resource: "secrets",
			object: "{apiVersion: v1, kind: Secret, metadata: {namespace: app, name: a}, stringData: {url: 'postgres://db.prod.example/app'}}",
			want:   `data["url"] names host "db.prod.example"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, lookup := follower(t, []skottv1.MovementKindSpec{restores}, c.objects...)
			r := &policy.Request{Operation: "CREATE", Group: c.group, Resource: c.resource, Namespace: "app", Object: decoded(t, c.object), Lookup: lookup}
			d := e.Evaluate(r)
			if d.Allowed != (c.want == "") || !strings.Contains(d.Message, c.want) {
				t.Errorf("%s: %q, want %q", c.reason, d.Message, c.want)
			}
			if c.hides != "" && strings.Contains(d.Message, c.hides) {
				t.Errorf("%s: %q shows %q", c.reason, d.Message, c.hides)
			}
		})
	}
}

// Objects that name each other in a ring, or very many others, end.
func TestFollowsNoRing(t *testing.T) {
	ring := skottv1.MovementKindSpec{Group: "example.io", Kind: "Ring", Resource: "rings", Fields: []skottv1.MovementField{
		{Path: "spec.next[*]", Form: "Reference", To: &skottv1.MovementTarget{Group: "example.io", Resource: "rings"}},
	}}
	e, _ := follower(t, []skottv1.MovementKindSpec{ring})
	calls := 0
	next := make([]any, 500)
	for i := range next {
		next[i] = strings.Repeat("x", i+1)
	}
	object := map[string]any{"spec": map[string]any{"next": next}}
	d := e.Evaluate(&policy.Request{Operation: "CREATE", Group: "example.io", Resource: "rings", Object: object, Lookup: func(_, _, _, _ string) map[string]any {
		calls++
		return object
	}})
	if !d.Allowed || calls > 100 {
		t.Errorf("%d objects looked up, allowed %t", calls, d.Allowed)
	}
}
