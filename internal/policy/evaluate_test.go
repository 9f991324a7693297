// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/corpus"
)

// judge decides the cases of the corpus, each in its cluster.
type judge map[string]*policy.Evaluator

func newJudge(t testing.TB) judge {
	t.Helper()
	platform, err := corpus.ReadPlatform()
	if err != nil {
		t.Fatal(err)
	}
	p := policy.New(platform.Snapshot)
	out := judge{}
	for name, c := range platform.Clusters {
		out[name] = policy.NewEvaluator(p.Guards(c.GuardedCluster, c.Namespaces, policy.BuiltinRules().AllFamilies())[0])
	}
	return out
}

// claims are the namespaces of an Environment of their own, as test/integration/policy
// makes them.
var claims = map[string]string{"preview": "staging", "tests": "testing"}

// requestOf is the request that sends a case.
func requestOf(c *corpus.Case) *policy.Request {
	u := &unstructured.Unstructured{Object: c.Object}
	r := &policy.Request{
		Operation: "CREATE", Group: u.GroupVersionKind().Group, Resource: resourceOf(u), Subresource: c.Subresource,
		Namespace: u.GetNamespace(), User: "admin", Object: c.Object, Lookup: c.Lookup,
	}
	if claim := claims[r.Namespace]; claim != "" {
		r.NamespaceLabels = map[string]string{skottv1.LabelEnvironment: claim}
	}
	if c.User == "operator" {
		r.User = policy.Operator
	}
	if c.OldObject != nil {
		r.Operation, r.OldObject = "UPDATE", c.OldObject
	}
	return r
}

func (j judge) decide(t testing.TB, c *corpus.Case) policy.Decision {
	t.Helper()
	return j[c.Cluster].Evaluate(requestOf(c))
}

// both is what Evaluate says, and what it says of the fields that policies read.
func (j judge) both(t testing.TB, c *corpus.Case) string {
	t.Helper()
	policies := judge{c.Cluster: j[c.Cluster].OfPolicies()}
	return j.decide(t, c).Message + "\n" + policies.decide(t, c).Message
}

// resourceOf is the resource of an object, by the table or as it usually is.
func resourceOf(u *unstructured.Unstructured) string {
	kind := u.GroupVersionKind()
	for _, k := range flow.Builtin().Kinds() {
		if k.Group == kind.Group && k.Kind == kind.Kind {
			return k.Resource
		}
	}
	return strings.ToLower(kind.Kind) + "s"
}

func allCases(t testing.TB) []*corpus.Case {
	t.Helper()
	cases, err := corpus.Cases()
	if err != nil {
		t.Fatal(err)
	}
	beyond, err := corpus.OnlyEvaluate()
	if err != nil {
		t.Fatal(err)
	}
	return append(cases, beyond...)
}

func sorted(codes []policy.Code) []policy.Code {
	return slices.Compact(slices.Sorted(slices.Values(codes)))
}

func TestEvaluateCorpus(t *testing.T) {
	j := newJudge(t)
	shown := regexp.MustCompile(`SKOTT-D[0-9]{3}`)
	for _, c := range allCases(t) {
		d := j.decide(t, c)
		var codes []policy.Code
		for _, code := range shown.FindAllString(d.Message, -1) {
			codes = append(codes, policy.Code(code))
		}
		if diff := cmp.Diff(sorted(c.Expect), sorted(codes)); diff != "" {
			t.Errorf("%s: codes in the message (-want +got):\n%s%s", c.Title(), diff, d.Message)
		}
		if d.Allowed != (len(c.Expect) == 0) || d.Allowed != (len(d.Codes) == 0) || d.Allowed != (d.Message == "") {
			t.Errorf("%s: Allowed = %t with codes %v", c.Title(), d.Allowed, d.Codes)
		}
		for _, text := range c.Contains {
			if !strings.Contains(d.Message, text) {
				t.Errorf("%s: %q does not hold %q", c.Title(), d.Message, text)
			}
		}
		if strings.Contains(d.Message, "\n") || len(d.Message) > 5<<10 {
			t.Errorf("%s: a message of %d bytes, or of several lines", c.Title(), len(d.Message))
		}
	}
}

