// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
)

func glimpseOf(namespace, name string, values ...string) *glimpse {
	g := &glimpse{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, owner: namespace}
	for _, v := range values {
		g.found = append(g.found, Found{Type: "Bucket", Value: v})
	}
	return g
}

// An object that changes without changing its addresses is no news, or every status of every
// Service would be.
func TestSightsTellNewsOnly(t *testing.T) {
	news := 0
	s := newSights(func() { news++ })
	for i, step := range []struct {
		do   func() error
		want int
	}{
		{func() error { return s.Replace([]any{glimpseOf("a", "1", "x"), glimpseOf("a", "2")}, "") }, 1},
		{func() error { return s.Update(glimpseOf("a", "1", "x")) }, 1},
		{func() error { return s.Update(glimpseOf("a", "2")) }, 1},
		{func() error { return s.Add(glimpseOf("a", "3")) }, 1},
		{func() error { return s.Update(glimpseOf("a", "1", "x", "y")) }, 2},
		{func() error { return s.Update(glimpseOf("a", "1")) }, 3},
		{func() error { return s.Delete(glimpseOf("a", "1")) }, 3},
		{func() error { return s.Add(glimpseOf("a", "4", "z")) }, 4},
		{func() error { return s.Delete(glimpseOf("a", "4", "z")) }, 5},
	} {
		if err := step.do(); err != nil || news != step.want {
			t.Errorf("step %d: %d news, %v, want %d", i, news, err, step.want)
		}
	}
	if len(s.byName) > 0 {
		t.Errorf("%v is kept of objects that name nothing", s.byName)
	}
	if s.Add("text") == nil || s.Delete(1) == nil {
		t.Error("what is no glimpse was taken")
	}
}

func TestSightsState(t *testing.T) {
	s := newSights(func() {})
	if listed, _ := s.state(); listed {
		t.Error("listed before anything was")
	}
	s.fail("forbidden")
	if _, problem := s.state(); problem != "forbidden" {
		t.Errorf("problem %q", problem)
	}
	_ = s.Replace([]any{glimpseOf("a", "1", "x")}, "")
	if listed, problem := s.state(); !listed || problem != "" {
		t.Errorf("listed %t, problem %q after a list", listed, problem)
	}
	s.stale()
	if listed, _ := s.state(); listed || len(s.byName) != 1 {
		t.Errorf("listed %t with %d objects, want what was known kept, and not called complete", listed, len(s.byName))
	}
}

// What a reflector is given holds nothing of the object but its name and its addresses.
func TestGlimpse(t *testing.T) {
	kind := LearnKind{Extract: func(object map[string]any) (string, []Found) {
		return "ns", []Found{{Type: "Host", Value: object["host"].(string), Path: "host"}}
	}}
	u := &unstructured.Unstructured{Object: map[string]any{"host": "a.example", "secret": "hunter2",
		"metadata": map[string]any{"namespace": "ns", "name": "n", "resourceVersion": "7", "annotations": map[string]any{"k": "hunter2"}}}}
	event, keep := kind.lookAt(apiwatch.Event{Type: apiwatch.Added, Object: u})
	want := &glimpse{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "n", ResourceVersion: "7"}, owner: "ns", found: []Found{{"Host", "a.example", "host"}}}
	if diff := cmp.Diff(want, event.Object, cmp.AllowUnexported(glimpse{})); diff != "" || !keep {
		t.Error(diff)
	}
	end := map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	u.SetAnnotations(end)
	event, _ = kind.lookAt(apiwatch.Event{Type: apiwatch.Bookmark, Object: u})
	if g, ok := event.Object.(*glimpse); !ok || !cmp.Equal(g.Annotations, end) || g.ResourceVersion != "7" {
		t.Errorf("a bookmark became %v: it says where a list ends", event.Object)
	}
	failure := apiwatch.Event{Type: apiwatch.Error, Object: &metav1.Status{}}
	if event, _ := kind.lookAt(failure); event != failure {
		t.Errorf("an error became %v", event)
	}
}

