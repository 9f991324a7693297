// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
)

// finding is one reason to refuse one object.
type finding struct {
	File       string         `json:"file"`
	Line       int            `json:"line"`
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Namespace  string         `json:"namespace,omitempty"`
	Name       string         `json:"name,omitempty"`
	Action     skottv1.Action `json:"action"`
	Code       policy.Code    `json:"code"`
	Field      string         `json:"field,omitempty"`
	Value      string         `json:"value,omitempty"`
	Owner      string         `json:"owner,omitempty"`
	Boundary   string         `json:"boundary,omitempty"`
	Message    string         `json:"message"`
	Help       string         `json:"help"`
}

// side is one cluster that answers, by the Guards of one action.
type side struct {
	action    skottv1.Action
	evaluator *policy.Evaluator
}

// judge answers as the API servers of some clusters would, which are alike but for what the
// question leaves open.
type judge struct {
	table     table
	clusters  []skottv1.GuardedCluster
	sides     []side
	namespace string
	// claims are the namespaces of an Environment of their own.
	claims map[string]string
	// others are the objects of the input that others lead to.
	others map[objectKey]map[string]any
}

// objectKey names an object in a cluster.
type objectKey struct{ group, resource, namespace, name string }

// newJudge prepares the decision over an input, in which objects that name no namespace are
// in the one given.
func newJudge(w *world, t *target, namespace string, in *input) (*judge, error) {
	clusters, err := t.clusters(w)
	if err != nil {
		return nil, err
	}
	j := &judge{table: w.table(), clusters: clusters, namespace: namespace, others: map[objectKey]map[string]any{}}
	if j.claims, err = j.survey(in); err != nil {
		return nil, err
	}
	if len(w.guards) > 0 {
		guards := make([]*skottv1.Guard, len(w.guards))
		for i, g := range w.guards {
			guards[i] = policy.WithNamespaces(g, j.claims)
		}
		j.claims = guards[0].Spec.Namespaces
		j.add(guards)
		return j, nil
	}
	p := policy.New(w.snapshot())
	for i, c := range clusters {
		clusters[i] = p.GuardedCluster(c)
		j.add(p.Guards(c, j.claims, nil))
	}
	return j, nil
}

// add takes the Guards of one cluster.
func (j *judge) add(guards []*skottv1.Guard) {
	for _, action := range actions {
		var parts []*skottv1.Guard
		for _, g := range guards {
			if g.Spec.Action == action {
				parts = append(parts, g)
			}
		}
		if len(parts) > 0 {
			j.sides = append(j.sides, side{action: action, evaluator: policy.NewEvaluator(parts...)})
		}
	}
}

// request is what the API server would be asked. Objects get the namespace that kubectl
// would put them in.
func (j *judge) request(o *object) *policy.Request {
	r := &policy.Request{Operation: "CREATE", Group: o.gvk.Group, Resource: j.table.resource(o.gvk), Object: o.content, Lookup: j.lookup}
	j.place(o)
	decodeSecret(o)
	r.Namespace = o.namespace
	// As it would be sent; decoded JSON can always be encoded again.
	r.Raw, _ = json.Marshal(o.content)
	if claim := j.claims[o.namespace]; claim != "" {
		r.NamespaceLabels = map[string]string{skottv1.LabelEnvironment: claim}
	}
	return r
}

// place puts an object into the namespace that kubectl would put it in.
func (j *judge) place(o *object) {
	if !j.table.namespaced(o.gvk) {
		o.namespace = ""
		return
	}
	if o.namespace != "" {
		return
	}
	o.namespace = j.namespace
	metadata, _ := o.content["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		o.content["metadata"] = metadata
	}
	metadata["namespace"] = o.namespace
}

// decodeSecret moves the text of a Secret to where the API server moves it before anything
// decides.
func decodeSecret(o *object) {
	written, isMap := o.content["stringData"].(map[string]any)
	if o.gvk.Group != "" || o.gvk.Kind != "Secret" || !isMap {
		return
	}
	data := map[string]any{}
	if before, ok := o.content["data"].(map[string]any); ok {
		maps.Copy(data, before)
	}
	for key, value := range written {
		if s, ok := value.(string); ok {
			data[key] = base64.StdEncoding.EncodeToString([]byte(s))
		}
	}
	o.content["data"] = data
	delete(o.content, "stringData")
}

