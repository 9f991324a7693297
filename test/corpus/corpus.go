// SPDX-License-Identifier: Apache-2.0

// Package corpus reads the objects that every reader of the boundary is tested with: the
// compiled policies, Evaluate, and what comes later. Each case says in which cluster an
// object is sent and which codes refuse it there; no code means that it is permitted.
package corpus

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

var codePattern = regexp.MustCompile(`SKOTT-D[0-9]{3}`)

// Codes are those in a message, each once, sorted.
func Codes(message string) []policy.Code {
	var out []policy.Code
	for _, code := range codePattern.FindAllString(message, -1) {
		out = append(out, policy.Code(code))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

//go:embed platform.yaml only-evaluate.yaml bases.yaml objects/*.yaml
var files embed.FS

// Case is one request and its expected answer.
type Case struct {
	// Name of the case, unique in its file.
	Name string `json:"name"`
	// Cluster of the platform that the request is sent to.
	Cluster string `json:"cluster"`
	// Expect are the codes of the denial, in any order; empty for a permitted object.
	Expect []policy.Code `json:"expect,omitempty"`
	// Contains are texts that the denial must hold.
	Contains []string `json:"contains,omitempty"`
	// User is "operator" for a request of Skott itself; empty for an administrator.
	User string `json:"user,omitempty"`
	// Subresource that the object is written through, if any.
	Subresource string `json:"subresource,omitempty"`
	// OnlyEvaluate says why the compiled policies cannot see what Evaluate sees; empty where
	// both must agree.
	OnlyEvaluate string `json:"onlyEvaluate,omitempty"`
	// Repeat makes the object large.
	Repeat *Repeat `json:"repeat,omitempty"`
	// Object of the request.
	Object map[string]any `json:"object"`
	// OldObject makes the request an UPDATE of it.
	OldObject map[string]any `json:"oldObject,omitempty"`
	// Others are objects of the same cluster, which the object may name.
	Others []map[string]any `json:"others,omitempty"`

	// File that holds the case.
	File string `json:"-"`
}

// Lookup finds one of the other objects of the case, as the guard webhook finds objects of
// its cluster.
func (c *Case) Lookup(group, resource, namespace, name string) map[string]any {
	for _, object := range c.Others {
		u := &unstructured.Unstructured{Object: object}
		kind := flow.Builtin().OfKind(u.GroupVersionKind().Group, u.GetKind())
		if kind != nil && kind.Group == group && kind.Resource == resource && u.GetNamespace() == namespace && u.GetName() == name {
			return object
		}
	}
	return nil
}

// Title names the case in test output.
func (c *Case) Title() string { return c.File + ": " + c.Name }

// Cases are all cases, in the order of their files.
func Cases() ([]*Case, error) {
	names, err := fs.Glob(files, "objects/*.yaml")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []*Case
	for _, name := range names {
		cases, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, cases...)
	}
	return out, nil
}

// OnlyEvaluate are the cases that lie beyond the bounds of the policies, each with its
// reason. They are too large to be written down, and are built here from what they repeat.
func OnlyEvaluate() ([]*Case, error) {
	out, err := read("only-evaluate.yaml")
	if err != nil {
		return nil, err
	}
	for _, c := range out {
		if c.OnlyEvaluate == "" || len(c.Expect) == 0 {
			return nil, fmt.Errorf("case %q: a gap has a reason, and codes that Evaluate finds", c.Name)
		}
		if c.Repeat != nil {
			c.Repeat.apply(c.Object)
		}
	}
	return out, nil
}

// Repeat makes a case large: it puts Text, Times over, in front of the value of key "text"
// of a ConfigMap, or adds as many environment variables to the first container of a Pod.
type Repeat struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

func (r *Repeat) apply(object map[string]any) {
	if data, ok := object["data"].(map[string]any); ok {
		text, _ := data["text"].(string)
		data["text"] = strings.Repeat(r.Text, r.Times) + text
		return
	}
	containers, _, _ := unstructured.NestedSlice(object, "spec", "containers")
	first, ok := containers[0].(map[string]any)
	if !ok {
		return
	}
	env, _ := first["env"].([]any)
	for i := range r.Times {
		env = append(env, map[string]any{"name": fmt.Sprintf("V%d", i), "value": r.Text})
	}
	first["env"] = env
	_ = unstructured.SetNestedSlice(object, containers, "spec", "containers") // the path was just read
}

func read(name string) ([]*Case, error) {
	content, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []*Case
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		c := &Case{File: strings.TrimSuffix(strings.TrimPrefix(name, "objects/"), ".yaml")}
		if err := yaml.UnmarshalStrict(document, c); err != nil {
			return nil, err
		}
		if c.Object == nil {
			continue
		}
		if c.Name == "" || c.Cluster == "" || seen[c.Name] {
			return nil, fmt.Errorf("case %q: name and cluster are required, and names are unique", c.Name)
		}
		seen[c.Name] = true
		objects := []*map[string]any{&c.Object, &c.OldObject}
		for i := range c.Others {
			objects = append(objects, &c.Others[i])
		}
		for _, object := range objects {
			if err := normalise(object); err != nil {
				return nil, fmt.Errorf("case %q: %w", c.Name, err)
			}
		}
		out = append(out, c)
	}
}

// normalise gives numbers the types that an API server gives them.
func normalise(object *map[string]any) error {
	if *object == nil {
		return nil
	}
	raw, err := json.Marshal(*object)
	if err != nil {
		return err
	}
	*object = nil
	return json.Unmarshal(raw, object)
}

// Platform is the platform of the corpus: who owns what, and which clusters there are.
type Platform struct {
	// Snapshot that everything is decided by.
	Snapshot policy.Snapshot
	// Clusters by name.
	Clusters map[string]Cluster
}

// Cluster is a guarded cluster of the platform.
type Cluster struct {
	skottv1.GuardedCluster `json:",inline"`
	// Namespaces of an Environment of their own.
	Namespaces map[string]string `json:"namespaces,omitempty"`
}

// ReadPlatform reads the platform of the corpus.
func ReadPlatform() (*Platform, error) {
	content, err := files.ReadFile("platform.yaml")
	if err != nil {
		return nil, err
	}
	p := &Platform{Clusters: map[string]Cluster{}}
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		if err := p.add(document); err != nil {
			return nil, err
		}
	}
}

func (p *Platform) add(document []byte) error {
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(document, &u.Object); err != nil {
		return err
	}
	switch kind := u.GetKind(); kind {
	case "Environment":
		return appendTo(&p.Snapshot.Environments, document)
	case "DataBoundary":
		return appendTo(&p.Snapshot.Boundaries, document)
	case "DataLocation":
		return appendTo(&p.Snapshot.Locations, document)
	case "":
		return nil
	default:
		var fleet struct {
			Kind     string             `json:"kind"`
			Clusters map[string]Cluster `json:"clusters"`
			Members  []policy.Member    `json:"members"`
		}
		if err := yaml.UnmarshalStrict(document, &fleet); err != nil {
			return fmt.Errorf("kind %q: %w", kind, err)
		}
		p.Clusters, p.Snapshot.Clusters = fleet.Clusters, fleet.Members
		return nil
	}
}

func appendTo[T any](list *[]T, document []byte) error {
	var item T
	if err := yaml.UnmarshalStrict(document, &item); err != nil {
		return err
	}
	*list = append(*list, item)
	return nil
}
