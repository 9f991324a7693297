// SPDX-License-Identifier: Apache-2.0

package address

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	for name, c := range map[string]struct{ got, want string }{
		"Token":             {TokenKey(FindToken("see https://db.example:5432/app.")), "db.example:5432/app"},
		"TokenDefaultPort":  {TokenKey("db.example:443/a//b/./c/"), "db.example/a/b/c"},
		"TokenTrailingDots": {TokenKey("db.example..."), "db.example"},
		"TokenDash":         {TokenKey("db.example-"), "db.example"},
		"TokenOneLabel":     {TokenKey("aws./bucket"), ""},
		"TokenS3":           {TokenKey("s3://bucket/x"), "aws/bucket/x"},
		"TokenGS":           {TokenKey("gs://bucket"), "gcs/bucket"},
		"VirtualHosted":     {TokenKey("bucket.s3.eu-north-1.amazonaws.com/x"), "aws/bucket/x"},
		"PathStyle":         {TokenKey("s3-eu-west-1.amazonaws.com:443/bucket"), "aws/bucket"},
		"OtherAmazon":       {TokenKey("db.rds.amazonaws.com"), "db.rds.amazonaws.com"},
		"Google":            {TokenKey("storage.googleapis.com/bucket"), "gcs/bucket"},
		"Bucket":            {BucketKey("https://S3.example:443/", "aws", "B", "/p/"), "s3.example/b/p"},
		"BucketProvider":    {BucketKey("", "gcs", "b", ""), "gcs/b"},
		"BucketMinio":       {BucketKey("http://minio:9000", "aws", "b", ""), "aws/b"},
		"BucketNone":        {BucketKey("https://s3.example", "aws", "", "p"), ""},
		"Object":            {ObjectKey("s3://b/wal", "https://s3.example"), "s3.example/b/wal"},
		"BucketARN":         {BucketKey("", "aws", "arn:aws:s3:::B/x", "p"), "aws/b/x/p"},
		"BucketARNAlone":    {BucketKey("", "aws", "arn:aws:s3:::", ""), "aws/arn:aws:s3:::"},
		"ObjectRegion":      {ObjectKey("s3://b@eu-north-1/wal/?backup=x&volume=y", ""), "aws/b/wal"},
		"ObjectAlone":       {ObjectKey("s3://b/wal", ""), "aws/b/wal"},
		"ObjectHTTP":        {ObjectKey("https://s3.example/b", "https://other.example"), "s3.example/b"},
		"ObjectEmpty":       {ObjectKey("s3:///", "https://s3.example"), ""},
		"Pair":              {pairKey("Driver", "ABC/d"), "driver/abc/d"},
		"PairHalf":          {pairKey("driver", ""), ""},
		"Endpoint":          {EndpointKey("API.example.", "6443"), "api.example:6443"},
		"EndpointDefault":   {EndpointKey("api.example", "443"), "api.example"},
		"EndpointNone":      {EndpointKey("", "443"), ""},
		"Cluster":           {ClusterKey("NS", "c"), "cluster/ns/c"},
		"IP":                {IPKey("2001:DB8::1"), "2001:db8::1"},
		"IPHost":            {IPKey("db.example."), "db.example"},
		"IPZone":            {IPKey("fe80::1%eth0"), ""},
		"Image":             {ImageKey("registry.example:443/a/b:v1@sha256:00"), "registry.example/a/b"},
		"ImagePort":         {ImageKey("registry.example:5000/a:v1"), "registry.example:5000/a"},
		"ImageShort":        {ImageKey("postgres:16"), "docker.io/postgres"},
		"ImageHub":          {ImageKey("bitnami/postgres"), "docker.io/bitnami/postgres"},
		"Git":               {GitKey("https://git.example/org/repo.git", "a/./b"), "git.example/org/repo/a/b"},
		"GitSCP":            {GitKey("git@git.example:org/repo.git", ""), "git.example/org/repo"},
		"GitSSH":            {GitKey("ssh://git@git.example:22/org/repo", ""), "git.example/org/repo"},
		"GitPassword":       {GitKey("https://alice:hunter2@git.example/org/repo", ""), "git.example/org/repo"},
		"GitAtInPath":       {GitKey("https://git.example/org/repo?x@y.example", ""), "git.example/org/repo"},
		"GitPathInURL":      {GitKey("https://git.example/org/repo.git/a", "b"), "git.example/org/repo/a/b"},
		"GitNone":           {GitKey("./repo", "a"), ""},
		"Secret":            {SecretKey("https://vault.example:8200", "/secret/x/"), "vault.example:8200/secret/x"},
		"SecretNone":        {SecretKey("vault", "x"), ""},
		"TooLong":           {BucketKey("", "aws", strings.Repeat("a", MaxLength+1), ""), ""},
		"Tabs":              {ClusterKey("a\tb", "c\nd"), "cluster/ab/cd"},
		"LowerUnicode":      {Lower("ÅBC\u212a"), "Åbc\u212a"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	text := `jdbc:postgresql://db.example:5432/app?ssl=true, "s3://wal/x" (see gs://dumps) mail@mx.example; v1.2.3 foo host=db`
	want := []string{"db.example:5432/app", "s3://wal/x", "gs://dumps", "mx.example", "v1.2.3"}
	if diff := cmp.Diff(want, Tokens(text)); diff != "" {
		t.Errorf("Tokens (-want +got):\n%s", diff)
	}
}

// FuzzTokens holds that a key of free text is one clean line, and its own key.
func FuzzTokens(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(r.Value)
	}
	f.Add("a.b:123abc.example s3://.. gs://x./y aws./b")
	f.Fuzz(func(t *testing.T, text string) {
		lower := Lower(text)
		for _, token := range Tokens(lower) {
			key := TokenKey(token)
			for segment := range strings.SplitSeq(key, "/") {
				if key != "" && (segment == "" || segment == "." || strings.ContainsAny(segment, "\t\n ")) {
					t.Fatalf("TokenKey(%q) = %q has segment %q", token, key, segment)
				}
			}
			provider := strings.HasPrefix(key, "aws") || strings.HasPrefix(key, "gcs")
			if again := TokenKey(key); !provider && again != key && again != TokenKey(again) {
				t.Fatalf("TokenKey(%q) = %q, and of that %q", token, key, again)
			}
		}
		// Keys of fields are as clean, whatever the fields hold.
		for _, key := range []string{
			BucketKey(text, "aws", text, text), ObjectKey(text, text), pairKey(text, text), EndpointKey(text, "6443"),
			ClusterKey(text, text), IPKey(text), ImageKey(text), GitKey(text, text), SecretKey(text, text),
		} {
			if strings.ContainsAny(key, "\t\n") {
				t.Fatalf("key %q of %q has a tab or line break", key, text)
			}
		}
	})
}

