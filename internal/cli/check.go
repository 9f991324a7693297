// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

// check is the command that judges manifests.
type check struct {
	question
	failOn string
}

func newCheck(streams Streams) *cobra.Command {
	c := &check{}
	cmd := &cobra.Command{
		Use:   "check -f DIR|FILE|-",
		Short: "Say which objects the API server would refuse",
		Long: `Say which objects the API server of a guarded cluster would refuse, with the same codes.

Every object is judged as a new one, by Environments, DataBoundaries and DataLocations from
the hub, from --snapshot, or, when no cluster is named, by the Guards of the cluster of the
kubeconfig context. A folder is searched for .yaml, .yml and .json files, which may hold
several documents and Lists. A document that cannot be read is named by file and line, and
the rest is still checked. Files in a folder that hold no Kubernetes object are skipped.

A Namespace among the objects that is labelled skott.dev/environment puts those in it into
that Environment. What an object leaves out, other objects of the cluster say only if they
are given too: check what is applied together at once.

Exit status: 0 nothing crosses, 1 something does, 2 something could not be read or decided.`,
		Example: `  # What would the cluster of the current context refuse?
  kubectl skott check -f deploy/

  # What would a Workload Cluster refuse? Asked of the hub
  kubectl skott check -f deploy/ --as-cluster safespring/ske-stage --context ops

  # In a pull request, without a cluster
  kustomize build overlays/staging | kubectl skott check -f - --snapshot snapshot.yaml --environment staging
  helm template shop charts/shop | kubectl skott check -f - --snapshot snapshot.yaml --environment staging

  # For code scanning
  kubectl skott check -f deploy/ --snapshot snapshot.yaml --environment staging -o sarif > skott.sarif`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return usageError(cmd, err)
			}
			return c.run(cmd.Context(), streams)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.failOn, "fail-on", "audit", "The mildest action of a boundary that makes the exit status 1: audit (any crossing), warn, or deny (what would be refused)")
	c.target.bind(flags)
	c.bind(flags, "Files or folders to check, searched to the bottom; - for standard input", "Output format: table, json, yaml or sarif")
	return cmd
}

func (c *check) validate() error {
	if len(c.files) == 0 {
		return errors.New("must specify -f")
	}
	return errors.Join(c.question.validate("table", "json", "yaml", "sarif"),
		oneOf("fail-on", c.failOn, "audit", "warn", "deny"), c.target.validate())
}

// result is what check found.
type result struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Clusters   []skottv1.GuardedCluster `json:"clusters"`
	Summary    summary                  `json:"summary"`
	Findings   []finding                `json:"findings"`
	Errors     []problem                `json:"errors,omitempty"`
	Skipped    []string                 `json:"skipped,omitempty"`

	who string
}

// summary counts.
type summary struct {
	// Objects that were judged, and how many of them cross.
	Objects  int `json:"objects"`
	Crossing int `json:"crossing"`
	// Findings in them, and what could not be read.
	Findings int `json:"findings"`
	Errors   int `json:"errors"`
}

// outputVersion of everything that this command prints for other programs.
const outputVersion = "cli.skott.dev/v1alpha1"

func (c *check) run(ctx context.Context, streams Streams) error {
	in, _, j, err := c.load(ctx, streams)
	if err != nil {
		return err
	}
	r := j.judge(in)
	if r.Summary.Objects == 0 && len(r.Errors) == 0 && !r.emptyLists(in) {
		return fmt.Errorf("no objects were given: nothing in %s is a Kubernetes object", strings.Join(c.files, ", "))
	}
	if err := c.print(r, streams); err != nil {
		return err
	}
	return c.verdict(r)
}

// judge checks every object of the input.
func (j *judge) judge(in *input) *result {
	r := &result{APIVersion: outputVersion, Kind: "CheckResult", Clusters: j.clusters, Findings: []finding{}, Errors: in.problems, who: j.who()}
	in.read(func(s *source, d *document) {
		in.objects(s, d, func(o *object) {
			r.Summary.Objects++
			if found := j.check(o); len(found) > 0 {
				r.Summary.Crossing++
				r.Findings = append(r.Findings, found...)
			}
		}, func(p problem) { r.Errors = append(r.Errors, p) })
	}, func(p problem) { r.Errors = append(r.Errors, p) })
	r.Skipped = in.skipped
	r.Summary.Findings, r.Summary.Errors = len(r.Findings), len(r.Errors)
	return r
}

