// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// coverage is the command that lists what cannot be seen.
type coverage struct {
	question
	remote bool
}

func newCoverage(streams Streams) *cobra.Command {
	c := &coverage{}
	cmd := &cobra.Command{
		Use:   "coverage [-f DIR|FILE|-]",
		Short: "List what Skott cannot see",
		Long: `List what Skott cannot see: what objects of the kinds that it reads do not show, kinds that
move data in the clusters and are in no table, clusters whose denials are not recorded, and, with -f, objects of kinds in no table
that look as if they moved data. What the last kind of finding says is a guess from the
names of fields, and is refused nowhere: a MovementKind on the hub changes that.

Without --snapshot, --context or --kubeconfig no cluster is asked: the table of the project
is listed.`,
		Example: `  # What does the table of the project leave out?
  kubectl skott coverage

  # What of the clusters that the hub knows?
  kubectl skott coverage --context ops

  # Does this repository hold movers that Skott does not know?
  kubectl skott coverage -f deploy/ --snapshot snapshot.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate("table", "json", "yaml"); err != nil {
				return usageError(cmd, err)
			}
			flags := cmd.Flags()
			c.remote = flags.Changed("snapshot") || flags.Changed("context") || flags.Changed("kubeconfig") || flags.Changed("cluster")
			return c.run(cmd.Context(), streams)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.target.asCluster, "as-cluster", "", "Only what is known of this ManagementCluster")
	c.bind(flags, "Files or folders to look for movers in; - for standard input", "Output format: table, json or yaml")
	return cmd
}

// gaps are what cannot be seen.
type gaps struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Kinds that are read, and how many of them do not show everything.
	Kinds  int         `json:"kinds"`
	Hidden []hiddenGap `json:"hidden"`
	// Ungoverned are kinds in clusters that are in no table.
	Ungoverned []ungoverned `json:"ungoverned"`
	// Denials are clusters of which is not recorded what they deny.
	Denials []unrecorded `json:"denials"`
	// Movers are objects of kinds in no table.
	Movers []mover   `json:"movers"`
	Errors []problem `json:"errors,omitempty"`
}

// hiddenGap is what objects of a kind do not show.
type hiddenGap struct {
	Group  string `json:"group,omitempty"`
	Kind   string `json:"kind"`
	Hidden string `json:"hidden"`
}

// ungoverned is a kind of a cluster that is in no table.
type ungoverned struct {
	Cluster string `json:"cluster"`
	Kind    string `json:"kind"`
}

// unrecorded is a ManagementCluster whose audit events do not arrive, or not all.
type unrecorded struct {
	Cluster string `json:"cluster"`
	Reason  string `json:"reason"`
}

func (c *coverage) run(ctx context.Context, streams Streams) error {
	in, err := newInput(c.files, streams.In)
	if err != nil {
		return err
	}
	w := &world{}
	if c.remote {
		if w, err = c.origin.load(ctx, wantHub, streams); err != nil {
			return err
		}
	}
	g := gaps{APIVersion: outputVersion, Kind: "Coverage", Hidden: []hiddenGap{}, Movers: []mover{}, Errors: in.problems}
	t := w.table()
	for _, k := range t.Kinds() {
		g.Kinds++
		if k.Hidden != "" {
			g.Hidden = append(g.Hidden, hiddenGap{Group: k.Group, Kind: k.Kind, Hidden: k.Hidden})
		}
	}
	if g.Ungoverned, err = c.ungoverned(w); err != nil {
		return err
	}
	g.Denials = c.unrecorded(w)
	book := w.book()
	broken := func(p problem) { g.Errors = append(g.Errors, p) }
	in.read(func(s *source, d *document) {
		in.objects(s, d, func(o *object) {
			if m, found := t.mover(o, book); found {
				g.Movers = append(g.Movers, m)
			}
		}, broken)
	}, broken)
	complain(streams, g.Errors)
	if err := c.print(&g, streams.Out); err != nil {
		return err
	}
	if len(g.Errors) > 0 {
		return errReported
	}
	return nil
}

// ungoverned are the kinds that Skott found in clusters and that are in no table.
func (c *coverage) ungoverned(w *world) ([]ungoverned, error) {
	out := []ungoverned{}
	if c.target.asCluster != "" && w.cluster(c.target.asCluster) == nil {
		return nil, fmt.Errorf("--as-cluster %q: %s knows no such ManagementCluster", c.target.asCluster, w.source)
	}
	for i := range w.clusters {
		m := &w.clusters[i]
		if c.target.asCluster != "" && m.Name != c.target.asCluster {
			continue
		}
		for _, kind := range ungovernedKinds(m) {
			out = append(out, ungoverned{Cluster: m.Name, Kind: kind})
		}
	}
	return out, nil
}

// unrecorded are the clusters whose denials nobody hears of. A snapshot without statuses
// says no more than whether there is a source.
func (c *coverage) unrecorded(w *world) []unrecorded {
	out := []unrecorded{}
	for i := range w.clusters {
		m := &w.clusters[i]
		if c.target.asCluster != "" && m.Name != c.target.asCluster {
			continue
		}
		said := meta.FindStatusCondition(m.Status.Conditions, skottv1.ConditionDenialsCollected)
		switch {
		case m.Spec.Audit == nil:
			out = append(out, unrecorded{m.Name, skottv1.ReasonNoAuditSource + ": spec.audit is not set"})
		case said != nil && said.Status != metav1.ConditionTrue:
			out = append(out, unrecorded{m.Name, said.Reason + ": " + said.Message})
		}
	}
	return out
}

func (c *coverage) print(g *gaps, w io.Writer) error {
	if c.output != "table" {
		return printAs(c.output, w, g)
	}
	if _, err := fmt.Fprintf(w, "%s of objects are read. What stands in the others is not, nor is:\n", plural(g.Kinds, "kind", "kinds")); err != nil {
		return err
	}
	var hidden, kinds, denials, movers grid
	for _, h := range g.Hidden {
		hidden.rows = append(hidden.rows, []string{groupKind(h.Group, h.Kind), h.Hidden})
	}
	for _, u := range g.Ungoverned {
		kinds.rows = append(kinds.rows, []string{u.Cluster, u.Kind})
	}
	for _, u := range g.Denials {
		denials.rows = append(denials.rows, []string{u.Cluster, u.Reason})
	}
	for i := range g.Movers {
		m := &g.Movers[i]
		movers.row(fmt.Sprintf("%s:%d", m.File, m.Line), groupKind(m.Group, m.Kind), (&finding{Namespace: m.Namespace, Name: m.Name}).fullName(), m.Field, m.Owner)
	}
	hidden.header, kinds.header = []string{"KIND", "HIDDEN"}, []string{"CLUSTER", "KIND IN NO TABLE"}
	denials.header = []string{"CLUSTER", "DENIALS NOT RECORDED"}
	movers.header = []string{"FILE:LINE", "KIND IN NO TABLE", "NAMESPACE/NAME", "FIELD", "OWNER"}
	for _, t := range []*grid{&hidden, &kinds, &denials, &movers} {
		if len(t.rows) == 0 {
			continue
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		if err := t.print(w); err != nil {
			return err
		}
	}
	return nil
}

func groupKind(group, kind string) string {
	if group == "" {
		return kind
	}
	return strings.Join([]string{kind, group}, ".")
}