// lookup finds another object of the input.
func (j *judge) lookup(group, resource, namespace, name string) map[string]any {
	return j.others[objectKey{group, resource, namespace, name}]
}

// check is every reason to refuse an object, each once: clusters that the question leaves
// open may say the same.
func (j *judge) check(o *object) []finding {
	r := j.request(o)
	var out []finding
	seen := map[policy.Violation]bool{}
	for _, s := range j.sides {
		d := s.evaluator.Evaluate(r)
		if d.Allowed {
			continue
		}
		base := finding{
			File: o.document.file, APIVersion: o.gvk.GroupVersion().String(), Kind: o.gvk.Kind,
			Namespace: o.namespace, Name: o.name, Action: s.action, Message: d.Message,
		}
		for _, v := range violations(d) {
			if seen[v] {
				continue
			}
			seen[v] = true
			f := base
			f.Code, f.Field, f.Value, f.Owner, f.Boundary = v.Code, v.Path, v.Address, v.Owner, v.Boundary
			f.Help, f.Line = help(v.Code), o.position(v.Path, v.Address)
			out = append(out, f)
		}
	}
	return out
}

// violations of a decision; of one that has none, its code alone.
func violations(d policy.Decision) []policy.Violation {
	if len(d.Violations) > 0 {
		return d.Violations
	}
	var out []policy.Violation
	for _, c := range d.Codes {
		out = append(out, policy.Violation{Code: c})
	}
	return out
}

// help is where a code is explained.
func help(c policy.Code) string { return policy.Documentation + "#" + strings.ToLower(string(c)) }

// who answers, in words.
func (j *judge) who() string {
	c := j.clusters[0]
	where := fmt.Sprintf("cluster %q of Environment %q", c.Name, c.Environment)
	if len(j.clusters) > 1 {
		return fmt.Sprintf("%s in any of %d datacenters", where, len(j.clusters))
	}
	return where
}

// claim is what one Namespace of the input says of itself.
type claim struct {
	environment, file string
	line              int
}

// survey reads the input for what its objects say of each other: the namespaces that claim
// an Environment, and the objects that others lead to. Only these are held.
func (j *judge) survey(in *input) (map[string]string, error) {
	linked := j.table.linked()
	words := []string{"Namespace"}
	for k := range linked {
		words = append(words, k.Kind)
	}
	claims := map[string]claim{}
	var err error
	in.read(func(_ *source, d *document) {
		if !d.mayHold(words...) {
			return
		}
		d.objects(func(o *object) {
			if kind := j.table.kind(o.gvk); kind != nil && linked[kind] && o.name != "" {
				j.place(o)
				decodeSecret(o)
				j.others[objectKey{kind.Group, kind.Resource, o.namespace, o.name}] = o.content
			}
			if o.gvk.Group == "" && o.gvk.Kind == "Namespace" {
				err = cmp.Or(err, take(claims, o))
			}
		}, func(error, problem) {}) // told when the objects are checked
	}, func(problem) {})
	out := map[string]string{}
	for name, c := range claims {
		if c.environment != "" {
			out[name] = c.environment
		}
	}
	return out, err
}

// take adds what a Namespace says of itself. Two that say different things are of two
// clusters, and the rest of the input then is, too.
func take(claims map[string]claim, o *object) error {
	metadata, _ := o.content["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	c := claim{environment: text(labels[skottv1.LabelEnvironment]), file: o.document.file, line: o.position("", "")}
	if before, known := claims[o.name]; known && before.environment != c.environment {
		return fmt.Errorf("%s:%d: Namespace %q is of Environment %q here and of %q at %s:%d: check the objects of one cluster at a time",
			c.file, c.line, o.name, c.environment, before.environment, before.file, before.line)
	}
	claims[o.name] = c
	return nil
}
