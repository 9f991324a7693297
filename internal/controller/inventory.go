// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/status"
)

// originLearned marks DataLocations that Skott wrote itself.
const originLearned = skottv1.OriginLearned

// perLocation is how many addresses of clusters one DataLocation holds; the API takes 256.
const perLocation = 200

// record writes the clusters of a Management Cluster down as DataLocations of its
// Environment: their API servers and their names. So they are known while the cluster
// cannot be reached, after a restart, and after the ManagementCluster is gone. What class
// Production owns is only ever added to: a deleted production cluster keeps its address. Of
// another class only what is known to be gone is taken away.
func (r *managementClusters) record(ctx context.Context, mc *skottv1.ManagementCluster, m status.Member) error {
	if mc.EnvironmentName() == "" || !m.Reachable || m.Duplicate != "" {
		return nil
	}
	observed := map[string]bool{}
	add := func(value string) {
		if a, err := address.Parse(address.ClusterEndpoint, value); err == nil && !local(a.String()) {
			observed[a.String()] = true
		}
	}
	add(m.Self.Endpoint)
	for _, c := range m.Clusters {
		add(c.Endpoint)
		add(c.Namespace + "/" + c.Name)
	}
	recorded := &skottv1.DataLocationList{}
	own := client.MatchingLabels{skottv1.LabelOrigin: originLearned, skottv1.LabelManagementCluster: mc.Name, skottv1.LabelEnvironment: mc.EnvironmentName()}
	if err := r.List(ctx, recorded, own); err != nil {
		return fmt.Errorf("cannot list the recorded clusters of %q: %w", mc.Name, err)
	}
	if !m.ClustersListed || r.isProduction(ctx, mc) {
		for i := range recorded.Items {
			for _, a := range recorded.Items[i].Spec.Addresses {
				observed[a.Value] = true
			}
		}
	}
	return r.writeClusters(ctx, mc, slices.Sorted(maps.Keys(observed)), recorded.Items)
}

// local reports whether a canonical endpoint means something else in every cluster: the API
// server's own name, loopback, or a private address without a port of its own.
func local(text string) bool {
	host, port, _ := strings.Cut(text, ":")
	if host == "kubernetes.default" || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local") || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLinkLocalUnicast() || port == "" && (ip.IsLoopback() || ip.IsPrivate()))
}

func (r *managementClusters) isProduction(ctx context.Context, mc *skottv1.ManagementCluster) bool {
	e := &skottv1.Environment{}
	err := r.Get(ctx, types.NamespacedName{Name: mc.EnvironmentName()}, e)
	return err != nil || e.EffectiveClass() == skottv1.ClassProduction
}

// writeClusters writes the DataLocations that differ and removes those that are left over.
func (r *managementClusters) writeClusters(ctx context.Context, mc *skottv1.ManagementCluster, addresses []string, recorded []skottv1.DataLocation) error {
	existing := map[string]*skottv1.DataLocation{}
	for i := range recorded {
		existing[recorded[i].Name] = &recorded[i]
	}
	name := func(n int) string { return fmt.Sprintf("clusters.%s.%s.%d", mc.Name, mc.EnvironmentName(), n) }
	for n, chunk := range placed(addresses, existing, name) {
		if len(chunk) == 0 {
			continue
		}
		want := &skottv1.DataLocation{
			ObjectMeta: metav1.ObjectMeta{Name: name(n), Labels: map[string]string{
				skottv1.LabelOrigin: originLearned, skottv1.LabelManagementCluster: mc.Name, skottv1.LabelEnvironment: mc.EnvironmentName()}},
			Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: mc.EnvironmentName()}},
		}
		for _, a := range chunk {
			want.Spec.Addresses = append(want.Spec.Addresses, skottv1.Address{Type: skottv1.AddressType(address.ClusterEndpoint), Value: a})
		}
		if err := r.writeLocation(ctx, existing[want.Name], want); err != nil {
			return err
		}
		delete(existing, want.Name)
	}
	for _, left := range existing {
		if err := r.Delete(ctx, left); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cannot delete DataLocation %q: %w", left.Name, err)
		}
	}
	return nil
}

// placed says which addresses each location holds. An address stays in the location that
// it stands in, so that no sequence of writes takes one away for a moment, or for good when
// the sequence breaks off; a new one goes where there is room.
func placed(addresses []string, existing map[string]*skottv1.DataLocation, name func(int) string) [][]string {
	left := map[string]bool{}
	for _, a := range addresses {
		left[a] = true
	}
	out := make([][]string, 0, len(existing)+1)
	for n, found := 0, 0; found < len(existing) && n <= len(addresses)+len(existing); n++ {
		var kept []string
		if d := existing[name(n)]; d != nil {
			found++
			for _, a := range d.Spec.Addresses {
				if left[a.Value] {
					kept = append(kept, a.Value)
					delete(left, a.Value)
				}
			}
		}
		out = append(out, kept)
	}
	n := 0
	for _, a := range slices.Sorted(maps.Keys(left)) {
		for n < len(out) && len(out[n]) >= perLocation {
			n++
		}
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], a)
	}
	return out
}

// writeLocation makes a DataLocation of clusters what is wanted; have is nil if there is none.
func (r *managementClusters) writeLocation(ctx context.Context, have, want *skottv1.DataLocation) error {
	if have == nil {
		if err := r.Create(ctx, want, client.FieldOwner(skottv1.FieldOwner)); err != nil {
			return fmt.Errorf("cannot record clusters in DataLocation %q: %w", want.Name, err)
		}
		return nil
	}
	if unchanged(have.Spec.Addresses, want.Spec.Addresses) {
		return nil
	}
	before := have.DeepCopy()
	have.Spec.Addresses = want.Spec.Addresses
	if err := r.Patch(ctx, have, client.MergeFrom(before), client.FieldOwner(skottv1.FieldOwner)); err != nil {
		return fmt.Errorf("cannot record clusters in DataLocation %q: %w", want.Name, err)
	}
	return nil
}
