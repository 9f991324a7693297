// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// errPast ends the operator, which is then started anew and reads everything.
var errPast = errors.New("the Ops Cluster was restored from a backup: what was read of it is of a future that will not be")

// past notices that the etcd of the Ops Cluster was restored. No cache does: each waits for resource versions that are yet to
// come, and hears of nothing that is written until then, nor ever after of what was written meanwhile.
type past struct {
	reader   client.Reader
	interval time.Duration
	highest  uint64
}

// Start implements manager.Runnable.
func (p *past) Start(ctx context.Context) error {
	ticks := time.NewTicker(p.interval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		within, cancel := context.WithTimeout(ctx, p.interval)
		list := &skottv1.DataBoundaryList{}
		err := p.reader.List(within, list, client.Limit(1))
		cancel()
		if err == nil && p.back(list.ResourceVersion) {
			return errPast
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: a replica that waits has caches too.
func (p *past) NeedLeaderElection() bool { return false }

// back says whether a resource version of the whole cluster is lower than one that was seen before.
func (p *past) back(version string) bool {
	seen, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return false
	}
	if seen < p.highest {
		return true
	}
	p.highest = seen
	return false
}