// objects are those of a document. Files that a folder happens to hold, such as the values
// of a chart, need not be any.
func (in *input) objects(s *source, d *document, visit func(*object), broken func(problem)) {
	d.objects(visit, func(err error, p problem) {
		if !s.named && errors.Is(err, errNotKubernetes) {
			if n := len(in.skipped); n == 0 || in.skipped[n-1] != s.name {
				in.skipped = append(in.skipped, s.name)
			}
			return
		}
		broken(p)
	})
}

// emptyLists reports whether there was something, which held nothing: a List without items.
func (r *result) emptyLists(in *input) bool {
	found := false
	in.read(func(_ *source, d *document) { found = found || d.mayHold("List") && d.mayHold("items") }, func(problem) {})
	return found
}

// verdict is the exit status: what could not be read weighs more than what was found.
func (c *check) verdict(r *result) error {
	if len(r.Errors) > 0 {
		return errReported
	}
	mildest := slices.IndexFunc(actions, func(a skottv1.Action) bool { return strings.EqualFold(string(a), c.failOn) })
	if slices.ContainsFunc(r.Findings, func(f finding) bool { return strictness(f.Action) <= mildest }) {
		return errCrossings
	}
	return nil
}

func (c *check) print(r *result, streams Streams) error {
	complain(streams, r.Errors)
	switch c.output {
	case "sarif":
		return printJSON(streams.Out, r.sarif())
	case "json", "yaml":
		return printAs(c.output, streams.Out, r)
	}
	return r.table(streams)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// complain tells of what could not be read.
func complain(streams Streams, problems []problem) {
	for _, p := range problems {
		_, _ = fmt.Fprintln(streams.Err, "error: "+printable(p.Error()))
	}
}

// table prints what was found for people: one line each, then what the API server says.
func (r *result) table(streams Streams) error {
	t := newGrid("FILE:LINE", "KIND", "NAMESPACE/NAME", "CODE", "FIELD", "VALUE", "OWNER", "BOUNDARY")
	for i := range r.Findings {
		f := &r.Findings[i]
		code := string(f.Code)
		if f.Action != skottv1.ActionDeny {
			code += " (" + strings.ToLower(string(f.Action)) + ")"
		}
		t.row(fmt.Sprintf("%s:%d", f.File, f.Line), f.Kind, f.fullName(), code, f.Field, f.Value, f.Owner, f.Boundary)
	}
	if len(r.Findings) > 0 {
		if err := t.print(streams.Out); err != nil {
			return err
		}
		if err := r.messages(streams.Out); err != nil {
			return err
		}
	}
	for _, s := range r.Skipped {
		_, _ = fmt.Fprintln(streams.Err, "skipped: "+printable(s)+" holds a document that is no Kubernetes object")
	}
	_, err := fmt.Fprintln(streams.Err, r.sentence())
	return err
}

// sentence sums up.
func (r *result) sentence() string {
	s := plural(r.Summary.Objects, "object", "objects") + " checked as " + r.who + ": "
	if r.Summary.Findings == 0 {
		s += "nothing crosses"
	} else {
		s += fmt.Sprintf("%s in %s", plural(r.Summary.Findings, "crossing", "crossings"), plural(r.Summary.Crossing, "object", "objects"))
	}
	if r.Summary.Errors > 0 {
		s += "; " + plural(r.Summary.Errors, "document", "documents") + " could not be read"
	}
	return s
}

// messages are the answers of the API server, each once.
func (r *result) messages(w io.Writer) error {
	var last finding
	for _, f := range r.Findings {
		if f.Message == last.Message && f.File == last.File && f.fullName() == last.fullName() {
			continue
		}
		last = f
		head := fmt.Sprintf("\n%s:\n", printable(f.Kind+" "+f.fullName()))
		if _, err := io.WriteString(w, head+wrap(f.Message, "  ")); err != nil {
			return err
		}
	}
	return nil
}

func (f *finding) fullName() string {
	name := f.Name
	if name == "" {
		name = "-"
	}
	if f.Namespace != "" {
		return f.Namespace + "/" + name
	}
	return name
}