// FuzzHeads holds the scanner to the expression that the policies use.
func FuzzHeads(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add(r.Value)
	}
	for _, s := range []string{"a.b:123abc.example s3://.. gs://x./y aws./b", "xs3://a foo.s3://b -.- a..b -a.-", "s3://", "s3:/a.b", "a.\x80b.c"} {
		f.Add(s)
	}
	head := regexp.MustCompile(HeadPattern)
	f.Fuzz(func(t *testing.T, text string) {
		lower := Lower(text)
		var got []string
		for start, end := nextHead(lower, 0); end > 0; start, end = nextHead(lower, end) {
			got = append(got, lower[start:end])
		}
		if diff := cmp.Diff(head.FindAllString(lower, -1), got); diff != "" {
			t.Fatalf("heads of %q (-expression +scanner):\n%s", lower, diff)
		}
	})
}

func TestAllocations(t *testing.T) {
	b := bookOf(t, platform...)
	for name, c := range map[string]struct {
		want float64
		f    func()
	}{
		"LowerOfLower":   {0, func() { Lower("db.example/already/lower") }},
		"LowerOfUpper":   {2, func() { Lower("DB.example") }},
		"Short":          {0, func() { Short("db.example") }},
		"Path":           {0, func() { Path("db.example/a/b") }},
		"OwnerOfHost":    {0, func() { b.Owner("db.example:5432", "sto2") }},
		"OwnerOfPath":    {0, func() { b.Owner("s3.example/both/prod/wal/1/2", "sto2") }},
		"OwnerOfMiss":    {0, func() { b.Owner("nobody.invalid/a/b/c", "sto2") }},
		"OwnerOfSuffix":  {1, func() { b.Owner("a.b.customers.example", "sto2") }},
		"OwnerOfMissIP":  {0, func() { b.Owner("198.51.100.7:443", "sto2") }},
		"OwnerOfNetwork": {1, func() { b.Owner("10.1.2.3", "sto2") }},
		"MayHoldMiss":    {0, func() { bookOne.MayHold("see https://nobody.invalid/a, or 10.1.2.3") }},
	} {
		t.Run(name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, c.f); got > c.want {
				t.Errorf("%v allocations, want at most %v", got, c.want)
			}
		})
	}
}

var bookOne = NewBook([]Entry{{Address: Address{Host, "db.example"}, Place: "prod"}})
