// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	diffs "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/flow"
)

func learnKindOf(t testing.TB, table *flow.Table, group, resource string) fleet.LearnKind {
	t.Helper()
	l := learning(table)
	i := slices.IndexFunc(l.Kinds, func(k fleet.LearnKind) bool { return k.Group == group && k.Resource == resource })
	if i < 0 {
		t.Fatalf("nothing is learned from %s of %q", resource, group)
	}
	return l.Kinds[i]
}

func objectOf(t testing.TB, text string) map[string]any {
	t.Helper()
	object := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestExtract(t *testing.T) {
	const location = "{metadata: {namespace: velero}, spec: {provider: %s, objectStorage: {bucket: %s}, config: {%s}}}"
	for name, c := range map[string]struct {
		group, resource, object string
		want                    []string
	}{
		"Bucket": {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "velero.io/aws", "Prod, prefix: sc", "s3Url: 'https://S3.sto2.example:443'"),
			[]string{"Bucket s3.sto2.example/prod/sc spec.objectStorage.bucket"}},
		"AWS":             {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "aws", "prod", "region: eu-north-1"), []string{"Bucket aws/prod spec.objectStorage.bucket"}},
		"Google":          {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "gcp", "prod", ""), []string{"Bucket gcs/prod spec.objectStorage.bucket"}},
		"OtherProvider":   {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "azure", "velero", ""), nil},
		"ShortEndpoint":   {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "aws", "velero", "s3Url: 'http://minio:9000'"), nil},
		"ServiceEndpoint": {"velero.io", "backupstoragelocations", fmt.Sprintf(location, "aws", "velero", "s3Url: 'http://minio.velero.svc:9000'"), nil},
		"NoBucket":        {"velero.io", "backupstoragelocations", "{spec: {config: {s3Url: 'https://s3.sto2.example'}}}", nil},
		"WrongTypes":      {"velero.io", "backupstoragelocations", "{spec: {provider: 1, objectStorage: {bucket: {a: b}}, config: [1]}}", nil},
		"Null":            {"velero.io", "backupstoragelocations", "{spec: null}", nil},
		"Volume": {"", "persistentvolumes", "{metadata: {name: pv}, spec: {csi: {driver: cinder.csi.openstack.org, volumeHandle: 0B1F}, claimRef: {namespace: shop}}}",
			[]string{"Volume cinder.csi.openstack.org/0b1f spec.csi.volumeHandle"}},
		"NFS":        {"", "persistentvolumes", "{spec: {nfs: {server: nfs.prod.example, path: /export}}}", []string{"Volume nfs/nfs.prod.example/export spec.nfs.server"}},
		"PrivateNFS": {"", "persistentvolumes", "{spec: {nfs: {server: 10.0.0.5, path: /export}}}", nil},
		"Vault": {"external-secrets.io", "secretstores", "{spec: {provider: {vault: {server: 'https://vault.example:8200', path: production}}}}",
			[]string{"SecretPath vault.example:8200/production spec.provider.vault.server"}},
		"DefaultMount": {"external-secrets.io", "secretstores", "{spec: {provider: {vault: {server: 'https://vault.example:8200', path: secret}}}}", nil},
		"LocalMinIO":   {"barmancloud.cnpg.io", "objectstores", "{spec: {configuration: {destinationPath: 's3://backups/', endpointURL: 'http://minio:9000'}}}", nil},
		"Barman": {"barmancloud.cnpg.io", "objectstores", "{spec: {configuration: {destinationPath: 's3://backups/', endpointURL: 'https://s3.sto2.example'}}}",
			[]string{"Bucket s3.sto2.example/backups spec.configuration.destinationPath"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := learnKindOf(t, flow.Builtin(), c.group, c.resource).Extract(objectOf(t, c.object))
			var got []string
			for _, f := range found {
				got = append(got, strings.Join([]string{f.Type, f.Value, f.Path}, " "))
			}
			if diff := diffs.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A kind of a user, as a MovementKind says it.
func TestExtractText(t *testing.T) {
	table, errs := flow.Builtin().Merge([]skottv1.MovementKindSpec{{
		Group: "acme.example", Kind: "Front", Resource: "fronts", Versions: []string{"v1"},
		Fields: []skottv1.MovementField{
			{Path: "spec.hosts[*]", Learn: true}, {Path: "spec.calls", Direction: flow.Names},
			{Path: "spec.image", Form: flow.Image, Learn: true}, {Path: "spec.push", Form: flow.Image, Direction: flow.To, Learn: true},
			{Path: "status.ip", Form: flow.IP, Learn: true}, {Path: "status.name", Form: flow.IP, Learn: true},
		},
	}})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	kind := learnKindOf(t, table, "acme.example", "fronts")
	namespace, found := kind.Extract(objectOf(t, `
metadata: {namespace: shop}
spec:
  hosts: [Shop.Prod.Example, "*.prod.example", shop.prod.example, "https://api.prod.example:8443/v1", "a.prod.example, b.prod.example", web.svc, localhost, 10.0.0.1]
  calls: login.example
  image: harbor.example/customer/web:1
  push: harbor.example/customer/built:1
status: {ip: 192.0.2.7, name: lb-1.elb.example}
`))
	want := []fleet.Found{
		{Type: "Host", Value: "shop.prod.example", Path: "spec.hosts[*]"}, {Type: "Host", Value: "api.prod.example", Path: "spec.hosts[*]"},
		{Type: "Host", Value: "a.prod.example", Path: "spec.hosts[*]"}, {Type: "Host", Value: "b.prod.example", Path: "spec.hosts[*]"},
		{Type: "Registry", Value: "harbor.example/customer/built", Path: "spec.push"},
		{Type: "CIDR", Value: "192.0.2.7/32", Path: "status.ip"}, {Type: "Host", Value: "lb-1.elb.example", Path: "status.name"},
	}
	if diff := diffs.Diff(want, found); diff != "" || namespace != "shop" {
		t.Errorf("in namespace %q:\n%s", namespace, diff)
	}
	if a, b := learning(flow.Builtin()).Revision, learning(table).Revision; a == b {
		t.Error("another table has the same revision")
	}
	if a, b := learning(flow.Builtin()).Revision, learning(flow.Builtin()).Revision; a != b {
		t.Errorf("the same table has revisions %s and %s", a, b)
	}
}

// update rewrites what follows from the table of movement kinds.
var update = flag.Bool("update", false, "rewrite config/rbac/learner.yaml")

// In the Ops Cluster the operator may read only what it was installed with.
func TestRoleOfTheLearner(t *testing.T) {
	const name = "../../config/rbac/learner.yaml"
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(content), "rules:\n")
	_, tail, _ := strings.Cut(rest, "---\n")
	byGroup := map[string][]string{}
	for _, k := range learning(flow.Builtin()).Kinds {
		byGroup[k.Group] = append(byGroup[k.Group], k.Resource)
	}
	var rules strings.Builder
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		slices.Sort(byGroup[group])
		fmt.Fprintf(&rules, "- apiGroups: [%s]\n  resources: [%s]\n  verbs: [get, list, watch]\n",
			cmp.Or(group, `""`), strings.Join(byGroup[group], ", "))
	}
	want := head + "rules:\n" + rules.String() + "---\n" + tail
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := diffs.Diff(want, string(content)); diff != "" {
		t.Errorf("%s is out of date, run: go test ./internal/controller -run TestRoleOfTheLearner -update\n%s", name, diff)
	}
}
