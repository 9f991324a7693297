// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// clusters of the samples that examples are sent to.
var clusters = map[string]skottv1.GuardedCluster{
	"safespring/ske-stage-3hw8n":      {ManagementCluster: "mc-sto2-staging", Role: "Workload", Environment: "staging", Datacenter: "sto2"},
	"cust-vardhem/vardhem-prod-9fq4d": {ManagementCluster: "mc-sto2-prod", Role: "Workload", Environment: "production", Datacenter: "sto2"},
	"mc-sto2-staging":                 {ManagementCluster: "mc-sto2-staging", Role: "Management", Environment: "staging", Datacenter: "sto2"},
	"ops":                             {ManagementCluster: "ops", Role: "Ops", Datacenter: "sto2"},
}

// documents are the YAML documents of a text.
func documents(t *testing.T, text string) [][]byte {
	t.Helper()
	var out [][]byte
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			out = append(out, document)
		}
	}
}

// typed reads a document of skott.dev/v1alpha1 strictly, nil if it is of another group.
func typed(t *testing.T, document []byte) runtime.Object {
	t.Helper()
	var meta struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &meta); err != nil {
		t.Fatalf("%v in:\n%s", err, document)
	}
	if meta.APIVersion != skottv1.GroupVersion.String() {
		return nil
	}
	scheme := runtime.NewScheme()
	if err := skottv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	o, err := scheme.New(skottv1.GroupVersion.WithKind(meta.Kind))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(document, o); err != nil {
		t.Fatalf("%v in:\n%s", err, document)
	}
	return o
}

// samples are the objects of config/samples by kind and name.
func samples(t *testing.T) map[string]runtime.Object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config/samples/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]runtime.Object{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range documents(t, string(content)) {
			if o := typed(t, document); o != nil {
				out[nameOf(o)] = o
			}
		}
	}
	return out
}

func nameOf(o runtime.Object) string {
	named, _ := o.(interface{ GetName() string })
	return o.GetObjectKind().GroupVersionKind().Kind + "/" + named.GetName()
}

