// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

func newAddresses(streams Streams) *cobra.Command {
	var from origin
	var environment, find, output string
	cmd := &cobra.Command{
		Use:   "addresses",
		Short: "List known addresses, and to whom they belong",
		Long: `List known addresses, and to whom they belong.

With --find it lists those that hold the text, and those that the text is covered by: the
most specific of these decides, and is listed first.`,
		Example: `  # Everything that belongs to production
  kubectl skott addresses --environment production

  # Whose is this bucket?
  kubectl skott addresses --find https://s3.sto2.example/prod-backups/2026`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("output", output, "table", "json", "yaml"); err != nil {
				return usageError(cmd, err)
			}
			w, err := from.load(cmd.Context(), wantHub, streams)
			if err != nil {
				return err
			}
			if environment != "" && len(w.guards) == 0 && w.environment(environment) == nil {
				return fmt.Errorf("--environment %q: %s knows no such Environment%s", environment, w.source, among(namesOf(w.environments, func(e *skottv1.Environment) string { return e.Name })))
			}
			return printAddresses(output, streams, filter(w.addresses(), environment, find))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&environment, "environment", "", "Only the addresses of this Environment")
	flags.StringVar(&find, "find", "", "Only addresses that hold this text, or that cover it")
	flags.StringVarP(&output, "output", "o", "table", "Output format: table, json or yaml")
	from.bind(flags)
	return cmd
}

// known is one address of one Environment.
type known struct {
	Type        string   `json:"type,omitempty"`
	Address     string   `json:"address"`
	Environment string   `json:"environment"`
	Shared      bool     `json:"shared,omitempty"`
	Contested   []string `json:"contested,omitempty"` // the other Environments that claim it
	Location    string   `json:"dataLocation,omitempty"`
	Origin      string   `json:"origin,omitempty"`
	Seen        []string `json:"seen,omitempty"`

	key string
}

// addresses that the world knows, sorted. Of a Guard neither types nor locations are known.
func (w *world) addresses() []known {
	out := w.guardAddresses()
	claims := map[string][]string{}
	for i := range w.locations {
		d := &w.locations[i]
		shared := d.Spec.Shared != nil && *d.Spec.Shared
		var places []string
		for _, o := range d.Status.Origins {
			places = append(places, seen(o))
		}
		for _, a := range d.Spec.Addresses {
			parsed, err := address.Parse(address.Type(a.Type), a.Value)
			if err != nil {
				continue // the world was not loaded then
			}
			out = append(out, known{
				Type: string(a.Type), Address: parsed.String(), Environment: d.Spec.EnvironmentRef.Name, Shared: shared,
				Location: d.Name, Origin: cmp.Or(d.Labels[skottv1.LabelOrigin], "declared"), Seen: places, key: parsed.Key(),
			})
			if !shared {
				claims[parsed.Key()] = append(claims[parsed.Key()], d.Spec.EnvironmentRef.Name)
			}
		}
	}
	for i := range out {
		for _, other := range claims[out[i].key] {
			if other != out[i].Environment && !out[i].Shared && !slices.Contains(out[i].Contested, other) {
				out[i].Contested = append(out[i].Contested, other)
			}
		}
		slices.Sort(out[i].Contested)
	}
	slices.SortFunc(out, func(a, b known) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Location, b.Location))
	})
	return slices.CompactFunc(out, func(a, b known) bool {
		return a.Environment == b.Environment && a.Type == b.Type && a.Address == b.Address && a.Location == b.Location
	})
}

// guardAddresses are those of Guards. Every action has all of them, in parts.
func (w *world) guardAddresses() []known {
	var out []known
	for _, g := range w.guards {
		if g.Spec.Action != skottv1.ActionDeny {
			continue
		}
		for text, place := range g.Spec.Addresses {
			if text == "namespace" || strings.HasPrefix(text, "namespace/") || place == skottv1.PlaceCanary {
				continue
			}
			out = append(out, known{Address: text, Environment: place, Shared: place == "", Origin: "Guard of " + g.Spec.Cluster.Name, key: text})
		}
	}
	return out
}

// filter keeps what is asked for.
func filter(all []known, environment, find string) []known {
	out := []known{}
	covering := covers(all, find)
	for _, k := range all {
		if environment != "" && k.Environment != environment {
			continue
		}
		if find == "" || strings.Contains(strings.ToLower(k.Address), strings.ToLower(find)) || covering[k.key] {
			out = append(out, k)
		}
	}
	if find != "" { // the most specific one first
		rank := func(k known) int {
			if covering[k.key] {
				return len(k.key)
			}
			return 0
		}
		slices.SortStableFunc(out, func(a, b known) int { return rank(b) - rank(a) })
	}
	return out
}

// covers are the addresses, by key, that hold an address of the text. The book is asked, and
// then without its answer again.
func covers(all []known, find string) map[string]bool {
	out := map[string]bool{}
	var entries []address.Entry
	for _, k := range all {
		if a, err := address.Parse(address.Type(k.Type), k.Address); err == nil {
			entries = append(entries, address.Entry{Address: a, Place: cmp.Or(k.Environment, "-"), Shared: k.Shared})
		}
	}
	keys := []string{address.Short(find), address.ImageKey(find), address.GitKey(find, "")}
	for _, token := range address.Tokens(address.Short(find)) {
		keys = append(keys, address.TokenKey(token))
	}
	for range 8 {
		book := address.NewBook(entries)
		found := map[string]bool{}
		for _, key := range keys {
			if m, ok := book.Owner(key, ""); ok {
				found[m.Address] = true
			}
		}
		if len(found) == 0 {
			break
		}
		for key := range found {
			out[key] = true
		}
		entries = slices.DeleteFunc(entries, func(e address.Entry) bool { return found[e.Address.Key()] })
	}
	return out
}

func printAddresses(output string, streams Streams, list []known) error {
	if output != "table" {
		return printAs(output, streams.Out, map[string]any{"apiVersion": outputVersion, "kind": "AddressList", "items": list})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(streams.Err, "No addresses found")
		return err
	}
	t := newGrid("TYPE", "ADDRESS", "ENVIRONMENT", "ORIGIN", "DATALOCATION", "NOTE")
	for _, k := range list {
		note := ""
		switch {
		case k.Shared:
			note = "shared"
		case len(k.Contested) > 0:
			note = "contested by " + strings.Join(k.Contested, ", ")
		}
		t.row(k.Type, k.Address, k.Environment, k.Origin, k.Location, note)
	}
	return t.print(streams.Out)
}
