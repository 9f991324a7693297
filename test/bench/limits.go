// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skott-dev/skott/test/bench/load"
)

// startTime bounds the wait for the first denial after a start.
const startTime = 60 * time.Second

// started is how a product came back after the API server and its own processes were killed.
type started struct {
	product string
	// first denial, from the start of the processes, and answers until then.
	denial             time.Duration
	admitted, unjudged int
	list               int
}

// starts kills the API server and every product's processes, starts them at the same time,
// and sends crossings to every variant until it refuses one.
func (b *bench) starts(ctx context.Context, size int, r *report) error {
	if _, err := b.refuseAll(ctx, size); err != nil {
		return err
	}
	for _, p := range b.products {
		if err := p.end(); err != nil {
			return err
		}
	}
	if err := b.server.Stop(); err != nil {
		return err
	}
	begin := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range b.products {
		if err := p.begin(); err != nil {
			return err
		}
		if !p.refuses() {
			continue
		}
		all.Go(func() {
			s := b.awaitDenial(ctx, p, begin)
			s.list = size
			mu.Lock()
			defer mu.Unlock()
			r.starts = append(r.starts, s)
		})
	}
	err := b.server.Restart(ctx)
	all.Wait()
	if err != nil {
		return err
	}
	for _, p := range b.products {
		if err := b.admits(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// admits waits until a product that was started admits what is clean again: until then its
// answers say nothing about its limits.
func (b *bench) admits(ctx context.Context, p *product) error {
	if len(p.pids()) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patienceForList)
	defer cancel()
	for {
		got, err := b.ask(ctx, load.Objects()[0].In(p.namespace))
		if err != nil {
			return fmt.Errorf("%s refuses what is clean after its start: %w", p.name, err)
		}
		if got == admitted {
			return nil
		}
	}
}

// awaitDenial sends crossings, each with a connection that may have to be made, until one is
// refused for what it names.
func (b *bench) awaitDenial(ctx context.Context, p *product, begin time.Time) started {
	s := started{product: p.name}
	object := load.Objects()[0].Naming(load.CrossingHost).In(p.namespace)
	c := &target{label: b.label, server: b.server, http: b.http, bodies: map[string][]byte{}}
	one := bench{target: c}
	for time.Since(begin) < startTime && ctx.Err() == nil {
		got, err := one.ask(ctx, object)
		switch {
		case err != nil: // nobody listens yet
		case got == admitted:
			s.admitted++
		case got == refused:
			s.denial = time.Since(begin)
			return s
		default:
			s.unjudged++
		}
		time.Sleep(5 * time.Millisecond) // the rate at which crossings come, no wait for anything
	}
	return s
}

// limit is where a product stops being right.
type limit struct {
	product, deployment, configMap, largest string
}

// most are the numbers beyond which nothing is tried.
const (
	mostAddresses = 20_000
	mostKilobytes = 1_000
)

// limits looks for the number of addresses, and the size of a ConfigMap, up to which every
// variant admits what is clean and refuses what crosses.
func (b *bench) limits(ctx context.Context, r *report) error {
	deployment, configMap := load.Objects()[2], load.Map(100<<10)
	good := map[string]map[*product]int{deployment.Name: {}, configMap.Name: {}}
	bad := map[string]map[*product]int{deployment.Name: {}, configMap.Name: {}}
	look := func(size int) error {
		cannot, err := b.refuseAll(ctx, size)
		if err != nil {
			return err
		}
		for _, o := range []load.Object{deployment, configMap} {
			for _, p := range b.products {
				one := &row{}
				if err := b.judge(ctx, p, o, cannot[p] != nil, one); err != nil {
					return err
				}
				if to := bad[o.Name]; one.stops != "" && (to[p] == 0 || size < to[p]) {
					to[p] = size
				} else if one.stops == "" && size > good[o.Name][p] {
					good[o.Name][p] = size
				}
			}
		}
		return nil
	}
	for _, size := range []int{10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, mostAddresses} {
		if err := look(size); err != nil {
			return err
		}
	}
	if _, err := b.refuseAll(ctx, 1_000); err != nil {
		return err
	}
	for _, p := range b.products {
		if !p.refuses() {
			continue
		}
		of := func(o load.Object) string {
			switch g, f := good[o.Name][p], bad[o.Name][p]; {
			case f == 0:
				return fmt.Sprintf("> %d", mostAddresses)
			case g > f || g == 0:
				return fmt.Sprintf("< %d", f)
			default:
				return fmt.Sprintf("%d to %d", g, f)
			}
		}
		largest, err := b.largest(ctx, p)
		if err != nil {
			return err
		}
		r.limits = append(r.limits, limit{p.name, of(deployment), of(configMap), largest})
	}
	return nil
}

// largest is the size of a ConfigMap up to which a product is right, and what it does beyond.
func (b *bench) largest(ctx context.Context, p *product) (string, error) {
	last := 0
	for _, kb := range []int{1, 2, 4, 8, 16, 32, 64, 100, 150, 250, 400, 600, 800, mostKilobytes} {
		one := &row{}
		if err := b.judge(ctx, p, load.Map(kb<<10), false, one); err != nil {
			return "", err
		}
		if one.stops != "" {
			return fmt.Sprintf("%d KB, of %d KB it %s", last, kb, one.stops), nil
		}
		last = kb
	}
	return fmt.Sprintf("> %d KB", mostKilobytes), nil
}
