// SPDX-License-Identifier: Apache-2.0

// Command bench measures, on real API servers, what Skott's policies add to a request, and
// how soon a changed Guard refuses. One server has no policy, the others have Guards of
// growing size. They are asked in turns, in slices of a few requests, so that whatever else
// the machine does falls on all of them alike; ratios are to be read, not times.
//
// "bench admission" measures Skott beside other ways to refuse the same, in one API server.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/testenv"
)

func main() {
	if len(os.Args) > 1 && subcommands[os.Args[1]] != nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := subcommands[os.Args[1]](ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	budget := flag.Duration("budget", 15*time.Second, "time for the latency of each kind of object, over all servers")
	slice := flag.Int("slice", 10, "requests to one server before the next has its turn")
	changes := flag.Int("changes", 10, "changes of the Guard that are timed, for each size")
	object := flag.String("object", "", "measure only the objects whose name holds this")
	profile := flag.String("profile", "", "write CPU profiles of the server with the largest Guard to files with this prefix")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, settings{budget: *budget, slice: *slice, changes: *changes, object: *object, profile: *profile}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// subcommands by name; without one, the policies are measured on servers of their own.
var subcommands = map[string]func(context.Context, []string) error{"admission": runAdmission, bareCommand: runBare}

// settings are the flags.
type settings struct {
	budget          time.Duration
	slice, changes  int
	object, profile string
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "skott-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := testenv.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer env.Stop() //nolint:errcheck // the processes end with this one
	targets, err := start(ctx, env)
	if err != nil {
		return err
	}
	if err := latencies(ctx, targets, s); err != nil {
		return err
	}
	return publications(ctx, targets[1:], s.changes)
}

// latencies prints a table of dry-run creates, one row for each object and server.
func latencies(ctx context.Context, targets []*target, s settings) error {
	fmt.Println("| object | addresses | requests | p50 | p95 | p99 | p50 ratio | p95 ratio | p99 ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for i, object := range load.Objects() {
		if !strings.Contains(object.Name, s.object) {
			continue
		}
		if s.profile != "" {
			go targets[len(targets)-1].profile(ctx, s.budget, fmt.Sprintf("%s%d.pprof", s.profile, i))
		}
		samples := make([][]time.Duration, len(targets))
		for turn, end := 0, time.Now().Add(s.budget); time.Now().Before(end); turn++ {
			for i := range targets {
				at := (turn + i) % len(targets) // nobody is always first
				for n := range s.slice {
					took, err := targets[at].admitted(ctx, object)
					if err != nil {
						return err
					}
					if turn > 0 || n > 0 { // the first may wait for a connection
						samples[at] = append(samples[at], took)
					}
				}
			}
		}
		for i, t := range targets {
			slices.Sort(samples[i])
			fmt.Printf("| %s | %s | %d |", object.Name, t.label, len(samples[i]))
			for _, p := range percentiles {
				fmt.Printf(" %.2f ms |", milliseconds(percentile(samples[i], p)))
			}
			for _, p := range percentiles {
				fmt.Printf(" %.2f |", float64(percentile(samples[i], p))/float64(percentile(samples[0], p)))
			}
			fmt.Println()
		}
	}
	return nil
}

// publications prints how long a new address takes from its write to its first denial.
func publications(ctx context.Context, targets []*target, changes int) error {
	fmt.Println("\n| addresses | changes | write p50 | to denial p50 | to denial max |")
	fmt.Println("|---|---|---|---|---|")
	for _, t := range targets {
		var writes, denials []time.Duration
		for i := range changes {
			write, denial, err := t.change(ctx, i)
			if err != nil {
				return err
			}
			writes, denials = append(writes, write), append(denials, denial)
		}
		slices.Sort(writes)
		slices.Sort(denials)
		fmt.Printf("| %s | %d | %.0f ms | %.0f ms | %.0f ms |\n", t.label, changes, milliseconds(percentile(writes, 0.5)),
			milliseconds(percentile(denials, 0.5)), milliseconds(denials[len(denials)-1]))
	}
	return nil
}

var percentiles = []float64{0.50, 0.95, 0.99}

// percentile of sorted samples.
func percentile(sorted []time.Duration, p float64) time.Duration {
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
