// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
)

// namespaces of the corpus that are of an Environment of their own.
const namespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: preview, labels: {skott.dev/environment: staging}}
---
apiVersion: v1
kind: Namespace
metadata: {name: tests, labels: {skott.dev/environment: testing}}
`

// targets are how each cluster of the corpus is asked for. A hub cannot hold the one whose
// Environment is not that of its ManagementCluster.
var targets = map[string][]string{
	"staging": {"--as-cluster", "safespring/ske-stage"}, "production": {"--as-cluster", "mc-sto2-prod/cust-vardhem/vardhem-prod"},
	"mc-staging": {"--as-cluster", "mc-sto2-staging"}, "mc-production": {"--as-cluster", "mc-sto2-prod"}, "ops": {"--as-cluster", "ops"},
	"unassigned": {"--as-cluster", "lost/lost"}, "restore": {"--environment", "restore-test", "--datacenter", "sto2"},
}

// hubOf writes the platform of the corpus as a hub holds it. more are further addresses of
// production.
func hubOf(t testing.TB, p *corpus.Platform, more ...skottv1.Address) string {
	t.Helper()
	var out strings.Builder
	add := func(kind string, object any) {
		t.Helper()
		raw, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "---\napiVersion: skott.dev/v1alpha1\nkind: %s\n", kind)
		for line := range strings.Lines(string(raw)) {
			if !strings.HasPrefix(line, "kind:") && !strings.HasPrefix(line, "apiVersion:") {
				out.WriteString(line)
			}
		}
	}
	for i := range p.Snapshot.Environments {
		add("Environment", &p.Snapshot.Environments[i])
	}
	for i := range p.Snapshot.Boundaries {
		add("DataBoundary", &p.Snapshot.Boundaries[i])
	}
	for i := range p.Snapshot.Locations {
		add("DataLocation", &p.Snapshot.Locations[i])
	}
	for i := 0; i < len(more); i += 256 {
		d := &skottv1.DataLocation{Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"}, Addresses: more[i:min(i+256, len(more))]}}
		d.Name = fmt.Sprintf("more-%d", i)
		add("DataLocation", d)
	}
	known := func(manager, environment string, addresses ...string) {
		d := &skottv1.DataLocation{Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: environment}}}
		d.Name = fmt.Sprintf("clusters.%s.%s.0", manager, environment)
		d.Labels = map[string]string{skottv1.LabelOrigin: "learned", skottv1.LabelManagementCluster: manager, skottv1.LabelEnvironment: environment}
		for _, a := range addresses {
			d.Spec.Addresses = append(d.Spec.Addresses, skottv1.Address{Type: "ClusterEndpoint", Value: a})
		}
		add("DataLocation", d)
	}
	managers := map[string]string{"production": "mc-sto2-prod", "staging": "mc-sto2-staging"}
	recorded := map[string][]string{}
	for _, m := range p.Snapshot.Clusters {
		recorded[m.Place] = append(recorded[m.Place], "cluster/"+m.Namespace+"/"+m.Name)
		if m.Endpoint != "" {
			recorded[m.Place] = append(recorded[m.Place], m.Endpoint)
		}
	}
	known(managers["production"], "production", recorded["production"]...)
	known(managers["staging"], "staging", recorded["staging"]...)
	known("mc-lost", "gone", "cluster/lost/lost")
	for _, m := range []struct{ name, environment, role, datacenter string }{
		{"mc-sto2-prod", "production", "Management", "sto2"}, {"mc-sto2-staging", "staging", "Management", "sto2"},
		{"ops", "", "Ops", "sto2"}, {"mc-lost", "gone", "Management", "osl2"},
	} {
		o := &skottv1.ManagementCluster{Spec: skottv1.ManagementClusterSpec{Role: skottv1.Role(m.role), Datacenter: m.datacenter}}
		o.Name = m.name
		if m.environment != "" {
			o.Spec.EnvironmentRef = &skottv1.EnvironmentReference{Name: m.environment}
		}
		add("ManagementCluster", o)
	}
	return out.String()
}

// caseFile is where a case is written to.
func caseFile(i int) string { return fmt.Sprintf("%04d.json", i) }

// corpusOf are the cases that ask for a new object, as this command always does.
func corpusOf(t testing.TB) []*corpus.Case {
	t.Helper()
	all, err := corpus.Cases()
	if err != nil {
		t.Fatal(err)
	}
	beyond, err := corpus.OnlyEvaluate()
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, beyond...)
	n := len(all)
	all = slices.DeleteFunc(all, func(c *corpus.Case) bool { return c.OldObject != nil || c.Subresource != "" || c.User != "" })
	if len(all) < n*8/10 {
		t.Fatalf("%d of %d cases are of new objects", len(all), n)
	}
	return all
}

// answers are what check said of the cases, by their file.
type answers struct {
	codes    map[string][]policy.Code
	messages map[string]string
	broken   map[string]bool
}

// ask runs check over a folder.
func (a *answers) ask(t *testing.T, folder string, args []string) {
	t.Helper()
	write(t, folder, "namespaces.yaml", namespaces)
	said := run(t, "", append([]string{"check", "-f", folder, "-o", "json"}, args...)...)
	var got result
	if err := json.Unmarshal([]byte(said.out), &got); err != nil {
		t.Fatalf("%v: exit status %d: %s", err, said.code, said.err)
	}
	for _, f := range got.Findings {
		name := filepath.Base(f.File)
		a.messages[name] += f.Message
		if strings.Contains(f.Message, string(f.Code)) { // a message lists three at most
			a.codes[name] = append(a.codes[name], f.Code)
		}
	}
	for _, p := range got.Errors {
		a.broken[filepath.Base(p.File)] = true
	}
}

// put writes a case into a folder.
func put(t *testing.T, folder string, i int, c *corpus.Case) {
	t.Helper()
	object := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.Object)}
	if object.GetKind() == "Namespace" { // each case is of another cluster, where it is the only one of its name
		object.SetName(fmt.Sprintf("%s-%d", object.GetName(), i))
	}
	raw, err := json.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, caseFile(i), string(raw))
	if len(c.Others) == 0 {
		return
	}
	raw, err = json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": c.Others})
	if err != nil {
		t.Fatal(err)
	}
	write(t, folder, "others.json", string(raw))
}

// wrongCodes runs check over the cases of a cluster, all at once but for those that need
// other objects, and returns what is not as expected.
func wrongCodes(t *testing.T, cases []*corpus.Case, cluster string, args ...string) []string {
	t.Helper()
	a := &answers{codes: map[string][]policy.Code{}, messages: map[string]string{}, broken: map[string]bool{}}
	folder := t.TempDir()
	n := 0
	for i, c := range cases {
		if c.Cluster != cluster {
			continue
		}
		n++
		if len(c.Others) == 0 {
			put(t, folder, i, c)
			continue
		}
		own := t.TempDir()
		put(t, own, i, c)
		a.ask(t, own, args)
	}
	if n == 0 {
		t.Fatalf("no case for cluster %q", cluster)
	}
	a.ask(t, folder, args)
	var wrong []string
	for i, c := range cases {
		if c.Cluster != cluster {
			continue
		}
		name := caseFile(i)
		if a.broken[name] && len(c.Expect) == 0 && metadataIsWrong(c.Object) {
			continue // no API server would store it
		}
		have := slices.Compact(slices.Sorted(slices.Values(a.codes[name])))
		want := slices.Compact(slices.Sorted(slices.Values(c.Expect)))
		if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" || a.broken[name] {
			wrong = append(wrong, c.Title()+": "+diff+a.messages[name])
		}
		for _, text := range c.Contains {
			if !strings.Contains(a.messages[name], text) {
				wrong = append(wrong, fmt.Sprintf("%s: %q does not hold %q", c.Title(), a.messages[name], text))
			}
		}
	}
	return wrong
}

// metadataIsWrong reports whether the metadata of an object are something else than a map.
func metadataIsWrong(object map[string]any) bool {
	_, isMap := object["metadata"].(map[string]any)
	return object["metadata"] != nil && !isMap
}

// The command gives every object of the corpus the codes that the API server gives it.
func TestCorpus(t *testing.T) {
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	cases := corpusOf(t)
	snapshot := write(t, t.TempDir(), "hub.yaml", hubOf(t, platform))
	for cluster, target := range targets {
		t.Run(cluster, func(t *testing.T) {
			for _, problem := range wrongCodes(t, cases, cluster, append([]string{"--snapshot", snapshot}, target...)...) {
				t.Error(problem)
			}
		})
	}
}

// The same through what export makes of that hub.
func TestCorpusExported(t *testing.T) {
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	hub := write(t, folder, "hub.yaml", hubOf(t, platform))
	exported := run(t, "", "export", "--snapshot", hub)
	if exported.code != exitClean {
		t.Fatal(exported.err)
	}
	if again := run(t, exported.out, "export", "--snapshot", "-"); again.out != exported.out {
		t.Errorf("what was exported is exported otherwise (-first +second):\n%s", cmp.Diff(exported.out, again.out))
	}
	for _, problem := range wrongCodes(t, corpusOf(t), "staging", append([]string{"--snapshot", write(t, folder, "exported.yaml", exported.out)}, targets["staging"]...)...) {
		t.Error(problem)
	}
}

// The same through the Guards of each cluster, as "kubectl get guards -o yaml" prints them,
// also if the addresses do not fit one Guard.
func TestCorpusByGuards(t *testing.T) {
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	cases := corpusOf(t)
	split := platform.Snapshot
	d := skottv1.DataLocation{Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"}}}
	for i := range 12000 {
		d.Spec.Addresses = append(d.Spec.Addresses, skottv1.Address{Type: "Host", Value: fmt.Sprintf("a-rather-long-name-of-a-customer-%d.more%d.example", i, i)})
	}
	split.Locations = append(slices.Clone(split.Locations), d)
	for name, c := range map[string]struct {
		policy   *policy.Policy
		clusters []string
		parts    int
	}{
		"whole": {policy.New(platform.Snapshot), []string{"staging", "production", "mc-staging", "mc-production", "restore", "ops", "unassigned"}, 1},
		"split": {policy.New(split), []string{"staging"}, 2},
	} {
		for _, cluster := range c.clusters {
			t.Run(name+"/"+cluster, func(t *testing.T) {
				member := platform.Clusters[cluster]
				guards := c.policy.Guards(member.GuardedCluster, member.Namespaces, nil)
				if len(guards) < c.parts {
					t.Fatalf("%d Guards, want at least %d", len(guards), c.parts)
				}
				raw, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": guards})
				if err != nil {
					t.Fatal(err)
				}
				file := write(t, t.TempDir(), "guards.json", string(raw))
				asked := cases
				if c.parts > 1 { // reading them takes long
					asked = slices.DeleteFunc(slices.Clone(cases), func(c *corpus.Case) bool { return len(c.Others) > 0 })
				}
				for _, problem := range wrongCodes(t, asked, cluster, "--snapshot", file) {
					t.Error(problem)
				}
			})
		}
	}
}
