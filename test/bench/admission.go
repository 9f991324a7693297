// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/testenv"
)

// admission is what the flags of "bench admission" say.
type admission struct {
	sizes         []int
	budget        time.Duration
	slice         int
	object        string
	products      []string
	update, quick bool
	profile       string
}

func runAdmission(ctx context.Context, args []string) error {
	a := &admission{}
	flags := flag.NewFlagSet("admission", flag.ContinueOnError)
	sizes := flags.String("sizes", "10,1000,10000,100000", "numbers of addresses")
	flags.DurationVar(&a.budget, "budget", 15*time.Second, "time for each object and number of addresses, over all variants")
	flags.IntVar(&a.slice, "slice", 10, "requests to one variant before the next has its turn")
	flags.StringVar(&a.object, "object", "", "measure only the objects whose name holds this")
	flags.Func("product", "executable of another product (start, apply FILE, stop), may be repeated; see test/bench/hooks/plain-policy.sh", func(file string) error {
		a.products = append(a.products, file)
		return nil
	})
	flags.BoolVar(&a.update, "update", false, "write the tables into docs/performance.md too")
	flags.BoolVar(&a.quick, "quick", false, "leave out where each stops and how each starts")
	flags.StringVar(&a.profile, "profile", "", "write a CPU profile of the server under the policies to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 10 {
			return fmt.Errorf("-sizes: %q is no number of 10 or more", s)
		}
		a.sizes = append(a.sizes, n)
	}
	slices.Sort(a.sizes)
	return a.run(ctx)
}

func (a *admission) run(ctx context.Context) (err error) {
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
	b, err := setUp(ctx, env, a.products)
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range b.products {
			err = errors.Join(err, p.remove(context.WithoutCancel(ctx)))
		}
	}()
	var r report
	for _, size := range a.sizes {
		if err := b.price(ctx, a, size, &r); err != nil {
			return err
		}
	}
	if !a.quick {
		if err := b.starts(ctx, min(10_000, a.sizes[len(a.sizes)-1]), &r); err != nil {
			return err
		}
		if err := b.limits(ctx, &r); err != nil {
			return err
		}
	}
	fmt.Print(r.String())
	if a.update {
		return r.update()
	}
	return nil
}

// objects that are measured: those of the design that peers were measured with.
func objects() []load.Object {
	all := load.Objects()
	return slices.DeleteFunc(all, func(o load.Object) bool { return o.Name == "PersistentVolumeClaim" || o.Name == "ConfigMap, 60 KB" })
}

// refuseAll gives every product a list and waits until it acts. It returns why those that
// cannot take it cannot.
func (b *bench) refuseAll(ctx context.Context, size int) (map[*product]error, error) {
	b.generation++
	l := list{size, b.generation}
	cannot := map[*product]error{}
	for _, p := range b.products {
		if err := p.refuse(ctx, l); err != nil {
			cannot[p] = err
			fmt.Fprintf(os.Stderr, "%s cannot take %d addresses: %v\n", p.name, size, err)
		}
	}
	for _, p := range b.products {
		if cannot[p] != nil || !p.refuses() {
			continue
		}
		marked := load.Object{Name: "marker " + l.bucket(), Path: load.Objects()[0].Path, Content: load.Location(markerEndpoint, l.bucket())}.In(p.namespace)
		deadline, cancel := context.WithTimeout(ctx, patienceForList)
		for denied := false; !denied; {
			answer, err := b.ask(deadline, marked)
			if err != nil {
				cancel()
				return nil, fmt.Errorf("%s does not refuse what is in its list: %w", p.name, err)
			}
			denied = answer == refused
		}
		cancel()
	}
	return cannot, nil
}

// refuses is false for those that are there to be compared with.
func (p *product) refuses() bool { return p.name != "none" && p.name != "bare webhook" }

// An answer of the API server.
type answer int

const (
	admitted answer = iota
	refused
	// failed: refused, but not for what is in the object.
	failed
)

// ask sends one dry-run create.
func (b *bench) ask(ctx context.Context, object load.Object) (answer, error) {
	status, body, err := b.create(ctx, object)
	switch {
	case err != nil:
		return failed, err
	case status == http.StatusCreated:
		return admitted, nil
	case status != http.StatusForbidden && status != http.StatusUnprocessableEntity,
		strings.Contains(string(body), "not yet ready"), strings.Contains(string(body), "cost exceeded"), strings.Contains(string(body), "operation cancelled"),
		strings.Contains(string(body), "failed calling webhook"):
		return failed, nil
	}
	return refused, nil
}

// price measures every variant with a list of that size, in turns.
func (b *bench) price(ctx context.Context, a *admission, size int, r *report) error {
	cannot, err := b.refuseAll(ctx, size)
	if err != nil {
		return err
	}
	for _, object := range objects() {
		if !strings.Contains(object.Name, a.object) {
			continue
		}
		rows := make([]*row, len(b.products))
		for i, p := range b.products {
			rows[i] = &row{object: object.Name, size: size, product: p.name}
			if err := b.judge(ctx, p, object, cannot[p] != nil, rows[i]); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%d addresses, %s, %s: %s\n", size, object.Name, p.name, rows[i].stops)
		}
		if a.profile != "" {
			go b.profile(ctx, a.budget, a.profile)
		}
		if err := b.rounds(ctx, a, object, rows); err != nil {
			return err
		}
		for i, p := range b.products {
			rows[i].rss = used(p.pids()...).rss
		}
		r.prices = append(r.prices, rows...)
	}
	return nil
}

// judge says whether a product decides over an object as it should; if not, it is not timed.
func (b *bench) judge(ctx context.Context, p *product, object load.Object, cannot bool, r *row) error {
	if cannot {
		r.stops = "cannot take the list"
		return nil
	}
	clean, err := b.ask(ctx, object.In(p.namespace))
	if err != nil {
		return err
	}
	if clean != admitted {
		r.stops = "refuses clean objects"
		return nil
	}
	if !p.refuses() {
		return nil
	}
	crossing, err := b.ask(ctx, object.Naming(load.CrossingHost).In(p.namespace))
	if err == nil && crossing == admitted {
		r.stops = letsThrough
	}
	return err
}

// rounds times the variants in turns; none is always first.
func (b *bench) rounds(ctx context.Context, a *admission, object load.Object, rows []*row) error {
	all := make([]load.Object, len(b.products))
	for i, p := range b.products {
		all[i] = object.In(p.namespace)
	}
	for turn, end := 0, time.Now().Add(a.budget); time.Now().Before(end); turn++ {
		for i := range b.products {
			at := (turn + i) % len(b.products)
			p, r := b.products[at], rows[at]
			if r.stops != "" && r.stops != letsThrough {
				continue
			}
			server, own := used(b.server.PID()), used(p.pids()...)
			for range a.slice {
				took, err := b.admitted(ctx, all[at])
				if err != nil {
					return err
				}
				if turn > 0 { // the first may wait for connections, and fills caches
					r.samples = append(r.samples, took)
				}
			}
			if turn > 0 {
				r.server += used(b.server.PID()).cpu - server.cpu
				r.own += used(p.pids()...).cpu - own.cpu
			}
		}
	}
	return nil
}

const letsThrough = "lets the crossing through"