// Every row of the table is there for a reason: without it, some case of the corpus is
// answered otherwise.
func TestEveryRowDecides(t *testing.T) {
	j := newJudge(t)
	cases := allCases(t)
	before := make([]string, len(cases))
	for i, c := range cases {
		before[i] = j.both(t, c)
	}
	rows := map[string][]*flow.Kind{}
	for _, k := range corpus.Kinds() {
		name := string(k.Family) + "/" + k.Rows
		rows[name] = append(rows[name], k)
	}
	for name, kinds := range rows {
		whole := kinds[0].Fields
		for i := range whole {
			if whole[i].Form == flow.Link {
				continue // TestFollows
			}
			for _, k := range kinds {
				k.Fields = slices.Delete(slices.Clone(k.Fields), i, i+1)
			}
			if !slices.ContainsFunc(cases, func(c *corpus.Case) bool { return j.both(t, c) != before[slices.Index(cases, c)] }) {
				t.Errorf("%s: no case needs row %s (%s)", name, whole[i].Path, whole[i].Form)
			}
			for _, k := range kinds {
				restored := slices.Insert(slices.Clone(k.Fields), i, whole[i])
				k.Fields = restored
			}
		}
	}
}

// guardRequests are refused whatever the object says: of the guard itself, and by the user of
// the live proof. What is permitted differs in one thing.
var guardRequests = map[policy.Code]struct{ refused, permitted *policy.Request }{
	policy.CodeGuard: {
		refused:   &policy.Request{Operation: "DELETE", Group: "skott.dev", Resource: "guards", User: "admin"},
		permitted: &policy.Request{Operation: "DELETE", Group: "skott.dev", Resource: "guards", User: policy.Operator},
	},
	policy.CodeGuardCRD: {
		refused:   onDefinition(policy.GuardCRD),
		permitted: onDefinition("environments.skott.dev"),
	},
	policy.CodeCanary: {
		refused:   &policy.Request{Operation: "CREATE", Resource: "configmaps", Namespace: "default", User: policy.CanaryUser},
		permitted: &policy.Request{Operation: "CREATE", Resource: "configmaps", Namespace: "default", User: policy.CanaryUser, DryRun: true},
	},
}

func onDefinition(name string) *policy.Request {
	return &policy.Request{Operation: "DELETE", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", User: "admin",
		OldObject: map[string]any{"metadata": map[string]any{"name": name}}}
}

// So is every rule that has no address.
func TestEveryRuleDecides(t *testing.T) {
	j := newJudge(t)
	cases := allCases(t)
	answers := func() []string {
		var out []string
		for _, c := range cases {
			out = append(out, j.both(t, c))
		}
		for _, code := range slices.Sorted(maps.Keys(guardRequests)) {
			refused := j["staging"].Evaluate(guardRequests[code].refused)
			out = append(out, fmt.Sprint(refused.Codes))
			if d := j["staging"].Evaluate(guardRequests[code].permitted); !d.Allowed {
				t.Errorf("%s: refused: %s", code, d.Message)
			}
		}
		return out
	}
	before := answers()
	for code, r := range guardRequests {
		if diff := cmp.Diff([]policy.Code{code}, j["staging"].Evaluate(r.refused).Codes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", code, diff)
		}
	}
	for i, code := range policy.RuleCodes() {
		policy.WithoutRule(i, func() {
			if slices.Equal(before, answers()) {
				t.Errorf("no case needs rule %s", code)
			}
		})
	}
}

