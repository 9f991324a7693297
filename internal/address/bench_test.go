// SPDX-License-Identifier: Apache-2.0

package address

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	for _, a := range []struct {
		kind  Type
		value string
	}{
		{Bucket, "https://S3.sto2.example:443/prod-backups/cnpg/"}, {Host, "*.customers.example"}, {CIDR, "sto2/10.20.0.0/16"},
		{ClusterEndpoint, "https://api.prod.example:6443"}, {Git, "git@git.example:org/repo.git"}, {Volume, "csi.example/5b0c2f0e"},
	} {
		b.Run(string(a.kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(a.kind, a.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// ofSize is a book of that many addresses.
func ofSize(b testing.TB, n int) *Book {
	b.Helper()
	var entries []Entry
	add := func(kind Type, format string, i int) {
		a, err := Parse(kind, fmt.Sprintf(format, i))
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, Entry{Address: a, Place: "production", Production: true})
	}
	for i := range n {
		switch i % 5 {
		case 0, 1:
			add(Bucket, "https://s3.example/customer-%d/backups", i)
		case 2, 3:
			add(Host, "db-%d.prod.example", i)
		case 4:
			add(Git, "https://git.example/org/customer-%d/overlays/production", i)
		}
	}
	add(Host, "*.customers-%d.example", 0)
	add(CIDR, "sto2/10.%d.0.0/16", 0)
	return NewBook(entries)
}

func BenchmarkOwner(b *testing.B) {
	for _, size := range []int{10, 1_000, 10_000, 100_000} {
		book := ofSize(b, size)
		for name, key := range map[string]string{
			"Host": "db-2.prod.example:5432", "Path": "s3.example/customer-5/backups/base/1", "Suffix": "a.customers-0.example",
			"Network": "10.0.7.7", "Miss": "s3.example/somebody-else/backups",
		} {
			b.Run(fmt.Sprintf("%s/addresses=%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					book.Owner(key, "sto2")
				}
			})
		}
	}
}

func BenchmarkMayHold(b *testing.B) {
	text := strings.Repeat("pool: {max: 7, idle: 30s}\nupstream: https://app-7.staging.example:8443/api/v2\n", 128)
	for _, size := range []int{10, 1_000, 10_000, 100_000} {
		book := ofSize(b, size)
		b.Run(fmt.Sprintf("10KB/addresses=%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if book.MayHold(text) {
					b.Fatal("nothing of it is known")
				}
			}
		})
	}
}
