// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/policy"
)

// explain is the command that says why.
type explain struct {
	question
	all bool
}

func newExplain(streams Streams) *cobra.Command {
	e := &explain{}
	cmd := &cobra.Command{
		Use:   "explain [CODE | -f FILE]",
		Short: "Say what a code means, or what an object names and to whom that belongs",
		Long: `Say what a code means, or what an object names and to whom that belongs.

With a code this prints the section of docs/denials.md on it. With -f it lists every address
that an object names, who owns it, who said so (for what Skott learned: the objects that it
was seen in, if your snapshot or your rights on the hub show them), and whether a boundary
forbids to name it here. Of texts with several words it lists what somebody owns only,
unless --all is given. Without arguments it lists all codes.

Exit status as of "kubectl skott check".`,
		Example: `  # What does this refusal mean?
  kubectl skott explain SKOTT-D102

  # What does Skott see in this object?
  kubectl skott explain -f backup.yaml --as-cluster safespring/ske-stage

  # The same for an object that exists
  kubectl get bsl nightly -n velero -o yaml | kubectl skott explain -f -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := e.validate(args); err != nil {
				return usageError(cmd, err)
			}
			switch {
			case len(e.files) > 0:
				return e.run(cmd.Context(), streams)
			case len(args) == 0:
				return listCodes(streams.Out)
			}
			code, err := parseCode(args[0])
			if err != nil {
				return err
			}
			return explainCode(streams.Out, code)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&e.all, "all", false, "With -f: also list what stands in longer texts and belongs to nobody")
	e.target.bind(flags)
	e.bind(flags, "Files or folders of objects to explain; - for standard input", "Output format with -f: table, json or yaml")
	return cmd
}

func (e *explain) validate(args []string) error {
	if len(args) > 0 && len(e.files) > 0 {
		return errors.New("a code and -f exclude each other")
	}
	return errors.Join(e.question.validate("table", "json", "yaml"), e.target.validate())
}

// explanation is what is known of one object.
type explanation struct {
	File       string      `json:"file"`
	Line       int         `json:"line"`
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Namespace  string      `json:"namespace,omitempty"`
	Name       string      `json:"name,omitempty"`
	Known      bool        `json:"inTable"`
	Hidden     string      `json:"hidden,omitempty"`
	References []reference `json:"references"`
	Findings   []finding   `json:"findings"`

	place string
}

// reference is one address that the object names.
type reference struct {
	Line     int         `json:"line"`
	Field    string      `json:"field"`
	Says     string      `json:"says"`
	Value    string      `json:"value"`
	Known    bool        `json:"known"`
	Match    string      `json:"match,omitempty"`
	Owner    string      `json:"owner,omitempty"`
	Shared   bool        `json:"shared,omitempty"`
	Code     policy.Code `json:"code,omitempty"`
	Boundary string      `json:"boundary,omitempty"`
	Origins  []string    `json:"origins,omitempty"`
}

// explanations are the output for programs.
type explanations struct {
	APIVersion string                   `json:"apiVersion"`
	Kind       string                   `json:"kind"`
	Clusters   []skottv1.GuardedCluster `json:"clusters"`
	Objects    []explanation            `json:"objects"`
	Errors     []problem                `json:"errors,omitempty"`
}

func (e *explain) run(ctx context.Context, streams Streams) error {
	in, w, j, err := e.load(ctx, streams)
	if err != nil {
		return err
	}
	sources := w.origins()
	out := explanations{APIVersion: outputVersion, Kind: "Explanations", Clusters: j.clusters, Objects: []explanation{}, Errors: in.problems}
	crossing := false
	broken := func(p problem) { out.Errors = append(out.Errors, p) }
	in.read(func(s *source, d *document) {
		in.objects(s, d, func(o *object) {
			x := j.explain(o, sources, e.all)
			crossing = crossing || len(x.Findings) > 0
			out.Objects = append(out.Objects, x)
		}, broken)
	}, broken)
	if len(out.Objects) == 0 && len(out.Errors) == 0 {
		return fmt.Errorf("no objects were given: nothing in %s is a Kubernetes object", strings.Join(e.files, ", "))
	}
	if err := e.print(&out, streams); err != nil {
		return err
	}
	switch {
	case len(out.Errors) > 0:
		return errReported
	case crossing:
		return errCrossings
	}
	return nil
}

// explain lists what an object names, with what any boundary says of it.
func (j *judge) explain(o *object, sources map[string][]string, all bool) explanation {
	r := j.request(o)
	x := explanation{
		File: o.document.file, Line: o.position("", ""), APIVersion: o.gvk.GroupVersion().String(), Kind: o.gvk.Kind,
		Namespace: o.namespace, Name: o.name, References: []reference{}, Findings: j.check(o), place: j.sides[0].evaluator.Place(r),
	}
	kind := j.table.kind(o.gvk)
	if kind == nil {
		return x
	}
	x.Known, x.Hidden = true, kind.Hidden
	type key struct{ field, says, value string }
	index := map[key]int{}
	for _, s := range j.sides {
		for _, ref := range s.evaluator.References(r) {
			if ref.Prose && ref.Match == "" && !all {
				continue
			}
			k := key{ref.Path, ref.Says, ref.Address}
			i, known := index[k]
			if !known {
				i = len(x.References)
				index[k] = i
				x.References = append(x.References, reference{Field: ref.Path, Says: ref.Says, Value: ref.Address})
			}
			x.References[i].merge(&ref, sources)
		}
	}
	for i := range x.References {
		x.References[i].Line = o.position(x.References[i].Field, x.References[i].Value)
	}
	return x
}

// merge adds what the Guard of one action says.
func (r *reference) merge(ref *policy.Reference, sources map[string][]string) {
	if ref.Match != "" && (!r.Known || len(ref.Match) > len(r.Match)) {
		r.Known, r.Match, r.Owner, r.Shared = true, ref.Match, ref.Owner, ref.Owner == ""
		r.Origins = sources[ref.Match]
	}
	if v := ref.Violation; v != nil && r.Code == "" {
		r.Code, r.Boundary, r.Owner, r.Shared = v.Code, v.Boundary, v.Owner, false
	}
}

// origins says for every address, in canonical form, who declared it or where it was seen.
func (w *world) origins() map[string][]string {
	out := map[string][]string{}
	for i := range w.locations {
		d := &w.locations[i]
		said := []string{"DataLocation " + d.Name + " (" + cmp.Or(d.Labels[skottv1.LabelOrigin], "declared") + ")"}
		for _, o := range d.Status.Origins {
			said = append(said, seen(o))
		}
		for _, a := range d.Spec.Addresses {
			if parsed, err := address.Parse(address.Type(a.Type), a.Value); err == nil {
				out[parsed.Key()] = append(out[parsed.Key()], said...)
			}
		}
	}
	return out
}

// seen says in which object an address was seen.
func seen(o skottv1.Origin) string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	s := "seen in " + o.Kind + " " + name + " at " + o.Path
	if o.Cluster != "" {
		s += ", cluster " + o.Cluster
	}
	if o.ManagementCluster != "" {
		s += ", under " + o.ManagementCluster
	}
	return s
}

func (e *explain) print(out *explanations, streams Streams) error {
	complain(streams, out.Errors)
	if e.output != "table" {
		return printAs(e.output, streams.Out, out)
	}
	for i := range out.Objects {
		if i > 0 {
			if _, err := fmt.Fprintln(streams.Out); err != nil {
				return err
			}
		}
		if err := out.Objects[i].print(streams.Out); err != nil {
			return err
		}
	}
	return nil
}

// print explains one object to people.
func (x *explanation) print(w io.Writer) error {
	name := (&finding{Namespace: x.Namespace, Name: x.Name}).fullName()
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s %s, in Environment %q\n", printable(x.File), x.Line, printable(x.Kind), printable(name), x.place)
	switch {
	case !x.Known && len(x.Findings) == 0:
		b.WriteString(wrap("This kind is in no table of movement kinds: it is only searched for addresses that stand out, and holds none that crosses. \"kubectl skott coverage -f\" says whether it looks as if it moved data.", "  "))
	case len(x.References) == 0 && len(x.Findings) == 0:
		b.WriteString(wrap("It names no address that its kind is read for.", "  "))
	}
	if x.Hidden != "" {
		b.WriteString(wrap("What it does not show: "+x.Hidden, "  "))
	}
	for i := range x.References {
		r := &x.References[i]
		fmt.Fprintf(&b, "\n  line %d: %s %s %s\n", r.Line, printable(r.Field), printable(r.Says), printable(r.Value))
		b.WriteString(wrap(r.owner(), "    "))
		for _, o := range r.Origins {
			b.WriteString(wrap(o, "      "))
		}
	}
	if len(x.Findings) > 0 {
		var last string
		for _, f := range x.Findings {
			if f.Message == last {
				continue
			}
			last = f.Message
			fmt.Fprintf(&b, "\n  %s\n", outcome[f.Action])
			b.WriteString(wrap(f.Message, "    "))
			b.WriteString(wrap("Instead: "+sectionOf(f.Code).instead, "    "))
		}
	} else if x.Known {
		b.WriteString("\n  Nothing of this crosses a boundary here.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// outcome of a request by the action of the boundary that it crosses.
var outcome = map[skottv1.Action]string{
	skottv1.ActionDeny: "Refused:", skottv1.ActionWarn: "Admitted, with a warning:", skottv1.ActionAudit: "Admitted, and recorded in the audit log:",
}

// owner says in a sentence to whom an address belongs.
func (r *reference) owner() string {
	s := ""
	switch {
	case !r.Known && r.Code == "":
		return "is known to nobody: it is not refused"
	case r.Shared:
		s = "is shared: it belongs to several Environments"
	default:
		s = fmt.Sprintf("belongs to Environment %q", r.Owner)
	}
	if r.Match != "" && r.Match != r.Value {
		s += ", by " + printable(r.Match)
	}
	if r.Code != "" {
		s += fmt.Sprintf(": DataBoundary %q forbids it here (%s)", r.Boundary, r.Code)
	}
	return s
}
