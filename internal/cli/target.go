// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

// question is what check, explain and coverage are asked: of which files, as which cluster, by
// whose word, and how they answer.
type question struct {
	origin origin
	target target
	files  []string
	output string
}

// bind adds flags, with what -f and -o mean. Those of the target are not among them.
func (q *question) bind(flags *pflag.FlagSet, files, output string) {
	flags.StringSliceVarP(&q.files, "filename", "f", nil, files)
	flags.StringVarP(&q.output, "output", "o", "table", output)
	q.origin.bind(flags)
}

func (q *question) validate(formats ...string) error {
	if q.origin.snapshot == "-" && slices.Contains(q.files, "-") {
		return errors.New("--snapshot - and -f -: standard input can be read once only")
	}
	return oneOf("output", q.output, formats...)
}

// load finds the files, and makes what decides judge over them.
func (q *question) load(ctx context.Context, streams Streams) (*input, *world, *judge, error) {
	in, err := newInput(q.files, streams.In)
	if err != nil {
		return nil, nil, nil, err
	}
	w, err := q.origin.load(ctx, q.target.wants(), streams)
	if err != nil {
		return nil, nil, nil, err
	}
	j, err := newJudge(w, &q.target, q.origin.namespace(), in)
	return in, w, j, err
}

// target says whose API server is to answer.
type target struct{ asCluster, environment, datacenter string }

func (t *target) bind(flags *pflag.FlagSet) {
	flags.StringVar(&t.asCluster, "as-cluster", "", "Answer as this cluster: the name of a ManagementCluster, NAMESPACE/NAME of a Workload Cluster, or MANAGEMENTCLUSTER/NAMESPACE/NAME")
	flags.StringVar(&t.environment, "environment", "", "Answer as any Workload Cluster of this Environment")
	flags.StringVar(&t.datacenter, "datacenter", "", "With --environment: the datacenter of the cluster, which decides what private networks mean; default every one that is known of the Environment")
}

func (t *target) validate() error {
	switch {
	case t.asCluster != "" && t.environment != "":
		return errors.New("--as-cluster and --environment exclude each other")
	case t.datacenter != "" && t.environment == "":
		return errors.New("--datacenter needs --environment")
	}
	return nil
}

// wants is what a cluster is asked for: without a target it answers for itself.
func (t *target) wants() want {
	if t.asCluster == "" && t.environment == "" {
		return wantGuards
	}
	return wantHub
}

// clusters that the answer is for. There are several where what is asked for leaves the
// datacenter open; what any of them refuses counts.
func (t *target) clusters(w *world) ([]skottv1.GuardedCluster, error) {
	switch {
	case len(w.guards) > 0:
		return t.ofGuard(w)
	case t.environment != "":
		return t.ofEnvironment(w)
	case t.asCluster == "":
		return nil, errors.New("say which cluster is to answer: --as-cluster NAME, or --environment NAME")
	case strings.Contains(t.asCluster, "/"):
		return t.workload(w)
	}
	m := w.cluster(t.asCluster)
	if m == nil {
		return nil, fmt.Errorf("--as-cluster %q: %s knows no such ManagementCluster%s", t.asCluster, w.source, among(namesOf(w.clusters, func(m *skottv1.ManagementCluster) string { return m.Name })))
	}
	return []skottv1.GuardedCluster{guarded(m)}, nil
}

func guarded(m *skottv1.ManagementCluster) skottv1.GuardedCluster {
	return skottv1.GuardedCluster{
		Name: m.Name, ManagementCluster: m.Name, Role: string(m.Spec.Role), Environment: m.EnvironmentName(), Datacenter: m.Spec.Datacenter,
	}
}

// ofGuard checks that a Guard, which speaks for one cluster, is of the one that is meant.
func (t *target) ofGuard(w *world) ([]skottv1.GuardedCluster, error) {
	c := w.guards[0].Spec.Cluster
	switch {
	case t.asCluster != "" && t.asCluster != c.Name && t.asCluster != c.ManagementCluster+"/"+c.Name:
		return nil, fmt.Errorf("--as-cluster %q: %s holds the Guard of cluster %q, which answers for that one only", t.asCluster, w.source, c.Name)
	case t.environment != "" && t.environment != c.Environment:
		return nil, fmt.Errorf("--environment %q: %s holds the Guard of a cluster of Environment %q, which answers for that one only", t.environment, w.source, c.Environment)
	case t.datacenter != "" && t.datacenter != c.Datacenter:
		return nil, fmt.Errorf("--datacenter %q: %s holds the Guard of a cluster in %q, which answers for that one only", t.datacenter, w.source, c.Datacenter)
	}
	return []skottv1.GuardedCluster{c}, nil
}