// What is known of a secret beside the address is not told to anybody.
func TestMessageShowsNoSecret(t *testing.T) {
	p := policy.New(load.Snapshot(0, skottv1.Address{Type: "Host", Value: "db.prod.example"}, skottv1.Address{Type: "Host", Value: "*.customers.example"},
		skottv1.Address{Type: "Git", Value: "https://git.example/org/prod"}, skottv1.Address{Type: "Bucket", Value: "https://s3.example/prod"}))
	e := policy.NewEvaluator(p.Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0])
	env := func(value string) map[string]any {
		return map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "env": []any{map[string]any{"name": "URL", "value": value}}}}}}
	}
	for name, c := range map[string]struct {
		group, resource string
		object          map[string]any
		want            string
	}{
		"Password":  {"", "pods", env("postgres://app:hunter2@db.prod.example:5432/app?token=hunter2"), `"db.prod.example"`},
		"Path":      {"", "pods", env("https://db.prod.example/hunter2"), `"db.prod.example"`},
		"Beside":    {"", "pods", env("key=hunter2 host=a.customers.example"), `"a.customers.example"`},
		"Git":       {"argoproj.io", "applications", map[string]any{"spec": map[string]any{"source": map[string]any{"repoURL": "https://bot:hunter2@git.example/org/prod.git"}}}, `"git.example/org/prod"`},
		"Endpoint":  {"velero.io", "backupstoragelocations", map[string]any{"spec": map[string]any{"objectStorage": map[string]any{"bucket": "prod"}, "config": map[string]any{"s3Url": "https://key:hunter2@s3.example"}}}, `"s3.example/prod"`},
		"ConfigMap": {"", "configmaps", map[string]any{"data": map[string]any{"a": "password: hunter2\nurl: jdbc:postgresql://db.prod.example/?password=hunter2"}}, `"db.prod.example"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := e.Evaluate(&policy.Request{Operation: "CREATE", Group: c.group, Resource: c.resource, Object: c.object})
			if strings.Contains(d.Message, "hunter2") || !strings.Contains(d.Message, c.want) {
				t.Errorf("%q: want %s, and no secret", d.Message, c.want)
			}
		})
	}
}

// A bucket above a production prefix is found, even on an endpoint that is shared, unless it
// is shared itself.
func TestParentBelowShared(t *testing.T) {
	snapshot := load.Snapshot(0, skottv1.Address{Type: "Bucket", Value: "https://s3.example/both/prod"}, skottv1.Address{Type: "Bucket", Value: "https://s3.example/tools/prod"})
	yes := true
	shared := skottv1.DataLocation{Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"}, Shared: &yes, Addresses: []skottv1.Address{
		{Type: "Host", Value: "s3.example"}, {Type: "Bucket", Value: "https://s3.example/tools"},
	}}}
	snapshot.Locations = append(snapshot.Locations, shared)
	guard := policy.New(snapshot).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0]
	c := compile(t, "velero.io")
	for bucket, allowed := range map[string]bool{"both": false, "tools": true, "other": true} {
		content := load.Location("https://s3.example", bucket)
		delete(content["spec"].(map[string]any)["objectStorage"].(map[string]any), "prefix")
		object := load.Object{Group: "velero.io", Resource: "backupstoragelocations", Content: content}
		d := policy.NewEvaluator(guard).Evaluate(&policy.Request{Operation: "CREATE", Group: object.Group, Resource: object.Resource, Object: content})
		denial := c.denial(t, object, guard)
		if d.Allowed != allowed || denial != d.Message {
			t.Errorf("bucket %s: allowed %t\nEvaluate: %s\npolicy:   %s", bucket, d.Allowed, d.Message, denial)
		}
	}
}

// The design allows a kind of the catalogue ten allocations.
func TestEvaluateAllocations(t *testing.T) {
	e := policy.NewEvaluator(policy.New(load.Snapshot(1_000)).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0])
	for _, object := range load.Objects() {
		r := &policy.Request{Operation: "CREATE", Group: object.Group, Resource: object.Resource, Namespace: "default", User: "alice", Object: object.Content}
		if got := testing.AllocsPerRun(100, func() { e.Evaluate(r) }); got > 10 {
			t.Errorf("%s: %v allocations, want at most 10", object.Name, got)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, size := range append(slices.Clone(load.Sizes), 100_000) {
		e := policy.NewEvaluator(policy.New(load.Snapshot(size)).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())[0])
		for _, object := range load.Objects() {
			b.Run(fmt.Sprintf("%s/addresses=%d", strings.ReplaceAll(object.Name, " ", "_"), size), func(b *testing.B) {
				r := &policy.Request{Operation: "CREATE", Group: object.Group, Resource: object.Resource, Namespace: "default", User: "alice", Object: object.Content}
				b.ReportAllocs()
				for b.Loop() {
					if d := e.Evaluate(r); !d.Allowed {
						b.Fatal(d.Message)
					}
				}
			})
		}
	}
}

func BenchmarkNewAndGuards(b *testing.B) {
	for _, size := range load.Sizes {
		s := load.Snapshot(size)
		b.Run(fmt.Sprintf("addresses=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policy.New(s).Guards(load.Staging, nil, policy.BuiltinRules().AllFamilies())
			}
		})
	}
}
