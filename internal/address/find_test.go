// SPDX-License-Identifier: Apache-2.0

package address

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// found lists what Find says, as "address place@offset".
func found(f *Finder, text string) []string {
	var out []string
	f.Find([]byte(text), func(h Hit) bool {
		out = append(out, fmt.Sprintf("%s %s@%d", h.Address, h.Place, h.Offset))
		return true
	})
	return out
}

// foundDeep lists what FindDeep says, as "address (layers)@offset".
func foundDeep(t testing.TB, f *Finder, syntax Syntax, text string) []string {
	t.Helper()
	var out []string
	complete := f.FindDeep([]byte(text), syntax, func(h Hit) bool {
		out = append(out, fmt.Sprintf("%s (%s)@%d", h.Address, LayersText(h.Layers), h.Offset))
		return true
	})
	if !complete {
		t.Errorf("FindDeep of %d bytes was cut off", len(text))
	}
	return out
}

const volume = "5b0c2f0e-9d8c-4b7a-8f6e-5d4c3b2a1908"

// known is the platform and what only Find looks for.
var known = append([]string{
	"prod Volume cinder.csi.openstack.org/" + volume,
	"prod Volume ebs.csi.aws.com/vol-0a1b2c3d4e5f60718",
	"prod Volume csi.example/database",
	"prod Bucket s3://postgres-backups-2024/cnpg",
	"prod Bucket gs://wal",
	"prod Project aws/123456789012",
	"prod Registry registry.example/prod",
	"prod SecretPath https://vault.example/kv/prod",
	"prod Git https://git.example/org/infra",
	"prod Host db.prod.se",
	"prod Host a.bc",
	"prod Host eu.customers-of-ours.example",
}, platform...)

