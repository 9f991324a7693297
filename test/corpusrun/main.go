// SPDX-License-Identifier: Apache-2.0

// Command corpusrun holds the readers of the table of movement kinds to the table: it makes
// objects for every row, those that cross and those that only look like it, sends them as
// dry runs to a real API server that plays one cluster after the other, gives them to
// Evaluate, and counts who refused what. It fails when a reader lets a crossing through that
// it claims to see, or refuses an innocent object.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/testenv"
)

func main() {
	update := flag.Bool("update", false, "write docs/corpus.md")
	only := flag.String("kind", "", "only the kinds whose name, or group, matches this expression")
	details := flag.Int("details", 20, "how many problems to print of each sort")
	flag.Parse()
	log.SetLogger(logr.Discard()) // what API servers warn of in CRDs of others
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *update, *details); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, update bool, details int) error {
	dir, err := os.MkdirTemp("", "skott-corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := testenv.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer env.Stop() //nolint:errcheck // the processes end with this one
	begin := time.Now()
	table := flow.Builtin()
	c, err := start(ctx, env, table, only)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d kinds served after %s\n", len(c.kinds), time.Since(begin).Round(time.Second))
	world, err := corpus.Generate(table, c.schemas)
	if err != nil {
		return err
	}
	resolved := policy.New(world.Platform.Snapshot)
	for _, err := range resolved.Rejected() {
		return fmt.Errorf("an address of the corpus: %w", err)
	}
	r := newReport(table, world, c)
	folder, err := os.MkdirTemp("", "skott-corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	readers := []reader{&apiServer{cluster: c}, &evaluator{}, &guardWebhook{}, &commandLine{folder: folder}}
	for _, name := range []string{"staging", "production", "ops"} {
		place := world.Platform.Clusters[name]
		guards := resolved.Guards(place.GuardedCluster, place.Namespaces, c.families)
		if err := c.publish(ctx, guards); err != nil {
			return err
		}
		for _, reader := range readers {
			if err := reader.enter(ctx, guards); err != nil {
				return err
			}
		}
		if err := r.judge(ctx, name, readers); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d objects judged after %s\n", r.sent, time.Since(begin).Round(time.Second))
	fmt.Print(r.markdown(readers))
	r.explain(os.Stderr, details)
	if update {
		root, err := testenv.Root()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "docs", "corpus.md"), []byte(r.markdown(readers)), 0o644); err != nil {
			return err
		}
	}
	return r.missed()
}
