// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// world is what decides: the objects of a hub, or the Guards of one cluster.
type world struct {
	// source in words, for errors.
	source string

	environments []skottv1.Environment
	boundaries   []skottv1.DataBoundary
	locations    []skottv1.DataLocation
	clusters     []skottv1.ManagementCluster
	kinds        []skottv1.MovementKind
	// guards of one cluster, compiled already. There is nothing else then.
	guards []*skottv1.Guard
}

// snapshot is the world as the hub decides by it. A boundary that was deleted still acts
// while it is there.
func (w *world) snapshot() policy.Snapshot {
	rules, _ := w.rules()
	return policy.Snapshot{Environments: w.environments, Boundaries: w.boundaries, Locations: w.locations, Rules: rules}
}

// environment finds an Environment by name.
func (w *world) environment(name string) *skottv1.Environment {
	i := slices.IndexFunc(w.environments, func(e skottv1.Environment) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &w.environments[i]
}

// cluster finds a ManagementCluster by name.
func (w *world) cluster(name string) *skottv1.ManagementCluster {
	i := slices.IndexFunc(w.clusters, func(m skottv1.ManagementCluster) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &w.clusters[i]
}

// add takes one object of the hub. Objects of other groups are nothing of a snapshot's, so
// that a folder of everything that is applied to the hub is a snapshot too.
func (w *world) add(content map[string]any, strict bool) error {
	apiVersion, kind := text(content["apiVersion"]), text(content["kind"])
	group, version, _ := strings.Cut(apiVersion, "/")
	if group != skottv1.GroupVersion.Group {
		return nil
	}
	if version != skottv1.GroupVersion.Version {
		return fmt.Errorf("apiVersion: %q is not known here, only %s", apiVersion, skottv1.GroupVersion)
	}
	switch kind {
	case "Environment":
		return appendAs(&w.environments, content, strict)
	case "DataBoundary":
		return appendAs(&w.boundaries, content, strict)
	case "DataLocation":
		return appendAs(&w.locations, content, strict)
	case "ManagementCluster":
		return appendAs(&w.clusters, content, strict)
	case "MovementKind":
		return appendAs(&w.kinds, content, strict)
	case "Guard":
		return appendAs(&w.guards, content, strict)
	}
	return fmt.Errorf("kind: %q is not known; is this kubectl-skott older than the hub?", kind)
}

// appendAs decodes an object. A field that is not known in a snapshot might decide, so it
// is an error there.
func appendAs[T any](list *[]T, content map[string]any, strict bool) error {
	var item T
	if err := decode(content, &item, strict); err != nil {
		return err
	}
	*list = append(*list, item)
	return nil
}

func decode(content map[string]any, into any, strict bool) error {
	if !strict {
		return runtime.DefaultUnstructuredConverter.FromUnstructured(content, into)
	}
	raw, err := yaml.Marshal(content)
	if err != nil {
		return err
	}
	err = yaml.UnmarshalStrict(raw, into)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: json: "))
	}
	return nil
}

// complete sorts what was read and refuses what cannot decide anything.
func (w *world) complete() error {
	byName := func(a, b string) int { return strings.Compare(a, b) }
	slices.SortFunc(w.environments, func(a, b skottv1.Environment) int { return byName(a.Name, b.Name) })
	slices.SortFunc(w.boundaries, func(a, b skottv1.DataBoundary) int { return byName(a.Name, b.Name) })
	slices.SortFunc(w.locations, func(a, b skottv1.DataLocation) int { return byName(a.Name, b.Name) })
	slices.SortFunc(w.clusters, func(a, b skottv1.ManagementCluster) int { return byName(a.Name, b.Name) })
	slices.SortFunc(w.guards, func(a, b *skottv1.Guard) int { return byName(a.Name, b.Name) })
	slices.SortFunc(w.kinds, func(a, b skottv1.MovementKind) int { return byName(a.Name, b.Name) })
	hub := len(w.environments) + len(w.boundaries) + len(w.locations) + len(w.clusters) + len(w.kinds)
	switch {
	case len(w.guards) > 0 && hub > 0:
		return fmt.Errorf("%s holds both Guards and objects of a hub: give one or the other", w.source)
	case len(w.guards) > 0:
		return w.completeGuards()
	case len(w.environments) == 0:
		return fmt.Errorf("%s holds no Environment: it is no hub of Skott", w.source)
	}
	return errors.Join(
		twice(w.environments, func(e *skottv1.Environment) string { return "Environment/" + e.Name }),
		twice(w.boundaries, func(b *skottv1.DataBoundary) string { return "DataBoundary/" + b.Name }),
		twice(w.locations, func(d *skottv1.DataLocation) string { return "DataLocation/" + d.Name }),
		twice(w.clusters, func(m *skottv1.ManagementCluster) string { return "ManagementCluster/" + m.Name }),
		twice(w.kinds, func(k *skottv1.MovementKind) string { return "MovementKind/" + k.Name }),
		w.rejected())
}

// twice finds neighbours of one name.
func twice[T any](items []T, name func(*T) string) error {
	for i := 1; i < len(items); i++ {
		if a := name(&items[i]); a == name(&items[i-1]) {
			return fmt.Errorf("%s is there twice", a)
		}
	}
	return nil
}

// rejected refuses addresses that the hub's API server would refuse: left out, they would
// let something through.
func (w *world) rejected() error {
	return errors.Join(policy.New(policy.Snapshot{Locations: w.locations}).Rejected()...)
}

// completeGuards checks that the Guards are those of one cluster. Deny comes
// first, as it is the strictest.
func (w *world) completeGuards() error {
	first := w.guards[0]
	deny := false
	for _, g := range w.guards {
		if g.Spec.Cluster.Name != first.Spec.Cluster.Name || g.Spec.Cluster.ManagementCluster != first.Spec.Cluster.ManagementCluster {
			return fmt.Errorf("%s holds Guards of two clusters, %q and %q", w.source, first.Spec.Cluster.Name, g.Spec.Cluster.Name)
		}
		deny = deny || g.Spec.Action == skottv1.ActionDeny
	}
	if !deny {
		return fmt.Errorf("%s lacks the Guard of action Deny: take all of them, with kubectl get guards -o yaml", w.source)
	}
	slices.SortStableFunc(w.guards, func(a, b *skottv1.Guard) int {
		return cmp.Compare(strictness(a.Spec.Action), strictness(b.Spec.Action))
	})
	return twice(w.guards, func(g **skottv1.Guard) string { return "Guard/" + (*g).Name })
}

// actions, strictest first.
var actions = []skottv1.Action{skottv1.ActionDeny, skottv1.ActionWarn, skottv1.ActionAudit}

func strictness(a skottv1.Action) int { return slices.Index(actions, a) }

// readSnapshot reads the objects of a hub, or the Guards of a cluster, from a file, a
// folder or, with "-", from stdin.
func readSnapshot(name string, stdin io.Reader) (*world, error) {
	in, err := newInput([]string{name}, stdin)
	if err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "-f", "--snapshot", 1))
	}
	w := &world{source: name}
	if name == "-" {
		w.source = stdinName
	}
	var errs []error
	broken := func(p problem) { errs = append(errs, p) }
	for _, p := range in.problems {
		broken(p)
	}
	in.read(func(_ *source, d *document) {
		d.objects(func(o *object) {
			if err := w.add(o.content, true); err != nil {
				broken(problem{File: d.file, Line: o.position("", ""), Message: o.title() + ": " + err.Error()})
			}
		}, func(err error, p problem) {
			if !errors.Is(err, errNotKubernetes) {
				broken(p)
			}
		})
	}, broken)
	if len(errs) > 0 {
		return nil, fmt.Errorf("cannot read the snapshot: %w", errors.Join(errs...))
	}
	if err := w.complete(); err != nil {
		return nil, fmt.Errorf("cannot use the snapshot: %w", err)
	}
	return w, nil
}

// title is kind and name of an object, for people.
func (o *object) title() string {
	name := cmp.Or(o.name, "(without name)")
	if o.namespace != "" {
		name = o.namespace + "/" + name
	}
	return o.gvk.Kind + " " + name
}
