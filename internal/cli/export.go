// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

func newExport(streams Streams) *cobra.Command {
	var from origin
	var origins bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a snapshot of the hub, to check against without it",
		Long: `Write a snapshot of the hub, to check against without it.

The snapshot is a List of the hub's Environments, DataBoundaries, DataLocations,
ManagementClusters and MovementKinds, as YAML. It holds no Secrets and does not say how
clusters are reached. The same hub always gives the same bytes. It names production's
addresses: keep it as you keep those.`,
		Example: `  # Write a snapshot for pull requests
  kubectl skott export --context ops > snapshot.yaml

  # With the objects that learned addresses were seen in, for "kubectl skott explain"
  kubectl skott export --origins > snapshot.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, err := from.load(cmd.Context(), wantHub, streams)
			if err != nil {
				return err
			}
			if len(w.guards) > 0 {
				return fmt.Errorf("%s holds Guards: they are a snapshot already", w.source)
			}
			return w.export(streams.Out, origins)
		},
	}
	cmd.Flags().BoolVar(&origins, "origins", false, "Also write in which objects learned addresses were seen")
	from.bind(cmd.Flags())
	return cmd
}

// header of a snapshot.
const header = `# Written by "kubectl skott export", for "kubectl skott check --snapshot".
# It names the addresses of production. It is no backup: how clusters are reached is left out.
apiVersion: v1
kind: List
items:
`

// export writes the world object by object, sorted by kind and name.
func (w *world) export(to io.Writer, origins bool) error {
	out := bufio.NewWriter(to)
	if _, err := out.WriteString(header); err != nil {
		return err
	}
	var items []item
	for i := range w.environments {
		items = append(items, itemOf("Environment", w.environments[i].Name, w.environments[i].Labels, w.environments[i].Spec))
	}
	for i := range w.boundaries {
		items = append(items, itemOf("DataBoundary", w.boundaries[i].Name, w.boundaries[i].Labels, w.boundaries[i].Spec))
	}
	for i := range w.clusters {
		m := &w.clusters[i]
		items = append(items, itemOf("ManagementCluster", m.Name, m.Labels, m.Spec))
	}
	for i := range w.kinds {
		items = append(items, itemOf("MovementKind", w.kinds[i].Name, w.kinds[i].Labels, w.kinds[i].Spec))
	}
	for i := range w.locations {
		d := &w.locations[i]
		it := itemOf("DataLocation", d.Name, d.Labels, d.Spec)
		if origins && len(d.Status.Origins) > 0 {
			it.status = skottv1.DataLocationStatus{Origins: d.Status.Origins}
		}
		items = append(items, it)
	}
	for _, it := range items {
		raw, err := it.yaml()
		if err != nil {
			return fmt.Errorf("cannot write %s %q: %w", it.kind, it.name, err)
		}
		if _, err := out.Write(raw); err != nil {
			return err
		}
	}
	return out.Flush()
}

// item is one object of a snapshot, with what decides and nothing else.
type item struct {
	kind, name   string
	labels       map[string]string
	spec, status any
}

func itemOf(kind, name string, labels map[string]string, spec any) item {
	return item{kind: kind, name: name, labels: labels, spec: spec}
}

// yaml is the object as an element of a list.
func (it item) yaml() ([]byte, error) {
	metadata := map[string]any{"name": it.name}
	if len(it.labels) > 0 {
		metadata["labels"] = it.labels
	}
	object := map[string]any{"apiVersion": skottv1.GroupVersion.String(), "kind": it.kind, "metadata": metadata}
	for field, value := range map[string]any{"spec": it.spec, "status": it.status} {
		if value == nil {
			continue
		}
		content, err := contentOf(value)
		if err != nil {
			return nil, err
		}
		delete(content, "connection")
		object[field] = content
	}
	return yaml.Marshal([]any{object})
}

// contentOf is a value as decoded JSON.
func contentOf(value any) (map[string]any, error) {
	raw, err := yaml.Marshal(value)
	if err != nil {
		return nil, err
	}
	content := map[string]any{}
	return content, yaml.Unmarshal(raw, &content)
}
