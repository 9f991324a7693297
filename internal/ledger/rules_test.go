// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"os"
	"strings"
	"testing"

	"github.com/skott-dev/skott/internal/address"
)

func TestDistinct(t *testing.T) {
	for _, c := range []struct {
		kind address.Type
		text string
		want string // canonical; "" if it is not learned
	}{
		{address.Bucket, "s3.sto2.example/velero-prod/sc", "s3.sto2.example/velero-prod/sc"},
		{address.Bucket, "aws/velero-prod", "aws/velero-prod"},
		{address.Bucket, "gs://velero-prod", "gcs/velero-prod"},
		{address.Bucket, "s3.sto2.example", ""},
		{address.Bucket, "minio.velero.svc:9000/velero", ""},
		{address.Bucket, "minio.velero.svc.cluster.local:9000/velero", ""},
		{address.Bucket, "10.0.0.7:9000/velero", ""},
		{address.Bucket, "192.0.2.7:9000/velero", "192.0.2.7:9000/velero"},
		{address.Bucket, "minio.lan/velero", ""},
		{address.Host, "Shop.Prod.Example.", "shop.prod.example"},
		{address.Host, "*.prod.example", ""},
		{address.Host, "shop", ""},
		{address.Host, "shop.default.svc", ""},
		{address.Host, "localhost", ""},
		{address.Host, "grafana.local", ""},
		{address.Host, "app.192.0.2.1.nip.io", ""},
		{address.Host, "co.uk", ""},
		{address.Host, "github.io", ""},
		{address.Host, "shop.co.uk", "shop.co.uk"},
		{address.CIDR, "192.0.2.1", "192.0.2.1/32"},
		{address.CIDR, "2001:db8::1", "2001:db8::1/128"},
		{address.CIDR, "192.0.2.0/24", ""},
		{address.CIDR, "10.0.0.1", ""},
		{address.CIDR, "sto2/10.0.0.1", ""},
		{address.CIDR, "100.64.0.1", ""},
		{address.CIDR, "224.0.0.1", ""},
		{address.CIDR, "0.0.0.0", ""},
		{address.Volume, "cinder.csi.openstack.org/0b1f-22", "cinder.csi.openstack.org/0b1f-22"},
		{address.Volume, "persistentvolume/data-0", ""},
		{address.Volume, "nfs/nfs.prod.example/export", "nfs/nfs.prod.example/export"},
		{address.Volume, "nfs/10.0.0.5/export", ""},
		{address.Snapshot, "cinder.csi.openstack.org/snap-1", "cinder.csi.openstack.org/snap-1"},
		{address.SecretPath, "vault.example/production", "vault.example/production"},
		{address.SecretPath, "vault.example:8200/secret", ""},
		{address.SecretPath, "vault.example/kv/", ""},
		{address.SecretPath, "vault.example/secret/data", ""},
		{address.SecretPath, "vault.example/secret/data/prod", "vault.example/secret/data/prod"},
		{address.SecretPath, "vault.vault.svc:8200/production", ""},
		{address.Project, "openstack/5b2e0c", "openstack/5b2e0c"},
		{address.Project, "openstack/openstack", ""},
		{address.Project, "gcp/default", ""},
		{address.Registry, "docker.io/library", ""},
		{address.Registry, "quay.io/team", ""},
		{address.Registry, "harbor.example/customer", "harbor.example/customer"},
		{address.Git, "git.example/org/repo", ""},
		{address.ClusterEndpoint, "api.prod.example:6443", ""},
		{address.ClusterEndpoint, "kubernetes.default.svc:443", ""},
		{address.Credential, "hmac-sha256:" + strings.Repeat("0a", 32), "hmac-sha256:" + strings.Repeat("0a", 32)},
		{address.Credential, "hunter2", ""},
		{"Namespace", "namespace/shop", ""},
		{"", "", ""},
	} {
		a, reason := Distinct(c.kind, c.text)
		if a.String() != c.want || a.IsValid() == (reason != "") {
			t.Errorf("Distinct(%s, %q) = %q, %q, want %q", c.kind, c.text, a, reason, c.want)
		}
	}
}

func FuzzDistinct(f *testing.F) {
	f.Add("Bucket", "s3.example/bucket")
	f.Add("Volume", "nfs/10.0.0.5/export")
	f.Add("CIDR", "::ffff:10.0.0.1")
	f.Fuzz(func(t *testing.T, kind, text string) {
		a, reason := Distinct(address.Type(kind), text)
		if a.IsValid() == (reason != "") {
			t.Fatalf("%q and reason %q", a, reason)
		}
		if !a.IsValid() {
			return
		}
		if again, reason := Distinct(a.Type(), a.String()); again != a {
			t.Fatalf("Distinct(%q) = %q, %s, want the same", a, again, reason)
		}
	})
}

// The page is what users decide by, so it says what the rules say.
func TestDocumentedRules(t *testing.T) {
	content, err := os.ReadFile("../../docs/learning.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Rules {
		learned, not, why := r.Learned, r.Not, r.Why
		for _, text := range []*string{&learned, &not, &why} {
			if *text == "" {
				*text = "-"
			}
		}
		row := "| " + strings.Join([]string{string(r.Type), learned, not, why}, " | ") + " |"
		if !strings.Contains(string(content), row+"\n") {
			t.Errorf("docs/learning.md lacks the row\n%s", row)
		}
	}
}
