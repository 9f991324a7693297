// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/test/corpus"
)

// parallel is how many requests are on their way at the same time.
const parallel = 6

// tally is what one reader did with the objects of one kind.
type tally struct {
	claimed, refused, wrongly int
}

// line is one kind.
type line struct {
	kind                       *flow.Kind
	schema                     string
	objects, crossings         int
	invalid, misshapen, unsent int
	readers                    map[string]*tally
}

// report counts. Its problems are lists of sentences, by their sort.
type report struct {
	world *corpus.World
	lines map[*flow.Kind]*line
	order []*flow.Kind

	mu       sync.Mutex
	sent     int
	problems map[string][]string
}

// Sorts of problems. Those of fatal make the run fail.
const (
	missed   = "crossings that were let through"
	wrongly  = "innocent objects that were refused"
	disagree = "objects on which the API server and Evaluate disagree"
	failed   = "requests that failed"
	invalid  = "objects that no API server takes (not sent: invalid by schema)"
)

var fatal = []string{missed, wrongly, disagree, failed}

func newReport(table *flow.Table, world *corpus.World, c *cluster) *report {
	r := &report{world: world, lines: map[*flow.Kind]*line{}, problems: map[string][]string{}}
	for _, k := range table.Kinds() {
		if !slices.Contains(c.kinds, k) {
			continue
		}
		l := &line{kind: k, schema: "none", readers: map[string]*tally{}}
		switch {
		case c.crds[key(k.Group, k.Resource)] != nil:
			l.schema = "CRD"
		case c.builtin[key(k.Group, k.Resource)] != nil:
			l.schema = "built in"
		}
		r.lines[k] = l
		r.order = append(r.order, k)
	}
	for _, g := range world.Gaps {
		if l := r.lines[g.Kind]; l != nil {
			l.unsent++
		}
	}
	return r
}

