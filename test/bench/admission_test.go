// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/testenv"
)

// TestPlainPolicy runs the example of a product against a real API server: it refuses what
// is in its list, nothing else and nowhere else, and is gone when it was stopped.
func TestPlainPolicy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	env, err := testenv.Start(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer env.Stop() //nolint:errcheck // the processes end with this one
	server, err := env.NewServer(ctx, testenv.Options{Name: "product"})
	if err != nil {
		t.Fatal(err)
	}
	at, err := newTarget(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{target: at, env: env}
	if err := b.namespaces(ctx, map[string][]string{"watched": nil, "other": nil}); err != nil {
		t.Fatal(err)
	}
	p, err := executable(env, server, "hooks/plain-policy.sh", "watched")
	if err != nil {
		t.Fatal(err)
	}
	b.products = []*product{p}
	if cannot, err := b.refuseAll(ctx, 20); err != nil || len(cannot) > 0 {
		t.Fatal(err, cannot)
	}
	check := func(object load.Object, want answer) {
		t.Helper()
		got, err := b.ask(ctx, object)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: answer %d, want %d", object.Name, got, want)
		}
	}
	for _, object := range []load.Object{load.Objects()[0], load.Objects()[2], load.Map(1 << 10)} {
		crossing := object.Naming(load.CrossingHost)
		check(object.In("watched"), admitted)
		check(crossing.In("watched"), refused)
		check(crossing.In("other"), admitted)
	}
	if err := p.remove(ctx); err != nil {
		t.Fatal(err)
	}
	crossing := load.Objects()[0].Naming(load.CrossingHost).In("watched")
	for deadline := time.Now().Add(patience); ; {
		got, err := b.ask(ctx, crossing)
		if err != nil {
			t.Fatal(err)
		}
		if got == admitted {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what was stopped still refuses")
		}
	}
}

func TestExecutableFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken.sh")
	if err := os.WriteFile(file, []byte("#!/bin/sh\necho no cluster >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := executable(&testenv.Env{}, &testenv.Server{}, file, "x")
	if err == nil || !strings.Contains(err.Error(), "broken start: exit status 3: no cluster") {
		t.Errorf("got %v", err)
	}
}

func TestBareWebhookFinds(t *testing.T) {
	b := &bare{names: names(list{100, 1}.lines())}
	for text, want := range map[string]string{
		`{"a":"postgresql://app@` + load.CrossingHost + `:5432"}`: load.CrossingHost,
		`X.DB-4.CUSTOMER-0.PROD.EXAMPLE`:                          "db-4.customer-0.prod.example",
		`{"bucket":"list-1"}`:                                     "list-1",
		`{"bucket":"list-10","port":16,"x":"prod.example"}`:       "",
		``: "",
	} {
		if diff := cmp.Diff(want, b.found([]byte(text))); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestReport(t *testing.T) {
	ms := func(n ...int) (out []time.Duration) {
		for _, n := range n {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	r := report{
		prices: []*row{
			{object: "o", size: 10, product: "none", samples: ms(2, 1, 4), server: 6 * time.Millisecond},
			{object: "o", size: 10, product: "p", samples: ms(3, 3, 6), server: 9 * time.Millisecond, own: 3 * time.Millisecond, rss: 7 << 20},
			{object: "o", size: 10, product: "q", stops: "refuses clean objects"},
		},
		starts: []started{{product: "p", list: 10, denial: 1500 * time.Millisecond, unjudged: 3}},
		limits: []limit{{"p", "> 20000", "10 to 20", "> 1000 KB"}},
	}
	want := `| object | addresses | variant | requests | p50 | p50 ratio | p99 ratio | API server CPU | own CPU | own RSS | |
|---|---|---|---|---|---|---|---|---|---|---|
| o | 10 | none | 3 | 2.00 ms | 1.00 | 1.00 | 2.00 s |  |  |  |
| o | 10 | p | 3 | 3.00 ms | 1.50 | 1.50 | 3.00 s | 1.00 s | 7 MiB |  |
| o | 10 | q | 0 | | | | | | | refuses clean objects |

| variant | addresses | from start to first denial | crossings let through meanwhile | refused without a decision |
|---|---|---|---|---|
| p | 10 | 1.50 s | 0 | 3 |

| variant | addresses, 40 env values | addresses, ConfigMap of 100 KB | largest ConfigMap, 1,000 addresses |
|---|---|---|---|
| p | > 20000 | 10 to 20 | > 1000 KB |
`
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Error(diff)
	}
}