// blocks are the code blocks of a language.
func blocks(text, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

func TestREADMEShowsTheSamples(t *testing.T) {
	known := samples(t)
	kinds := map[string]bool{}
	for _, block := range blocks(read(t, "README.md"), "yaml") {
		for _, document := range documents(t, block) {
			o := typed(t, document)
			if o == nil {
				continue
			}
			kinds[o.GetObjectKind().GroupVersionKind().Kind] = true
			if want, ok := known[nameOf(o)]; !ok || !reflect.DeepEqual(o, want) {
				t.Errorf("README.md: %s is not what config/samples holds", nameOf(o))
			}
		}
	}
	for _, kind := range []string{"Environment", "ManagementCluster", "DataLocation", "DataBoundary"} {
		if !kinds[kind] {
			t.Errorf("README.md shows no %s", kind)
		}
	}
}

// Whatever page shows an object of ours, it is one.
func TestObjectsAreValid(t *testing.T) {
	for _, page := range pages(t) {
		for _, block := range blocks(read(t, page), "yaml") {
			for _, document := range documents(t, block) {
				typed(t, document)
			}
		}
	}
}

// key of the fingerprints in examples.
var key = address.NewKey(make([]byte, address.KeyLength))

// platform is the policy of the samples with what a page adds to them.
func platform(t *testing.T, page string) *policy.Policy {
	t.Helper()
	var s policy.Snapshot
	add := func(o runtime.Object) {
		switch o := o.(type) {
		case *skottv1.Environment:
			s.Environments = append(s.Environments, *o)
		case *skottv1.DataBoundary:
			s.Boundaries = append(s.Boundaries, *o)
		case *skottv1.DataLocation:
			s.Locations = append(s.Locations, *o)
		}
	}
	for _, o := range samples(t) {
		add(o)
	}
	for _, block := range blocks(page, "yaml") {
		if example.MatchString(block) {
			continue
		}
		for _, document := range documents(t, block) {
			if o := typed(t, document); o != nil {
				add(o)
			}
		}
	}
	// Of a credential only a fingerprint is declared, so that no page can show how.
	credential := skottv1.DataLocation{}
	credential.Name, credential.Spec.EnvironmentRef.Name = "credential", "production"
	credential.Spec.Addresses = []skottv1.Address{{Type: skottv1.AddressType(address.Credential), Value: key.Fingerprint("q7Zk2LmX9vRt4BnW8sYd").String()}}
	s.Locations = append(s.Locations, credential)
	p := policy.New(s)
	if errs := p.Rejected(); len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	return p
}

var (
	// example is the first line of a block that is sent somewhere.
	example = regexp.MustCompile(`^# (CREATE|UPDATE|DELETE)(?: by (\S+))? in cluster (\S+?)(?:, namespace of Environment (\S+))?(?:, where namespace (\S+) is of Environment (\S+))?\n`)
	pair    = regexp.MustCompile("(?ms)^```yaml\n(# (?:CREATE|UPDATE|DELETE) .*?)^```\n\n```text\n(.*?)\n?^```$")
)

// request is the one that a block describes. What is updated had no label of Skott's before.
func request(t *testing.T, block string) (*policy.Request, string) {
	t.Helper()
	m := example.FindStringSubmatch(block)
	if m == nil {
		t.Fatalf("no request in:\n%s", block)
	}
	var object map[string]any
	raw, err := yaml.YAMLToJSON([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	meta, _ := object["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	r := &policy.Request{Operation: m[1], Group: group, Resource: resourceOf(group, kind), Namespace: namespace, User: "jane", Object: object}
	if m[2] != "" {
		r.User = m[2]
	}
	if m[4] != "" {
		r.NamespaceLabels = map[string]string{skottv1.LabelEnvironment: m[4]}
	}
	switch r.Operation {
	case "UPDATE":
		r.OldObject = runtime.DeepCopyJSON(object)
		old, _ := r.OldObject["metadata"].(map[string]any)
		delete(old, "labels")
	case "DELETE":
		r.Object, r.OldObject = nil, object
	}
	return r, m[3]
}

func resourceOf(group, kind string) string {
	for _, k := range flow.Builtin().Kinds() {
		if k.Group == group && k.Kind == kind {
			return k.Resource
		}
	}
	return strings.ToLower(kind) + "s"
}

// denial is what the cluster of an example answers.
func denial(t *testing.T, p *policy.Policy, block string) (policy.Decision, *policy.Request) {
	t.Helper()
	r, name := request(t, block)
	cluster, ok := clusters[name]
	if !ok {
		t.Fatalf("there is no cluster %q", name)
	}
	cluster.Name = name
	namespaces := map[string]string{}
	if e := r.NamespaceLabels[skottv1.LabelEnvironment]; e != "" {
		namespaces[r.Namespace] = e
	}
	if m := example.FindStringSubmatch(block); m[5] != "" {
		namespaces[m[5]] = m[6]
	}
	return policy.NewEvaluator(p.Guards(cluster, namespaces, families)[0]).WithKey(key).Evaluate(r), r
}

// sayings puts the answers of a page's examples in, where they stand alone.
func sayings(t *testing.T, page string) string {
	t.Helper()
	p := platform(t, page)
	return pair.ReplaceAllStringFunc(page, func(text string) string {
		m := pair.FindStringSubmatch(text)
		d, _ := denial(t, p, m[1])
		if strings.Contains(m[2], "denied request: ") {
			before, _, _ := strings.Cut(m[2], "denied request: ")
			return "```yaml\n" + m[1] + "```\n\n```text\n" + before + "denied request: " + d.Message + "\n```"
		}
		return "```yaml\n" + m[1] + "```\n\n```text\n" + d.Message + "\n```"
	})
}

func TestExamplesAreTrue(t *testing.T) {
	for _, name := range []string{"README.md", "docs/denials.md"} {
		page := read(t, name)
		want := sayings(t, page)
		if *update {
			if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if page != want {
			t.Errorf("%s: an answer is not the one that is given; run go test ./test/docs -update", name)
		}
	}
}

// A line that shows the API server's own words names the policy that would refuse.
func TestREADMENamesThePolicy(t *testing.T) {
	for _, m := range pair.FindAllStringSubmatch(read(t, "README.md"), -1) {
		r, _ := request(t, m[1])
		name := policy.PolicyName(flow.Builtin().Lookup(r.Group, r.Resource).Family, "")
		want := r.Resource + "." + r.Group + ` "` + requestName(r) + `" is forbidden: ValidatingAdmissionPolicy '` + name + "' with binding '" + name + "-deny' denied request: "
		if !strings.Contains(m[2], want) {
			t.Errorf("README.md: the denial does not hold %q", want)
		}
	}
}

func requestName(r *policy.Request) string {
	meta, _ := r.Object["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return name
}

// types of addresses in the order of the codes' last two digits.
var types = []address.Type{
	address.Host, address.Bucket, address.CIDR, address.Volume, address.Snapshot, address.ClusterEndpoint,
	address.Registry, address.Git, address.SecretPath, address.Project, address.Credential, flow.Namespace,
}

// codesOf are the codes that a field can lead to.
func codesOf(f *flow.Field) []string {
	number := "0" + string(rune('1'+slices.Index(types, f.Type)))
	if n := slices.Index(types, f.Type); n >= 9 {
		number = "1" + string(rune('0'+n-9))
	}
	var out []string
	switch f.End {
	case flow.Destination:
		return nil
	case flow.Source:
		return []string{"SKOTT-D3" + number}
	}
	if f.Direction != flow.To {
		out = append(out, "SKOTT-D1"+number)
	}
	if f.Direction == flow.To || f.Direction == flow.Names && !f.Passive {
		out = append(out, "SKOTT-D2"+number)
	}
	return out
}

// Every code that something can be refused with has an example that is refused with it, and
// the others are said to be reserved.
func TestEveryCodeHasAnExample(t *testing.T) {
	page := read(t, "docs/denials.md")
	p := platform(t, page)
	reachable := map[string]bool{"SKOTT-D111": true} // Secrets are read for it, by no field of the table
	for _, k := range flow.Builtin().Kinds() {
		for i := range k.Fields {
			for _, code := range codesOf(&k.Fields[i]) {
				reachable[code] = true
			}
		}
	}
	for _, code := range policy.Codes() {
		text := section(t, page, "### "+string(code))
		ruled := code >= policy.CodeMisplaced
		if !ruled && !reachable[string(code)] {
			if !strings.Contains(text, "Reserved.") {
				t.Errorf("%s: no field leads to it, and its section does not say so", code)
			}
			continue
		}
		examples := pair.FindAllStringSubmatch(text, -1)
		if len(examples) == 0 {
			t.Errorf("%s has no example", code)
		}
		for _, m := range examples {
			if d, _ := denial(t, p, m[1]); !slices.Contains(d.Codes, code) {
				t.Errorf("%s: its example is refused for %v", code, d.Codes)
			}
		}
	}
}
