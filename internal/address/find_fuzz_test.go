// SPDX-License-Identifier: Apache-2.0

package address

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tokensOnly is a Finder of nothing but tokens.
func tokensOnly(book *Book, datacenter string) *Finder {
	f := NewFinder(book, datacenter)
	f.git, f.handles = false, handles{}
	return f
}

// byToken lists what Owner says of every token of a text, in the order of offsets.
func byToken(book *Book, datacenter, text string) []string {
	var out []string
	lower := Lower(text)
	for _, at := range tokenRegexp.FindAllStringIndex(lower, -1) {
		m, ok := book.Owner(TokenKey(lower[at[0]:at[1]]), datacenter)
		if ok && m.Place != "" {
			out = append(out, fmt.Sprintf("%d %+v", at[0], m))
		}
	}
	return out
}

func byFinder(f *Finder, text string) []string {
	var hits []Hit
	f.Find([]byte(text), func(h Hit) bool {
		hits = append(hits, h)
		return true
	})
	slices.SortFunc(hits, func(x, y Hit) int { return x.Offset - y.Offset })
	var out []string
	for _, h := range hits {
		out = append(out, fmt.Sprintf("%d %+v", h.Offset, h.Match))
	}
	return out
}

// mixed is what known holds, in one book, and shorter hosts, suffixes and networks.
var mixed = append([]string{
	"prod Host *.d.ef", "prod Host x.yz", "prod Host a-1.b-2.c3", "prod CIDR 198.0.0.0/7", "prod CIDR 192.0.2.7/32", "prod CIDR osl2/10.9.0.0/16",
	"prod Bucket 192.0.2.10:9000/backups", "prod Host *.abcdefgh.amazonaws.com", "shared Host db.db.example", "prod Bucket https://S3.example:9000/a/b/c",
}, known...)

