// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
)

func TestPlaced(t *testing.T) {
	name := func(n int) string { return fmt.Sprint("l", n) }
	location := func(values ...string) *skottv1.DataLocation {
		d := &skottv1.DataLocation{}
		for _, v := range values {
			d.Spec.Addresses = append(d.Spec.Addresses, skottv1.Address{Value: v})
		}
		return d
	}
	full := make([]string, perLocation)
	for i := range full {
		full[i] = fmt.Sprintf("m%03d", i)
	}
	cases := map[string]struct {
		reason    string
		addresses []string
		existing  map[string]*skottv1.DataLocation
		want      [][]string
	}{
		"First": {"what is new stands in order", []string{"b", "a"}, nil, [][]string{{"a", "b"}}},
		"Stay":  {"an address stays where it is, whatever sorts before it", []string{"a", "b", "c"}, map[string]*skottv1.DataLocation{"l0": location("c"), "l1": location("b")}, [][]string{{"c", "a"}, {"b"}}},
		"Gone":  {"one that is gone leaves its location, which may be left empty", []string{"b"}, map[string]*skottv1.DataLocation{"l0": location("a"), "l1": location("b")}, [][]string{nil, {"b"}}},
		"Full":  {"a full location is left as it is", append([]string{"a"}, full...), map[string]*skottv1.DataLocation{"l0": location(full...)}, [][]string{full, {"a"}}},
		"Gap":   {"a location that was removed is made again", []string{"a", "b"}, map[string]*skottv1.DataLocation{"l1": location("b")}, [][]string{{"a"}, {"b"}}},
	}
	for n, c := range cases {
		t.Run(n, func(t *testing.T) {
			if diff := cmp.Diff(c.want, placed(c.addresses, c.existing, name)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestLocal(t *testing.T) {
	for text, want := range map[string]bool{
		"kubernetes.default.svc": true, "kubernetes.default": true, "localhost:6443": true, "127.0.0.1": true, "10.96.0.1": true, "169.254.1.1:6443": true,
		"api.prod.example:6443": false, "203.0.113.4": false, "10.30.0.5:6443": false, "cluster/ns/name": false,
	} {
		if got := local(text); got != want {
			t.Errorf("local(%q) = %v, want %v", text, got, want)
		}
	}
}
