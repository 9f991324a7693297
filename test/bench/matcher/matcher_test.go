// SPDX-License-Identifier: Apache-2.0

// Package matcher compares address.Finder with other ways to find many names in a text. It is
// a module of its own, so that what it compares with is no dependency of Skott.
package matcher

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	ahocorasick "github.com/BobuSumisu/aho-corasick"

	"github.com/skott-dev/skott/internal/address"
)

// most is the number of addresses up to which a trie of all of them fits into memory.
const most = 10_000

// names are hosts and buckets of production, as they are written in texts.
func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		switch i % 5 {
		case 0, 1:
			out[i] = fmt.Sprintf("s3.sto2.example/customer-%d-backups", i)
		case 2, 3:
			out[i] = fmt.Sprintf("db-%d.customers.prod.example", i)
		default:
			out[i] = fmt.Sprintf("git.example/org/customer-%d/overlays", i)
		}
	}
	return out
}

func bookOf(tb testing.TB, names []string) *address.Book {
	tb.Helper()
	entries := make([]address.Entry, len(names))
	for i, n := range names {
		kind := address.Host
		if strings.Contains(n, "/") {
			kind = address.SecretPath // any path on a host
		}
		a, err := address.Parse(kind, n)
		if err != nil {
			tb.Fatal(err)
		}
		entries[i] = address.Entry{Address: a, Place: "production", Production: true}
	}
	return address.NewBook(entries)
}

// text is a ConfigMap of 100 KB, as an API server sends it.
func text(tb testing.TB, line func(i int) string) []byte {
	tb.Helper()
	data := map[string]string{}
	for i, n := 0, 0; n < 100_000; {
		var b strings.Builder
		for b.Len() < 5_000 {
			b.WriteString(line(i))
			i++
		}
		data[fmt.Sprintf("file-%d.yaml", i)] = b.String()
		n += b.Len()
	}
	out, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "app"}, "data": data})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func texts(tb testing.TB) map[string][]byte {
	return map[string][]byte{
		// Configuration in which some lines name hosts of nobody.
		"Config": text(tb, func(i int) string {
			return fmt.Sprintf("pool-%d:\n  max: %d\n  idle: 30s\n  timeout: \"%dms\"\n  upstream: https://app-%d.staging.example:8443/api/v2\n"+
				"  # see the runbook before you change the number of connections\n  image: registry.staging.example/team/app-%d:v1.%d.3\n",
				i, i%17, i*10, i, i, i%40)
		}),
		// Every name misses one of production by its last bytes.
		"NearMisses": text(tb, func(i int) string {
			n := i % (most / 5) * 5
			return fmt.Sprintf("- https://db-%d.customers.prod.exampla:8443/\n- https://s3.sto2.example/customer-%d-backup\n", n+2, n)
		}),
	}
}

// byTokens is what Evaluate does: heads of tokens in a map, and a closer look where one is known.
func byTokens(book *address.Book, text []byte) (hits int) {
	lower := address.Lower(string(text))
	if !book.MayHold(lower) {
		return 0
	}
	for _, token := range address.Tokens(lower) {
		if m, ok := book.Owner(address.TokenKey(token), ""); ok && m.Place != "" {
			hits++
		}
	}
	return hits
}

// matchers count the names in a text.
func matchers(tb testing.TB, names []string) map[string]func([]byte) int {
	tb.Helper()
	book := bookOf(tb, names)
	finder := address.NewFinder(book, "")
	out := map[string]func([]byte) int{
		"Find": func(text []byte) (hits int) {
			finder.Find(text, func(address.Hit) bool { hits++; return true })
			return hits
		},
		"FindDeep": func(text []byte) (hits int) {
			finder.FindDeep(text, address.JSON, func(address.Hit) bool { hits++; return true })
			return hits
		},
		"Tokens": func(text []byte) int { return byTokens(book, text) },
	}
	if len(names) <= most {
		trie := ahocorasick.NewTrieBuilder().AddStrings(names).Build()
		out["AhoCorasick"] = func(text []byte) int { return len(trie.Match(text)) }
	}
	return out
}

// Every matcher finds the last name in every text, and nothing else.
func TestMatchersAgree(t *testing.T) {
	all := names(1_000)
	for name, match := range matchers(t, all) {
		for kind, text := range texts(t) {
			if n := match(text); n != 0 {
				t.Errorf("%s finds %d names in %s, which holds none", name, n, kind)
			}
			if n := match([]byte(strings.Replace(string(text), "- https", "- "+all[999]+" https", 1) + " " + all[998])); n < 1 {
				t.Errorf("%s finds nothing in %s, which holds a name", name, kind)
			}
		}
	}
}

func cpuTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkMatch reports, beside the usual, megabytes per second of processor time: on a
// machine that others use as well, that tells more.
func BenchmarkMatch(b *testing.B) {
	order := []string{"Find", "FindDeep", "Tokens", "AhoCorasick"}
	for _, size := range []int{1_000, 10_000, 100_000} {
		found := matchers(b, names(size))
		for kind, text := range texts(b) {
			for _, name := range order {
				match, ok := found[name]
				if !ok {
					continue
				}
				b.Run(fmt.Sprintf("%s/addresses=%d/%s", kind, size, name), func(b *testing.B) {
					b.SetBytes(int64(len(text)))
					b.ReportAllocs()
					before := cpuTime(b)
					for b.Loop() {
						if match(text) != 0 {
							b.Fatal("nothing of it is known")
						}
					}
					b.ReportMetric(float64(len(text))*float64(b.N)/1e6/(cpuTime(b)-before), "MB/cpu-s")
				})
			}
		}
	}
}