func TestFind(t *testing.T) {
	f := NewFinder(bookOf(t, known...), "sto2")
	for name, c := range map[string]struct {
		reason string
		text   string
		want   []string
	}{
		"Alone":            {"the host itself", "db.example", []string{"db.example prod@0"}},
		"URL":              {"in a URL", "postgres://u:p@db.example:5432/app?x=1", []string{"db.example prod@15"}},
		"Quoted":           {"in JSON", `{"a":"db.example"}`, []string{"db.example prod@6"}},
		"Key":              {"as a key", `{"data":{"db.example":"x"}}`, []string{"db.example prod@10"}},
		"Annotation":       {"as the name of an annotation", `{"annotations":{"db.example/x":""}}`, []string{"db.example prod@17"}},
		"LineBreak":        {"after a line break", "x\ndb.example\ny", []string{"db.example prod@2"}},
		"Underscore":       {"an underscore is part of no host", "x_db.example_y", []string{"db.example prod@2"}},
		"UpperCase":        {"case does not matter", "DB.Example", []string{"db.example prod@0"}},
		"TrailingDot":      {"a trailing dot", "host=db.example.", []string{"db.example prod@5"}},
		"TrailingDash":     {"a trailing dash", "db.example-", []string{"db.example prod@0"}},
		"Twice":            {"each time", "db.example,db.example", []string{"db.example prod@0", "db.example prod@11"}},
		"LongerLabel":      {"eu-db.example is another host", "eu-db.example", nil},
		"Below":            {"a host is not what lies below it", "x.db.example", nil},
		"LongerHost":       {"db.example.com is another host", "db.example.com", nil},
		"LongerTLD":        {"db.examples is another host", "db.examples", nil},
		"InPath":           {"the path of a mirror is the mirror's", "mirror.example/db.example", nil},
		"Short":            {"a short host", "x a.bc y", []string{"a.bc prod@2"}},
		"ShortLonger":      {"a short host within another", "aa.bc a.bcd", nil},
		"Short2":           {"a host with a short end", "(db.prod.se)", []string{"db.prod.se prod@1"}},
		"Wildcard":         {"below a suffix", "a.b.customers.example", []string{"*.customers.example prod@0"}},
		"WildcardItself":   {"the suffix itself", "customers.example", nil},
		"WildcardLonger":   {"the more specific owner", "a.eu.customers.example", []string{"*.eu.customers.example prod-eu@0"}},
		"WildcardOther":    {"a label that ends alike", "evilcustomers.example x.evilcustomers.example", nil},
		"Shared":           {"a shared host", "status.customers.example", nil},
		"SharedEndpoint":   {"a shared endpoint", "https://s3.example", nil},
		"Staging":          {"another owner", "demo.customers.example", []string{"demo.customers.example staging@0"}},
		"Bucket":           {"endpoint and bucket", "https://S3.example:443/prod/a", []string{"s3.example/prod prod@8"}},
		"BucketSlashes":    {"slashes and dots in between", "s3.example//./prod", []string{"s3.example/prod prod@0"}},
		"BucketLonger":     {"another bucket", "s3.example/production", nil},
		"BucketAbove":      {"the bucket above a prefix is no hit: direction and type tell", "s3.example/both", nil},
		"BucketAlone":      {"the name of a bucket means nothing", `"prod" "postgres-backups-2024"`, nil},
		"S3":               {"a URL of an object store", "s3://Postgres-Backups-2024/cnpg/x", []string{"aws/postgres-backups-2024/cnpg prod@0"}},
		"S3Prefix":         {"in front of it something else", "xs3://postgres-backups-2024/cnpg.", []string{"aws/postgres-backups-2024/cnpg prod@1"}},
		"S3Host":           {"the bucket in the host", "https://postgres-backups-2024.s3.eu-north-1.amazonaws.com/cnpg", []string{"aws/postgres-backups-2024/cnpg prod@8"}},
		"S3Path":           {"the bucket in the path", "s3.eu-north-1.AMAZONAWS.com:443/postgres-backups-2024/cnpg/", []string{"aws/postgres-backups-2024/cnpg prod@0"}},
		"S3Other":          {"another prefix", "s3://postgres-backups-2024/other", nil},
		"GCS":              {"Google storage", "gs://wal storage.googleapis.com/wal wal.storage.googleapis.com", []string{"gcs/wal prod@9", "gcs/wal prod@36", "gcs/wal prod@0"}},
		"IP":               {"an IP of a network", `"203.0.113.200:5432"`, []string{"203.0.113.0/24 prod@1"}},
		"IPLonger":         {"a longer network", "203.0.113.9", []string{"203.0.113.8/29 staging@0"}},
		"PrivateIP":        {"a private network, where it is", "10.1.2.3", []string{"sto2/10.0.0.0/8 prod@0"}},
		"Version":          {"a version is no IP", "v10.1.2.3 10.1.2 10.1.2.3.4 10.1.2.300 10.1.2.03", nil},
		"Endpoint":         {"an API server", "https://api.prod.example:6443", []string{"api.prod.example:6443 prod@8"}},
		"ClusterName":      {"a bare name is not distinctive", "cluster/ns/prod-1 prod-1", nil},
		"Handle":           {"a handle alone", `volumeHandle: "` + strings.ToUpper(volume) + `"`, []string{"cinder.csi.openstack.org/" + volume + " prod@15"}},
		"HandleDerived":    {"a name made of it", "pvc-" + volume + "-x", []string{"cinder.csi.openstack.org/" + volume + " prod@4"}},
		"HandleLonger":     {"a longer word", "a" + volume + " " + volume + "0", nil},
		"HandleOther":      {"another volume", "5b0c2f0e-9d8c-4b7a-8f6e-5d4c3b2a1909", nil},
		"HandleCloud":      {"an id of a cloud", "--volume=vol-0a1b2c3d4e5f60718", []string{"ebs.csi.aws.com/vol-0a1b2c3d4e5f60718 prod@9"}},
		"HandleWord":       {"a word is no handle", "database", nil},
		"HandleWithDriver": {"with its driver any handle counts", "csi.example/database", []string{"csi.example/database prod@0"}},
		"Account":          {"an account of AWS", "arn:aws:iam::123456789012:role/x", []string{"aws/123456789012 prod@13"}},
		"Registry":         {"a project in a registry", "image: registry.example/prod/app:v1", []string{"registry.example/prod prod@7"}},
		"RegistryOther":    {"another project", "registry.example/staging/app:v1", nil},
		"Secret":           {"a path in a store", "https://vault.example/kv/prod/db", []string{"vault.example/kv/prod prod@8"}},
		"Git":              {"a repository", "https://git.example/org/infra.git", []string{"git.example/org/infra prod@8"}},
		"GitColon":         {"as ssh writes it", "git@git.example:org/infra.git", []string{"git.example/org/infra prod@4"}},
		"GitSSH":           {"with the port of ssh", "ssh://git@git.example:22/org/infra", []string{"git.example/org/infra prod@10"}},
		"GitPath":          {"a path in it", "https://git.example/org/repo.git/overlays/production/a", []string{"git.example/org/repo/overlays/production prod@8"}},
		"GitOther":         {"another repository", "https://git.example/org/app.git git@git.example:org/infra2.git", nil},
		"Nothing":          {"no text", "", nil},
		"Dots":             {"only dots", "..........................", nil},
	} {
		t.Run(name, func(t *testing.T) {
			// The same in the middle of a text and at its ends.
			for _, pad := range []string{"", " ", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"} {
				var want []string
				for _, w := range c.want {
					var at int
					head, _, _ := strings.Cut(w, "@")
					_, _ = fmt.Sscanf(w[len(head):], "@%d", &at)
					want = append(want, fmt.Sprintf("%s@%d", head, at+len(pad)))
				}
				if diff := cmp.Diff(want, found(f, pad+c.text+pad)); diff != "" {
					t.Errorf("%s: Find(%q):\n%s", c.reason, pad+c.text+pad, diff)
				}
			}
		})
	}
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func quoted(t testing.TB, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// wrapped is base64 in lines, as the program of that name prints it.
func wrapped(text, indent string) string {
	s := b64(text)
	var out strings.Builder
	for len(s) > 76 {
		out.WriteString(s[:76] + "\n" + indent)
		s = s[76:]
	}
	return out.String() + s
}

const db = "db.example"

func TestFindDeep(t *testing.T) {
	f := NewFinder(bookOf(t, append(known, "prod Host ndb.example")...), "sto2")
	url64 := base64.URLEncoding.EncodeToString([]byte("\xff\xfe>>>??? host=db.example >>>???"))
	long := strings.Repeat("nothing of interest. ", 20)
	for name, c := range map[string]struct {
		reason string
		syntax Syntax
		text   string
		want   []string
	}{
		"Plain":           {"what stands there", JSON, `{"a":"db.example"}`, []string{"db.example ()@6"}},
		"Once":            {"one run is visited once", JSON, `"https://db.example/a%20b\/c"`, []string{"db.example ()@9"}},
		"LineBreak":       {"an escaped line break is no letter", JSON, `"x\ndb.example"`, []string{"db.example ()@4"}},
		"LineBreakNested": {"nor one in a document in a document", JSON, `"\"x\\ndb.example\""`, []string{"ndb.example ()@6", "db.example ()@7"}},
		"PlainEscape":     {"in text both readings count", layerPlain, `x\ndb.example`, []string{"ndb.example ()@2", "db.example ()@3"}},
		"PlainBackslash":  {"a backslash that escapes nothing", layerPlain, `\\share\db.example`, []string{"db.example ()@8"}},
		"Tag":             {"an escaped angle bracket", JSON, `"\u003cdb.example\u003e"`, []string{"db.example ()@7"}},
		"TagHandle":       {"and a handle behind it", JSON, `"\u003e` + volume + `\n"`, []string{"cinder.csi.openstack.org/" + volume + " ()@7"}},
		"TagIP":           {"and an IP", JSON, `"..\u003e203.0.113.77\n"`, []string{"203.0.113.0/24 ()@9"}},
		"EscapedDot":      {"an escaped dot", JSON, `{"a":"db\u002eexample"}`, []string{"db.example (escaped)@6"}},
		"EscapedAll":      {"every letter escaped", JSON, `"\u0064\u0062\u002e\u0065\u0078ample"`, []string{"db.example (escaped)@1"}},
		"EscapedNested":   {"escaped twice", JSON, `"db\\u002eexample"`, []string{"db.example (escaped)@1"}},
		"EscapedBehind":   {"after a line break", JSON, `"\ndb\u002eexample"`, []string{"db.example (escaped)@3"}},
		"EscapedSlash":    {"an escaped slash", JSON, `"https:\/\/s3.example\/prod"`, []string{"s3.example/prod (escaped)@1"}},
		"EscapedYAML":     {"as YAML does", layerPlain, `"db\x2eexample"`, []string{"db.example (escaped)@1"}},
		"EscapedRegexp":   {"as a regular expression does", layerPlain, `rewrite db\.example x`, []string{"db.example (escaped)@8"}},
		"Percent":         {"a percent-encoded dot", JSON, `"db%2Eexample"`, []string{"db.example (percent-encoded)@1"}},
		"PercentLower":    {"in lower case", JSON, `"%64b%2eexample"`, []string{"db.example (percent-encoded)@1"}},
		"PercentTwice":    {"encoded twice", JSON, `"db%252Eexample"`, []string{"db.example (percent-encoded, percent-encoded)@1"}},
		"PercentURL":      {"a URL in a URL", JSON, `"https://x.org/?u=` + url.QueryEscape("s3://postgres-backups-2024/cnpg") + `"`, []string{"aws/postgres-backups-2024/cnpg (percent-encoded)@16"}},
		"PercentNone":     {"a bare percent sign", JSON, `"100% of %zz db.example%2x"`, []string{"db.example ()@13"}},
		"PercentAfter":    {"an escape in front of it", JSON, `"\ndb%2Eexample"`, []string{"db.example (percent-encoded)@2"}},
		"EscapedPercent":  {"an escaped percent sign", JSON, `"db\u00252eexample"`, []string{"db.example (escaped, percent-encoded)@1"}},
		"Base64":          {"base64", JSON, `{"data":{"a":"` + b64("host: db.example\n") + `"}}`, []string{"db.example (base64)@14"}},
		"Base64Short":     {"a host alone", JSON, `"` + b64(db) + `"`, []string{"db.example (base64)@1"}},
		"Base64NoPad":     {"without padding", JSON, `"` + strings.TrimRight(b64("x=db.example y"), "=") + `"`, []string{"db.example (base64)@1"}},
		"Base64URL":       {"the alphabet of URLs, and some bytes that are no text", JSON, `"` + url64 + `"`, []string{"db.example (base64)@1"}},
		"Base64URLText":   {"the same within text", JSON, `"` + base64.URLEncoding.EncodeToString([]byte("???>>> host=db.example >>>???")) + `"`, []string{"db.example (base64)@1"}},
		"Base64Key":       {"behind an equals sign", layerPlain, "PASSWORD=" + b64("host: db.example\n"), []string{"db.example (base64)@9"}},
		"Base64Path":      {"at the end of a path", layerPlain, "/v1/x/" + b64("host: db.example\n"), []string{"db.example (base64)@0"}},
		"Base64After":     {"behind an escaped line break", JSON, `"\n` + b64("host: db.example\n") + `"`, []string{"db.example (base64)@3"}},
		"Base64Twice":     {"encoded twice", JSON, `"` + b64(b64("host: db.example\n")) + `"`, []string{"db.example (base64, base64)@1"}},
		"Base64Wrapped":   {"in lines", layerPlain, "x: |\n  " + wrapped(long+db, "  ") + "\n", []string{"db.example (base64)@7"}},
		"Base64Broken":    {"in lines that are escaped", JSON, quoted(t, wrapped(long[:76]+" "+db+" "+long, "")), []string{"db.example (base64)@1"}},
		"Base64Binary":    {"in something long that is no text", JSON, `"` + b64(strings.Repeat("\x00\xff\x01", 20)+db+"\x00") + `"`, []string{"db.example (base64)@1"}},
		"Base64Slashes":   {"with escaped slashes", JSON, `"` + strings.ReplaceAll(b64("??? ??? ???db.example "), "/", `\/`) + `"`, []string{"db.example (escaped, base64)@1", "db.example (base64)@15"}},
		"Base64Escaped":   {"a document in it", JSON, `"` + b64(`{"a":"db\u002eexample"}`) + `"`, []string{"db.example (base64, escaped)@1"}},
		"Base64Handle":    {"a handle in it", JSON, `"` + b64(volume) + `"`, []string{"cinder.csi.openstack.org/" + volume + " (base64)@1"}},
		"Gzip":            {"compressed", JSON, `"` + b64(zipped(t, long+db)) + `"`, []string{"db.example (base64, gzip)@1"}},
		"GzipPath":        {"compressed, behind a path", layerPlain, "/a/b/" + b64(zipped(t, long+db)), []string{"db.example (base64, gzip)@0"}},
		"GzipTorn":        {"compressed and torn", JSON, `"` + b64(zipped(t, db+" "+long)[:45]) + `"`, []string{"db.example (base64, gzip)@1"}},
		"Helm": {"the Secret of a release", JSON, `{"data":{"release":"` + b64(b64(zipped(t, `{"manifest":`+quoted(t, "kind: Secret\ndata:\n  a: "+b64("host: db.example\n"))+`}`))) + `"}}`,
			[]string{"db.example (base64, base64, gzip, base64)@20"}},
		"TooDeep": {"where decoding stops", JSON, `"` + b64(b64(b64(b64(b64(b64(b64("host: db.example\n"))))))) + `"`, nil},
		"Shared":  {"a shared address in any layer", JSON, `"` + b64("host: status.customers.example\n") + ` status%2ecustomers.example"`, nil},
		"Sibling": {"another host in any layer", JSON, `"` + b64("host: eu-db.example\n") + ` eu-db%2eexample eu-db\u002eexample"`, nil},
		"Words":   {"words that look like base64", JSON, `{"app.kubernetes.io/managed-by":"kubernetes-dashboard-metrics-scraper-aggregator-and-very-long-name-here"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, foundDeep(t, f, c.syntax, c.text)); diff != "" {
				t.Errorf("%s: FindDeep(%q):\n%s", c.reason, c.text, diff)
			}
		})
	}
}

// visit can stop everything at the first hit.
func TestFindStops(t *testing.T) {
	f := NewFinder(bookOf(t, known...), "sto2")
	text := []byte(strings.Repeat("db.example "+volume+" s3://postgres-backups-2024/cnpg db%2eexample "+b64("host: db.example")+" ", 3))
	for name, find := range map[string]func(func(Hit) bool){
		"Find":     func(visit func(Hit) bool) { f.Find(text, visit) },
		"FindDeep": func(visit func(Hit) bool) { f.FindDeep(text, layerPlain, visit) },
	} {
		all := 0
		find(func(Hit) bool { all++; return true })
		for n := 1; n <= all; n++ {
			calls := 0
			find(func(Hit) bool { calls++; return calls < n })
			if calls != n {
				t.Errorf("%s called visit %d times after it was to stop at %d of %d", name, calls, n, all)
			}
		}
	}
}

// A small object cannot make the work large.
func TestFindDeepBounds(t *testing.T) {
	f := NewFinder(bookOf(t, known...), "sto2")
	none := func(h Hit) bool { t.Errorf("found %+v", h); return true }
	bomb := b64(zipped(t, strings.Repeat("x", 2*maxInflated)))
	if f.FindDeep([]byte(bomb), layerPlain, none) {
		t.Error("a text of twice MaxInflated was read to its end")
	}
	many := strings.Repeat(b64(zipped(t, strings.Repeat("x", maxInflated/16)))+" ", 20)
	if f.FindDeep([]byte(many), layerPlain, none) {
		t.Error("several texts of more than MaxInflated together were read to their end")
	}
	if !f.FindDeep([]byte(b64(zipped(t, strings.Repeat("x", maxInflated/2)))), layerPlain, none) {
		t.Error("a text of half of MaxInflated was not read to its end")
	}
	// What comes before the bound is found.
	hits := 0
	f.FindDeep([]byte(b64(zipped(t, db+strings.Repeat(" ", 2*maxInflated)))), layerPlain, func(Hit) bool { hits++; return true })
	if hits != 1 {
		t.Errorf("%d hits at the begin of a text that is too long, want 1", hits)
	}
}

func TestFindAllocations(t *testing.T) {
	f := NewFinder(ofSize(t, 10_000), "sto2")
	for name, text := range map[string][]byte{"Config": configText(t, 100_000), "NearMisses": nearText(t, 100_000), "Secret": secretText(t, 100_000)} {
		hits := 0
		visit := func(Hit) bool { hits++; return true }
		if n := testing.AllocsPerRun(20, func() { f.Find(text, visit) }); n != 0 {
			t.Errorf("Find in %s costs %v allocations, want none", name, n)
		}
		if n := testing.AllocsPerRun(20, func() { f.FindDeep(text, JSON, visit) }); n != 0 {
			t.Errorf("FindDeep in %s costs %v allocations, want none", name, n)
		}
		if hits > 0 {
			t.Errorf("%d hits in %s, which names nothing owned", hits, name)
		}
	}
}
