// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestMirror(t *testing.T) {
	object := func(name, version string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: name, ResourceVersion: version, Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
		}}
	}
	for name, test := range map[string]struct {
		whole  string
		fill   func(m *mirror) error
		want   []string // NAME VERSION, with "+" if it is whole
		wakes  int
		listed bool
		fails  bool
	}{
		"nothing yet":        {fill: func(*mirror) error { return nil }},
		"an empty list":      {fill: func(m *mirror) error { return m.Replace(nil, "1") }, wakes: 1, listed: true},
		"a list":             {fill: func(m *mirror) error { return m.Replace([]any{object("x", "1"), object("y", "2")}, "2") }, want: []string{"x 1+", "y 2+"}, wakes: 1, listed: true},
		"names but for one":  {whole: "y", fill: func(m *mirror) error { return m.Replace([]any{object("x", "1"), object("y", "2")}, "2") }, want: []string{"x 1", "y 2+"}, wakes: 1, listed: true},
		"a later list":       {fill: both(func(m *mirror) error { return m.Replace([]any{object("x", "1")}, "1") }, func(m *mirror) error { return m.Replace([]any{object("y", "2")}, "2") }), want: []string{"y 2+"}, wakes: 2, listed: true},
		"added and changed":  {fill: both(func(m *mirror) error { return m.Add(object("x", "1")) }, func(m *mirror) error { return m.Update(object("x", "2")) }), want: []string{"x 2+"}, wakes: 2},
		"deleted":            {fill: both(func(m *mirror) error { return m.Add(object("x", "1")) }, func(m *mirror) error { return m.Delete(object("x", "2")) }), wakes: 2},
		"a resync":           {fill: both(func(m *mirror) error { return m.Add(object("x", "1")) }, (*mirror).Resync), want: []string{"x 1+"}, wakes: 1},
		"of a wrong type":    {fill: func(m *mirror) error { return m.Add(&unstructured.Unstructured{}) }, fails: true},
		"nil":                {fill: func(m *mirror) error { return m.Delete(nil) }, fails: true},
		"a list with one so": {fill: both(func(m *mirror) error { return m.Add(object("x", "1")) }, func(m *mirror) error { return m.Replace([]any{object("y", "1"), "z"}, "1") }), want: []string{"x 1+"}, wakes: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			wakes := 0
			m := &mirror{whole: test.whole, changed: func() { wakes++ }, objects: map[string]*metav1.PartialObjectMetadata{}}
			if err := test.fill(m); (err != nil) != test.fails {
				t.Errorf("error %v", err)
			}
			var got []string
			for _, o := range m.list() {
				said := o.Name + " " + o.ResourceVersion
				if len(o.Labels) > 0 {
					said += "+"
				}
				got = append(got, said)
				if len(o.ManagedFields) > 0 || m.get(o.Name) != o {
					t.Errorf("%s is kept with its managed fields, or not found by its name", o.Name)
				}
			}
			slices.SortFunc(got, strings.Compare)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if wakes != test.wakes || m.synced() != test.listed {
				t.Errorf("it woke %d times and is synced: %t; want %d, %t", wakes, m.synced(), test.wakes, test.listed)
			}
		})
	}
}

func both(first, second func(*mirror) error) func(*mirror) error {
	return func(m *mirror) error {
		if err := first(m); err != nil {
			return err
		}
		return second(m)
	}
}