func TestVersion(t *testing.T) {
	r := &resources{versions: map[schema.GroupResource][]string{
		{Group: "a", Resource: "both"}: {"v1", "v1beta1"}, {Group: "a", Resource: "new"}: {"v2"},
	}, failed: map[string]bool{"broken": true}}
	for _, c := range []struct {
		kind    LearnKind
		version string
		sure    bool
	}{
		{LearnKind{Group: "a", Resource: "both", Versions: []string{"v1beta1", "v1"}}, "v1beta1", true},
		{LearnKind{Group: "a", Resource: "both", Versions: []string{"v1alpha1", "v1"}}, "v1", true},
		{LearnKind{Group: "a", Resource: "new", Versions: []string{"v1"}}, "v2", true},
		{LearnKind{Group: "a", Resource: "absent", Versions: []string{"v1"}}, "", true},
		{LearnKind{Group: "broken", Resource: "both", Versions: []string{"v1"}}, "", false},
	} {
		if version, sure := r.version(c.kind); version != c.version || sure != c.sure {
			t.Errorf("%s of %q: %q, %t, want %q, %t", c.kind.Resource, c.kind.Group, version, sure, c.version, c.sure)
		}
	}
}

// The account gets to read what is learned from, by name, and Secrets only if they are.
func TestLearnObjects(t *testing.T) {
	kinds := []LearnKind{{Group: "velero.io", Resource: "backupstoragelocations"}, {Resource: "persistentvolumes"}, {Group: "velero.io", Resource: "schedules"}}
	rules := func(kinds []LearnKind) (out []string) {
		for _, obj := range learnObjects("skott-system", kinds) {
			role, ok := obj.(*rbacv1.ClusterRole)
			if !ok {
				continue
			}
			for _, r := range role.Rules {
				out = append(out, role.Name+": "+strings.Join(slices.Concat(r.Verbs, r.APIGroups, r.Resources), " "))
			}
		}
		return out
	}
	want := []string{"skott-learner: get list watch  persistentvolumes", "skott-learner: get list watch velero.io backupstoragelocations schedules"}
	if diff := cmp.Diff(want, rules(kinds)); diff != "" {
		t.Error(diff)
	}
	want = append(want, "skott-learner-secrets: get list watch  secrets")
	if diff := cmp.Diff(want, rules(append(kinds, LearnKind{Resource: "secrets"}))); diff != "" {
		t.Error(diff)
	}
	if got := rules(nil); len(got) > 0 {
		t.Errorf("%q is granted to learn nothing", got)
	}
}

func TestSnapshotWaitsForNamespaces(t *testing.T) {
	l := &learner{station: &station{}, namespaces: newSights(func() {}), kinds: map[schema.GroupResource]*follower{}, complete: true}
	f := &follower{kind: LearnKind{Group: "g", Kind: "K"}, sights: newSights(func() {})}
	l.kinds[schema.GroupResource{Resource: "ks"}] = f
	_ = f.sights.Replace([]any{glimpseOf("new", "1", "x"), glimpseOf("", "2", "y")}, "")
	if s := l.snapshot(); s.Knows("K.g") || len(s.Objects) > 0 {
		t.Errorf("%v is known before the Namespaces are", s.Objects)
	}
	_ = l.namespaces.Replace([]any{glimpseOf("", "old", "")}, "")
	if s := l.snapshot(); s.Knows("K.g") || len(s.Objects) != 1 || s.Objects[0].Name != "2" || !s.Knows("Absent") {
		t.Errorf("%v: want what is in a Namespace that is not known yet to wait", s.Objects)
	}
	_ = l.namespaces.Add(glimpseOf("", "new", "staging"))
	s := l.snapshot()
	i := slices.IndexFunc(s.Objects, func(o Sighted) bool { return o.Name == "1" })
	if !s.Knows("K.g") || i < 0 || s.Objects[i].Environment != "staging" {
		t.Errorf("%v: want both, one of them of staging", s.Objects)
	}
	f.sights.fail("forbidden")
	if s := l.snapshot(); s.Knows("K.g") || len(s.Objects) != 2 {
		t.Errorf("%v: want what was known kept while the kind is forbidden", s.Objects)
	}
}
