// SPDX-License-Identifier: Apache-2.0

package address

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// configText is a ConfigMap of about a size, as an API server sends it: names of hosts, none of
// which belongs to anybody.
func configText(tb testing.TB, size int) []byte {
	tb.Helper()
	return configMap(tb, size, func(i int) string {
		return fmt.Sprintf("pool-%d:\n  max: %d\n  idle: 30s\n  timeout: \"%dms\"\n  upstream: https://app-%d.staging.example:8443/api/v2\n"+
			"  # see the runbook before you change the number of connections\n  image: registry.staging.example/team/app-%d:v1.%d.3\n",
			i, i%17, i*10, i, i, i%40)
	})
}

// nearText names a host in every line that misses one of ofSize by its last bytes.
func nearText(tb testing.TB, size int) []byte {
	tb.Helper()
	return configMap(tb, size, func(i int) string {
		return fmt.Sprintf("upstream-%d: https://db-%d.prod.exampla:8443/\nbackup: https://s3.example/customer-%d/backup\n", i, i%10_000/5*5+2, i)
	})
}

func configMap(tb testing.TB, size int, lines func(i int) string) []byte {
	tb.Helper()
	data := map[string]string{}
	for i, n := 0, 0; n < size; {
		var b strings.Builder
		for b.Len() < size/20 {
			b.WriteString(lines(i))
			i++
		}
		data[fmt.Sprintf("file-%d.yaml", i)] = b.String()
		n += b.Len()
	}
	out, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "app", "uid": "5b0c2f0e-9d8c-4b7a-8f6e-5d4c3b2a1908"}, "data": data,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// secretText is a Secret with the same content.
func secretText(tb testing.TB, size int) []byte {
	tb.Helper()
	return []byte(fmt.Sprintf(`{"kind":"Secret","data":{"config":%q}}`, base64.StdEncoding.EncodeToString(configText(tb, size*3/4))))
}

// cpuTime are the seconds that the process has worked. On a machine that others use as well,
// they tell more than the time that has passed.
func cpuTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func BenchmarkFind(b *testing.B) {
	for _, c := range []struct {
		name string
		text []byte
	}{{"Config", configText(b, 100_000)}, {"NearMisses", nearText(b, 100_000)}, {"Secret", secretText(b, 100_000)}} {
		for _, size := range []int{10, 1_000, 10_000, 100_000} {
			f := NewFinder(ofSize(b, size), "sto2")
			fail := func(h Hit) bool { b.Fatalf("nothing of it is owned, but %+v", h); return false }
			run := func(name string, find func()) {
				b.Run(fmt.Sprintf("%s/%s/addresses=%d", name, c.name, size), func(b *testing.B) {
					b.SetBytes(int64(len(c.text)))
					b.ReportAllocs()
					before := cpuTime(b)
					for b.Loop() {
						find()
					}
					b.ReportMetric(float64(len(c.text))*float64(b.N)/1e6/(cpuTime(b)-before), "MB/cpu-s")
				})
			}
			run("Plain", func() { f.Find(c.text, fail) })
			run("Deep", func() { f.FindDeep(c.text, JSON, fail) })
		}
	}
}

func BenchmarkNewFinder(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000} {
		book := ofSize(b, size)
		b.Run(fmt.Sprintf("addresses=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				NewFinder(book, "sto2")
			}
		})
	}
}
