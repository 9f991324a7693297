// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"k8s.io/apimachinery/pkg/runtime"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/guarded"
)

// configMap holds n values of a text that is repeated up to a size.
func configMap(n, size int, text string) map[string]any {
	data := map[string]any{}
	for i := range n {
		data[fmt.Sprintf("key-%d", i)] = strings.Repeat(text, size/n/len(text)+1)[:size/n]
	}
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "large", "namespace": "default"}, "data": data}
}

// deployment has containers with environment values each.
func deployment(containers, env int, value string) map[string]any {
	list := make([]any, containers)
	for i := range list {
		vars := make([]any, env)
		for j := range vars {
			vars[j] = map[string]any{"name": fmt.Sprintf("V%d", j), "value": value}
		}
		list[i] = map[string]any{"name": fmt.Sprintf("c%d", i), "image": "registry.example/staging/app:1", "env": vars}
	}
	return map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "large", "namespace": "default"},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "a"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "a"}}, "spec": map[string]any{"containers": list}}}}
}

// texts of all sorts, none of which names an address of production.
var texts = map[string]string{
	"prose": "Never copy production data here, ask somebody first. ", "configuration": "server.port: 8080\nspring.datasource.url: jdbc:postgresql://db.staging.example:5432/app\n",
	"names": "a.b ", "long names": "aaaa-bbbb.cccc-dddd.eeee.example/with/a/path?and=query ", "one word": "x", "dots": ".", "labels": "a.", "slashes": "a.b/",
	"shared endpoint": "https://s3.sto2.example/other-bucket/path ", "bare endpoint": "s3.sto2.example ", "shared host": "status.customers.example ", "buckets": "s3://b ",
	"addresses": "10.21.0.1 ", "numbers": "1.2 ", "paths": "s3.sto2.example/a/b/c/d/e/f/g/h/i/j/k/l ", "mail": "dba@prod.example, ", "Unicode": "é.ü ", "upper case": "A.B ",
}

// wide is the Guard with as many distinct depths, suffixes and networks as its schema takes.
func wide(g *skottv1.Guard) *skottv1.Guard {
	out := g.DeepCopy()
	s := &out.Spec
	s.Depths, s.SuffixLabels, s.PrefixLengths = nil, nil, nil
	for n := int64(64); n > 0; n-- {
		s.Depths, s.SuffixLabels = append(s.Depths, n), append(s.SuffixLabels, n)
	}
	for n := int64(128); n >= 0; n-- {
		s.PrefixLengths = append(s.PrefixLengths, n)
	}
	for i := range 10000 {
		a := fmt.Sprintf("host-%d.many.example", i)
		s.Addresses[a], s.Hosts[a] = "production", ""
	}
	return out
}

// application has sources of a repository each.
func application(n int, url string) map[string]any {
	sources := make([]any, n)
	for i := range sources {
		sources[i] = map[string]any{"repoURL": url, "path": "a"}
	}
	return map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": map[string]any{"name": "large", "namespace": "default"},
		"spec": map[string]any{"project": "default", "sources": sources, "destination": map[string]any{"server": "https://api.staging.example:6443"}}}
}

// databases has external clusters.
func databases(n int, url string) map[string]any {
	list := make([]any, n)
	for i := range list {
		list[i] = map[string]any{"name": fmt.Sprintf("c%d", i), "barmanObjectStore": map[string]any{"destinationPath": url, "endpointURL": "https://s3.sto2.example"},
			"connectionParameters": map[string]any{"host": "status.customers.example"}}
	}
	return map[string]any{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": map[string]any{"name": "large", "namespace": "default"},
		"spec": map[string]any{"instances": int64(1), "storage": map[string]any{"size": "1Gi"}, "externalClusters": list}}
}

// slice has endpoints with addresses each.
func slice(n, addresses int, address string) map[string]any {
	list := make([]any, n)
	for i := range list {
		each := make([]any, addresses)
		for j := range each {
			each[j] = address
		}
		list[i] = map[string]any{"addresses": each}
	}
	return map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": map[string]any{"name": "large", "namespace": "default"},
		"addressType": "IPv4", "endpoints": list}
}

// sizes of texts: the bounds of the policies lie between them.
var sizes = []int{32 << 10, 100 << 10, 900 << 10}

// granted is what a policy may cost of the ten million that an API server grants it.
const granted = 7000000

// large are innocent objects at and beyond every bound of the policies.
func large() map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, text := range texts {
		for _, size := range sizes {
			out[fmt.Sprintf("ConfigMap, %d KB of %s", size>>10, name)] = configMap(1, size, text)
		}
		out["ConfigMap, 1,000 values of "+name] = configMap(990, 64000, text)
		out["ConfigMap, 5,000 values of "+name] = configMap(5000, 100000, text)
		out["Deployment, 40 values of "+name] = deployment(1, 40, strings.Repeat(text, 3))
		out["Deployment, 900 values of "+name] = deployment(3, 300, text)
		out["Deployment, 3,000 values of "+name] = deployment(1, 3000, text)
		out["Deployment, 100 containers, 8 values of "+name] = deployment(100, 8, text)
	}
	for _, n := range []int{0, 1, 100, 490, 990, 5000} {
		for name, url := range map[string]string{"short": "https://git.example/platform/apps.git", "long": "https://git.example/" + strings.Repeat("a/", 490), "s3": "s3://" + strings.Repeat("b/", 490)} {
			out[fmt.Sprintf("Application, %d %s sources", n, name)] = application(n, url)
			out[fmt.Sprintf("Cluster, %d %s databases", n, name)] = databases(n, url)
		}
		out[fmt.Sprintf("EndpointSlice, %d addresses", n)] = slice(n, 1, "10.21.0.1")
		out[fmt.Sprintf("EndpointSlice, %d names", n)] = slice(n, 1, "status.customers.example")
		out[fmt.Sprintf("EndpointSlice, %d addresses of one", n)] = slice(1, n, "10.21.0.1")
		out[fmt.Sprintf("Deployment, %d containers", n)] = deployment(n, 0, "")
	}
	return out
}

var _ = Describe("large objects", Ordered, func() {
	It("cost a policy less than an API server grants it, whatever the Guard", func(ctx SpecContext) {
		cluster := platform.Clusters["staging"]
		guard := resolved.Guards(cluster.GuardedCluster, cluster.Namespaces, families)[0]
		var wrong []string
		for kind, g := range map[string]*skottv1.Guard{"": guard, ", wide Guard": wide(guard)} {
			params, evaluator := guarded.Plain(g), policy.NewEvaluator(g)
			most := map[flow.Family]int64{}
			for name, o := range large() {
				c := &corpus.Case{Object: runtime.DeepCopyJSON(o), Cluster: "staging"}
				q := requestOf(c)
				family := flow.Builtin().Lookup(q.Group, q.Resource).Family
				a, err := mustRead().decide(family, params, q)
				switch d := evaluator.Evaluate(q); {
				case err != nil:
					wrong = append(wrong, name+kind+": the policy fails: "+short(err.Error()))
				case a.cost > granted:
					wrong = append(wrong, fmt.Sprintf("%s%s: costs %d", name, kind, a.cost))
				case a.denial != "" || !d.Allowed:
					wrong = append(wrong, name+kind+": refused: "+short(a.denial)+short(d.Message))
				}
				most[family] = max(most[family], a.cost)
			}
			AddReportEntry(fmt.Sprintf("most%s: %v", kind, most))
		}
		expectNone(wrong)
	}, SpecTimeout(10*time.Minute))
})