func (t *target) ofEnvironment(w *world) ([]skottv1.GuardedCluster, error) {
	e := w.environment(t.environment)
	if e == nil {
		return nil, fmt.Errorf("--environment %q: %s knows no such Environment%s", t.environment, w.source, among(namesOf(w.environments, func(e *skottv1.Environment) string { return e.Name })))
	}
	datacenters := map[string]bool{}
	switch {
	case t.datacenter != "":
		datacenters[t.datacenter] = true
	default:
		for _, d := range e.Spec.Datacenters {
			datacenters[d] = true
		}
		for i := range w.clusters {
			if w.clusters[i].EnvironmentName() == e.Name {
				datacenters[w.clusters[i].Spec.Datacenter] = true
			}
		}
	}
	if len(datacenters) == 0 {
		datacenters["unknown"] = true
	}
	var out []skottv1.GuardedCluster
	for _, d := range slices.Sorted(maps.Keys(datacenters)) {
		out = append(out, skottv1.GuardedCluster{
			Name: "any of " + e.Name, ManagementCluster: "any", Role: roleWorkload, Environment: e.Name, Datacenter: d,
		})
	}
	return out, nil
}

// roleWorkload is what a Guard calls a Cluster of Cluster API.
const roleWorkload = "Workload"

// workload finds a Cluster by the names that Skott recorded.
func (t *target) workload(w *world) ([]skottv1.GuardedCluster, error) {
	parts := strings.Split(t.asCluster, "/")
	under := ""
	if len(parts) == 3 {
		under, parts = parts[0], parts[1:]
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return nil, fmt.Errorf("--as-cluster %q: must be NAME, NAMESPACE/NAME or MANAGEMENTCLUSTER/NAMESPACE/NAME", t.asCluster)
	}
	key := address.ClusterKey(parts[0], parts[1])
	owners := map[string]bool{}
	for i := range w.locations {
		d := &w.locations[i]
		owner := d.Labels[skottv1.LabelManagementCluster]
		if d.Labels[skottv1.LabelOrigin] != "learned" || owner == "" || under != "" && owner != under {
			continue
		}
		for _, a := range d.Spec.Addresses {
			if parsed, err := address.Parse(address.Type(a.Type), a.Value); err == nil && parsed.Type() == address.ClusterEndpoint && parsed.Key() == key {
				owners[owner] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(owners))
	if len(names) == 0 {
		return nil, fmt.Errorf("--as-cluster %q: %s knows no such Cluster; Skott records a Cluster within seconds after it was made, or ask with --environment", t.asCluster, w.source)
	}
	if len(names) > 1 {
		return nil, fmt.Errorf("--as-cluster %q: there is one under each of %s; write MANAGEMENTCLUSTER/NAMESPACE/NAME", t.asCluster, strings.Join(names, ", "))
	}
	m := w.cluster(names[0])
	if m == nil {
		return nil, fmt.Errorf("--as-cluster %q: its ManagementCluster %q is not known to %s", t.asCluster, names[0], w.source)
	}
	c := guarded(m)
	c.Name, c.Role = parts[0]+"/"+parts[1], roleWorkload
	return []skottv1.GuardedCluster{c}, nil
}

func namesOf[T any](items []T, name func(*T) string) []string {
	out := make([]string, len(items))
	for i := range items {
		out[i] = name(&items[i])
	}
	return out
}

// among lists what could have been meant.
func among(names []string) string {
	const most = 10
	if len(names) == 0 {
		return ""
	}
	if len(names) > most {
		return fmt.Sprintf("; it knows %d, such as %s", len(names), strings.Join(names[:most], ", "))
	}
	return "; it knows " + strings.Join(names, ", ")
}
