// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skott-dev/skott/test/testenv"
)

// row is one variant, object and number of addresses.
type row struct {
	object, product string
	size            int
	samples         []time.Duration
	server, own     time.Duration
	rss             int64
	stops           string
}

// report is everything that a run found.
type report struct {
	prices []*row
	starts []started
	limits []limit
}

// String is the report as the page has it.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| object | addresses | variant | requests | p50 | p50 ratio | p99 ratio | API server CPU | own CPU | own RSS | |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|---|---|")
	var none *row
	for _, p := range r.prices {
		slices.Sort(p.samples)
		if p.product == "none" {
			none = p
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %d |", p.object, p.size, p.product, len(p.samples))
		if len(p.samples) == 0 {
			fmt.Fprintf(&b, " | | | | | | %s |\n", p.stops)
			continue
		}
		ratio := func(at float64) float64 {
			return float64(percentile(p.samples, at)) / float64(percentile(none.samples, at))
		}
		thousand := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(len(p.samples)) }
		own, rss := "", ""
		if p.rss > 0 {
			own, rss = fmt.Sprintf("%.2f s", thousand(p.own)), fmt.Sprintf("%d MiB", p.rss>>20)
		}
		fmt.Fprintf(&b, " %.2f ms | %.2f | %.2f | %.2f s | %s | %s | %s |\n", milliseconds(percentile(p.samples, 0.5)), ratio(0.5), ratio(0.99), thousand(p.server), own, rss, p.stops)
	}
	if len(r.starts) > 0 {
		slices.SortFunc(r.starts, func(a, b started) int { return cmp.Compare(a.product, b.product) })
		fmt.Fprintln(&b, "\n| variant | addresses | from start to first denial | crossings let through meanwhile | refused without a decision |")
		fmt.Fprintln(&b, "|---|---|---|---|---|")
		for _, s := range r.starts {
			denial := fmt.Sprintf("%.2f s", s.denial.Seconds())
			if s.denial == 0 {
				denial = "none in " + startTime.String()
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %d | %d |\n", s.product, s.list, denial, s.admitted, s.unjudged)
		}
	}
	if len(r.limits) > 0 {
		fmt.Fprintln(&b, "\n| variant | addresses, 40 env values | addresses, ConfigMap of 100 KB | largest ConfigMap, 1,000 addresses |")
		fmt.Fprintln(&b, "|---|---|---|---|")
		for _, l := range r.limits {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.product, l.deployment, l.configMap, l.largest)
		}
	}
	return b.String()
}

// Between these stands what the command prints.
const (
	pageBegin = "<!-- bench-admission: begin -->\n"
	pageEnd   = "<!-- bench-admission: end -->\n"
)

// update writes the report into the page.
func (r *report) update() error {
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	file := filepath.Join(root, "docs/performance.md")
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), pageBegin)
	_, after, ends := strings.Cut(rest, pageEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the tables", file)
	}
	return os.WriteFile(file, []byte(before+pageBegin+r.String()+pageEnd+after), 0o644)
}