// judge gives the cases of one cluster to every reader.
func (r *report) judge(ctx context.Context, cluster string, readers []reader) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, c := range r.world.Cases {
		if c.Cluster != cluster || r.lines[c.Kind] == nil {
			continue
		}
		group.Go(func() error {
			if ctx.Err() == nil {
				r.one(ctx, c, readers)
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}

// one gives one case to every reader.
func (r *report) one(ctx context.Context, c *corpus.Generated, readers []reader) {
	for i, reader := range readers {
		denial, err := reader.decide(ctx, c)
		r.mu.Lock()
		if i == 0 {
			r.count(c)
		}
		r.note(c, reader, denial, err)
		r.mu.Unlock()
		if a, ok := reader.(*apiServer); ok && err == nil {
			r.compare(c, a, readers, denial)
		}
	}
}

func (r *report) count(c *corpus.Generated) {
	r.sent++
	l := r.lines[c.Kind]
	l.objects++
	if c.Crosses {
		l.crossings++
	}
}

// note counts the answer of one reader.
func (r *report) note(c *corpus.Generated, reader reader, denial string, err error) {
	l := r.lines[c.Kind]
	if l.readers[reader.name()] == nil {
		l.readers[reader.name()] = &tally{}
	}
	t := l.readers[reader.name()]
	at := fmt.Sprintf("%s (%s): %s", c.Title(), c.Cluster, reader.name())
	switch {
	case errors.Is(err, errInvalid) && c.Misshapen:
		l.misshapen++
	case errors.Is(err, errInvalid):
		l.invalid++
		r.problem(invalid, at+": "+short(err.Error()))
	case err != nil:
		r.problem(failed, at+": "+short(err.Error()))
	case c.Crosses && reader.claims(c):
		t.claimed++
		if slices.Contains(corpus.Codes(denial), c.Want) {
			t.refused++
			return
		}
		r.problem(missed, fmt.Sprintf("%s: want %s, got %q", at, c.Want, short(denial)))
	case !c.Crosses && denial != "":
		t.wrongly++
		r.problem(wrongly, at+": "+short(denial))
	}
}

func (r *report) problem(sort, text string) { r.problems[sort] = append(r.problems[sort], text) }

// compare holds the API server to Evaluate, as far as the policies read.
func (r *report) compare(c *corpus.Generated, a *apiServer, readers []reader, denial string) {
	for _, other := range readers {
		e, ok := other.(*evaluator)
		if !ok {
			continue
		}
		message := e.evaluator.OfPolicies().Evaluate(c.Request()).Message
		if got, want := corpus.Codes(denial), corpus.Codes(message); !slices.Equal(got, want) {
			r.mu.Lock()
			r.problem(disagree, fmt.Sprintf("%s (%s): %s says %v, Evaluate %v: %s", c.Title(), c.Cluster, a.name(), got, want, short(denial+" / "+message)))
			r.mu.Unlock()
		}
	}
}

func short(s string) string {
	if s = strings.ReplaceAll(s, "\n", " "); len(s) > 400 {
		return s[:400] + "…"
	}
	return s
}

// markdown is the report as a page of the documentation.
func (r *report) markdown(readers []reader) string {
	var b strings.Builder
	b.WriteString("# Corpus\n\nWritten by `make corpus`. For every row of the table of movement kinds it makes objects that cross a boundary through\n" +
		"that row, and objects that only look like it, and sends them as dry runs to a real API server. *Crossings* are those\n" +
		"planted; a reader's column says how many of those that it claims to see it refused. *Schema*: CRD, that of the project;\n" +
		"none, a CRD that takes everything, as the project publishes none that tests can have. *Invalid*: objects that the API\n" +
		"server refused for their schema. *Rows without*: rows that no crossing object was made for; the reasons stand below.\n\n")
	b.WriteString("| kind | group | schema | objects | crossings |")
	rule := "|---|---|---|---|---|"
	for _, reader := range readers {
		b.WriteString(" " + reader.name() + " |")
		rule += "---|"
	}
	b.WriteString(" false denials | invalid | rows without |\n" + rule + "---|---|---|\n")
	total := &line{readers: map[string]*tally{}}
	for _, k := range r.order {
		l := r.lines[k]
		b.WriteString(l.row(k.Kind, k.Group, readers))
		total.add(l)
	}
	b.WriteString(total.row(fmt.Sprintf("**%d kinds**", len(r.order)), "", readers))
	b.WriteString("\n")
	for _, reader := range readers {
		t := total.tally(reader)
		recall := 100.0
		if t.claimed > 0 {
			recall = 100 * float64(t.refused) / float64(t.claimed)
		}
		fmt.Fprintf(&b, "- %s: recall %.2f %% of %d crossings that it claims to see (%.1f %% of all), %d false denials among %d permitted objects.\n",
			reader.name(), recall, t.claimed, 100*float64(t.claimed)/float64(max(1, total.crossings)), t.wrongly, total.objects-total.crossings)
	}
	fmt.Fprintf(&b, "- %d objects of wrong types were refused by the schema of their kind already, %d valid ones were not sent: invalid by schema.\n", total.misshapen, total.invalid)
	b.WriteString("\n## Rows without a crossing object\n\n| reason | rows |\n|---|---|\n")
	reasons := map[string]int{}
	for _, g := range r.world.Gaps {
		if r.lines[g.Kind] != nil {
			reason, _, _ := strings.Cut(g.Reason, ": ")
			reasons[reason]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "| %s | %d |\n", reason, reasons[reason])
	}
	return b.String()
}

func (l *line) tally(reader reader) *tally {
	if t := l.readers[reader.name()]; t != nil {
		return t
	}
	return &tally{}
}

func (l *line) row(kind, group string, readers []reader) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s | %s | %d | %d |", kind, group, l.schema, l.objects, l.crossings)
	denials := 0
	for _, reader := range readers {
		t := l.tally(reader)
		denials += t.wrongly
		fmt.Fprintf(&b, " %d/%d |", t.refused, t.claimed)
	}
	fmt.Fprintf(&b, " %d | %d | %d |\n", denials, l.invalid, l.unsent)
	return b.String()
}

func (l *line) add(o *line) {
	l.objects += o.objects
	l.crossings += o.crossings
	l.invalid += o.invalid
	l.misshapen += o.misshapen
	l.unsent += o.unsent
	for name, t := range o.readers {
		if l.readers[name] == nil {
			l.readers[name] = &tally{}
		}
		l.readers[name].claimed += t.claimed
		l.readers[name].refused += t.refused
		l.readers[name].wrongly += t.wrongly
	}
}

// explain prints the problems, and the rows without a crossing.
func (r *report) explain(w io.Writer, most int) {
	for _, sort := range slices.Sorted(maps.Keys(r.problems)) {
		list := r.problems[sort]
		slices.Sort(list)
		fmt.Fprintf(w, "\n%d %s:\n", len(list), sort)
		for _, text := range list[:min(most, len(list))] {
			fmt.Fprintln(w, "  "+text)
		}
	}
	gaps := []string{}
	for _, g := range r.world.Gaps {
		if r.lines[g.Kind] != nil {
			gaps = append(gaps, fmt.Sprintf("%s of %q, %s: %s", g.Kind.Kind, g.Kind.Group, g.Field.Path, g.Reason))
		}
	}
	fmt.Fprintf(w, "\n%d rows without a crossing object:\n", len(gaps))
	for _, text := range gaps[:min(most, len(gaps))] {
		fmt.Fprintln(w, "  "+text)
	}
}

// missed is an error if a target is.
func (r *report) missed() error {
	var out []error
	for _, sort := range fatal {
		if n := len(r.problems[sort]); n > 0 {
			out = append(out, fmt.Errorf("%d %s", n, sort))
		}
	}
	return errors.Join(out...)
}
