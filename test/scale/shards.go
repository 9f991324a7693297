// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/skott-dev/skott/test/scale/simulator"
)

// shards runs two operators, each for the Management Clusters of one shard, and compares who
// wrote where, and what each of them costs.
func shards(ctx context.Context, s settings) error {
	p, err := start(ctx, s)
	if p != nil {
		defer p.close()
	}
	if err != nil {
		return err
	}
	fmt.Printf("%d Workload Clusters and %d Management Clusters are SIMULATED; %d addresses; two operators\n\n", s.clusters, s.managements, s.addresses)
	pids := map[string]int{}
	ready := make(chan struct{})
	p.sim.Author = func(remote net.Addr) string {
		<-ready // which process is which is known when both run
		return authorOf(remote, pids)
	}
	for _, shard := range []string{"a", "b"} {
		operator, err := p.operator(ctx, "operator-"+shard, "--management-cluster-selector=shard="+shard)
		if err != nil {
			return err
		}
		pids[shard] = operator.PID()
		defer operator.Stop() //nolint:errcheck // the platform is closed
	}
	close(ready)
	began := time.Now()
	for {
		missing := 0
		for _, w := range p.workloads {
			if w.management.Label("clusters", "platform", w.Name, "skott.dev/guarded") != "true" {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Since(began) > p.patience {
			return fmt.Errorf("%d clusters are not guarded after %s", missing, p.patience)
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
	if err := pause(ctx, s.steady); err != nil {
		return err
	}
	return p.compareShards(pids)
}

func (p *platform) compareShards(pids map[string]int) error {
	written, clusters := map[string]int{}, map[string]int{}
	both, unknown := 0, 0
	count := func(c *simulator.Cluster) {
		authors := c.Authors()
		unknown += authors[""]
		delete(authors, "")
		if len(authors) > 1 {
			both++
		}
		for name, n := range authors {
			written[name] += n
			clusters[name]++
		}
	}
	for _, w := range p.workloads {
		count(w.Cluster)
	}
	for _, mc := range p.managements {
		count(mc)
	}
	fmt.Println("| operator | clusters written | writes | CPU | RSS |\n|---|---|---|---|---|")
	for _, name := range []string{"a", "b"} {
		u, err := usageOf(pids[name])
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %d | %s | %d MiB |\n", name, clusters[name], written[name], u.cpu, u.rss>>20)
	}
	fmt.Printf("\n%d clusters were written by both, %d writes are of a process that could not be told\n", both, unknown)
	if both > 0 {
		return errors.New("a cluster was written by two operators")
	}
	return nil
}
