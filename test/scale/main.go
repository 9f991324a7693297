// SPDX-License-Identifier: Apache-2.0

// Command scale runs the operator as a process against a hub that is a real API server, and
// against many clusters, nearly all of which are simulated (see package simulator). It
// measures how soon a new address is refused everywhere, how long a new cluster takes to be
// guarded, and what the operator costs meanwhile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	clusters, managements, real, addresses, changes int
	steady, settle, between, patience               time.Duration
	churn                                           float64
	slow, unreachable                               float64
	shards                                          bool
	flags                                           string
}

func main() {
	var s settings
	flag.IntVar(&s.clusters, "clusters", 1000, "simulated Workload Clusters")
	flag.IntVar(&s.managements, "management-clusters", 20, "simulated Management Clusters; half of them are of production")
	flag.IntVar(&s.real, "real", 2, "Workload Clusters that are real API servers, beside those that are simulated")
	flag.IntVar(&s.addresses, "addresses", 50000, "declared addresses of production")
	flag.IntVar(&s.changes, "changes", 6, "new addresses whose way is timed, in each measurement")
	flag.DurationVar(&s.between, "between", 30*time.Second, "pause before each new address, so that the fleet is at rest")
	flag.Float64Var(&s.churn, "churn", 0.01, "share of the addresses that is replaced within a minute, during -steady")
	flag.DurationVar(&s.steady, "steady", time.Minute, "how long the steady state is watched, first at rest and then under churn")
	flag.DurationVar(&s.settle, "settle", 2*time.Minute, "how long the first scans and surveys may take before the steady state is watched")
	flag.Float64Var(&s.slow, "slow", 0.05, "share of the clusters that answer 3 s late, in the last measurement")
	flag.Float64Var(&s.unreachable, "unreachable", 0.05, "share of the clusters that do not answer, in the last measurement")
	flag.DurationVar(&s.patience, "patience", 10*time.Minute, "how long anything may take before the measurement is given up")
	flag.BoolVar(&s.shards, "shards", false, "show instead that two operators share the work by --management-cluster-selector")
	flag.StringVar(&s.flags, "operator-flags", "", "more flags of the operator, separated by spaces")
	flag.Parse()
	debug.SetGCPercent(400) // the simulator shares the processors with what is measured, and there is memory enough
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := measure
	if s.shards {
		run = shards
	}
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
