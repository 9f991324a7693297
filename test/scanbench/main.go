// SPDX-License-Identifier: Apache-2.0

// Command scanbench fills a real API server with pods and namespaces, of which few cross, makes it a guarded cluster
// of a real operator, and prints how long the scan takes to find them and what memory it needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/skott-dev/skott/test/testenv"
)

// settings are the flags.
type settings struct {
	pods, namespaces, crossing int
}

func main() {
	var s settings
	flag.IntVar(&s.pods, "pods", 10_000, "pods in the cluster")
	flag.IntVar(&s.namespaces, "namespaces", 4_000, "namespaces in the cluster")
	flag.IntVar(&s.crossing, "crossing", 25, "how many of the pods cross")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "skott-scanbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := testenv.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer env.Stop() //nolint:errcheck // the processes end with this one
	servers, err := env.NewServers(ctx, testenv.Options{Name: "ops"}, testenv.Options{Name: "cluster"})
	if err != nil {
		return err
	}
	b := &bench{settings: s, env: env, ops: servers[0], cluster: servers[1]}
	began := time.Now()
	size, err := b.fill(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d pods of %d bytes each as JSON, of which %d cross, in %d namespaces: made in %s\n", s.pods, size, s.crossing, s.namespaces, seconds(time.Since(began)))
	if err := b.start(ctx); err != nil {
		return err
	}
	return b.measure(ctx)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