// pieces are what random texts are made of: addresses, parts of them and what joins them.
func textPieces(book *Book) []string {
	out := []string{".", "..", "-", "/", "//", "/.", ":", ":443", ":5432", ":22", "://", "s3://", "gs://", "S3://", "s3", "_", "@", "%", "%2e", "=", "+", "~", "?", " ", "\n", `"`, `\`, `\n`,
		`\u003e`, "\r", "\x00", "\xff", "å", "a", "x", "db", "DB", "example", "EXAMPLE", "se", "prod", ".git", "1", "10", "203.0.113.", "255", "300", "05",
		".s3.eu.amazonaws.com", "s3.amazonaws.com/", ".storage.googleapis.com", "storage.googleapis.com/", "storage.googleapis.com.evil.example"}
	for a := range book.Addresses {
		if bucket, ok := strings.CutPrefix(a, "aws/"); ok {
			out = append(out, "s3://"+bucket, bucket+".s3.eu.amazonaws.com")
		}
		out = append(out, a, strings.ToUpper(a), a[:len(a)-1], a[1:], strings.TrimPrefix(a, "*."), headOf(a))
	}
	slices.Sort(out)
	return out
}

// Find says of every text what Owner says of its tokens, one by one.
func TestFindIsOwner(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, lines := range [][]string{mixed, platform, {"prod Host x.yz"}, {"prod Host *.customers.example"}, {"prod CIDR 203.0.113.0/24"}, {"prod Bucket s3://b"}, nil} {
		book := bookOf(t, lines...)
		f := tokensOnly(book, "sto2")
		own := textPieces(book)
		pieces := slices.Concat(textPieces(bookOf(t, mixed...)), own, own)
		hits := 0
		for range 30_000 {
			var b strings.Builder
			for range random.IntN(12) {
				b.WriteString(pieces[random.IntN(len(pieces))])
			}
			text := b.String()
			want := byToken(book, "sto2", text)
			if diff := cmp.Diff(want, byFinder(f, text)); diff != "" {
				t.Fatalf("book %q, text %q:\n%s", lines, text, diff)
			}
			hits += len(want)
		}
		if hits < 200 && lines != nil {
			t.Errorf("book %q: %d hits, too few to tell", lines, hits)
		}
	}
}

func FuzzFind(f *testing.F) {
	book := bookOf(f, mixed...)
	finder := tokensOnly(book, "sto2")
	for _, s := range textPieces(book) {
		f.Add(s + " x=" + s + "/")
	}
	f.Fuzz(func(t *testing.T, text string) {
		if diff := cmp.Diff(byToken(book, "sto2", text), byFinder(finder, text)); diff != "" {
			t.Fatalf("text %q:\n%s", text, diff)
		}
	})
}

// FuzzFindDeep holds that no text does harm, and that FindDeep finds at least what Find does.
func FuzzFindDeep(f *testing.F) {
	book := bookOf(f, mixed...)
	finder := NewFinder(book, "sto2")
	for _, s := range textPieces(book) {
		f.Add(s+" "+b64(s)+"\\n"+b64(b64("x="+s))+" "+strings.ReplaceAll(s, ".", "%2e")+strings.ReplaceAll(s, "/", `\/`), false)
		f.Add(`{"a":"`+b64(zipped(f, s))+`\u0064\n`+s+`"}`, true)
	}
	f.Fuzz(func(t *testing.T, text string, json bool) {
		syntax := layerPlain
		if json {
			syntax = JSON
		}
		found := map[string]bool{}
		start := time.Now() //nolint:forbidigo // a test may measure
		finder.FindDeep([]byte(text), syntax, func(h Hit) bool {
			if h.Place == "" || h.Place != book.Addresses[h.Address] || h.Offset < 0 || h.Offset >= len(text) || len(h.Layers) > maxLayers {
				t.Fatalf("hit %+v in %q", h, text)
			}
			found[h.Address] = true
			return true
		})
		if d := time.Since(start); d > 5*time.Second { //nolint:forbidigo // a test may measure
			t.Fatalf("%d bytes took %v", len(text), d)
		}
		if syntax == JSON {
			return // an escape may be what Find takes for a letter
		}
		finder.Find([]byte(text), func(h Hit) bool {
			if !found[h.Address] {
				t.Fatalf("Find finds %+v in %q, FindDeep does not", h, text)
			}
			return true
		})
	})
}

// What a text says does not depend on what is around it.
func TestFindAnywhere(t *testing.T) {
	f := NewFinder(bookOf(t, known...), "sto2")
	for n := range 64 {
		text := strings.Repeat("x", n) + ` "` + b64("host: db.example\n") + `" db.example s3://postgres-backups-2024/cnpg ` + volume + " " + strings.Repeat("y", n%7)
		got := foundDeep(t, f, layerPlain, text)
		if len(got) != 4 {
			t.Errorf("behind %d bytes: %q, want 4 hits", n, got)
		}
	}
}

// The worst texts cost no more than a multiple of the best.
func TestFindIsLinear(t *testing.T) {
	f := NewFinder(bookOf(t, mixed...), "sto2")
	const size = 1 << 20
	for _, piece := range []string{".", "a.", "x.yz", "db.example", "x.d.ef.", `\`, `\n`, `\u002e`, `\u002`, "%", "%2e", "%2", "=", "a", "/", "A=", "s3://", "://", "1.", "10.", "H4sI", "\n ", `aaaa\n`,
		"a%2e", strings.Repeat("YWFh", 19) + "\n", b64("db.example "), volume[:35]} {
		text := []byte(strings.Repeat(piece, size/len(piece)))
		hits := 0
		start := time.Now() //nolint:forbidigo // a test may measure
		f.FindDeep(text, layerPlain, func(Hit) bool { hits++; return true })
		if d := time.Since(start); d > 10*time.Second { //nolint:forbidigo // a test may measure
			t.Errorf("1 MiB of %q took %v", piece, d)
		} else if d > time.Second {
			t.Logf("1 MiB of %q took %v", piece, d)
		}
	}
}
