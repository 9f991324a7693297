// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"cmp"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
)

// owner of the addresses that are planted in generated objects.
type owner string

const (
	production owner = "prod"
	staging    owner = "stage"
	nobody     owner = "other"
	// everybody has what others own a part of.
	everybody owner = "common"
)

func (o owner) host() string { return string(o) + ".gen.example" }

func (o owner) ip() string {
	return map[owner]string{production: "203.0.113.70", staging: "198.51.100.70", nobody: "192.0.2.70"}[o]
}

// Hosts that every owner uses, each with a part of its own.
const (
	sharedS3       = "s3.gen.example"
	sharedRegistry = "registry.gen.example"
	sharedGit      = "git.gen.example"
	sharedVault    = "vault.gen.example"
)

// owned are the addresses that an owner has whatever the table says.
func (o owner) owned() []skottv1.Address {
	return []skottv1.Address{
		{Type: "Host", Value: o.host()}, {Type: "CIDR", Value: strings.TrimSuffix(o.ip(), "70") + "64/28"},
		{Type: "Bucket", Value: "https://" + sharedS3 + "/" + string(o) + "-gen"},
		{Type: "Bucket", Value: "s3://" + string(o) + "-gen"}, {Type: "Bucket", Value: "gs://" + string(o) + "-gen"},
		{Type: "Bucket", Value: "azure/" + string(o) + "-gen"}, {Type: "Bucket", Value: "oci/" + string(o) + "-gen"},
		{Type: "Registry", Value: sharedRegistry + "/" + string(o)}, {Type: "Git", Value: "https://" + sharedGit + "/" + string(o)},
		{Type: "SecretPath", Value: "https://" + sharedVault + "/" + string(o)},
		{Type: "ClusterEndpoint", Value: "https://" + o.host() + ":6443"}, {Type: "ClusterEndpoint", Value: Namespace + "/" + string(o) + "-cluster"},
	}
}

// Namespace holds the generated Clusters, whose namespace is part of their address.
const Namespace = "gen"

// value is something that an object holds at a path.
type value struct {
	steps []flow.Step
	value any
}

// Linked is another object, which a generated one leads to.
type Linked struct {
	Group, Resource, Name string
	Object                map[string]any
}

// plan says what makes an object name an address of an owner through one row.
type plan struct {
	values []value
	// text at the path of the row itself, the last of values.
	namespace string
	// declared are addresses of the owner that only such rows have.
	declared []skottv1.Address
	linked   []Linked
	// inner is the row that names the address, where that is not the row itself.
	inner *flow.Field
	// unseen: the policies do not read what is planted.
	unseen bool
}

// and is a plan that plants what another one plants before.
func (out *plan) and(before *plan) *plan {
	both := *out
	both.values = slices.Concat(before.values, out.values)
	both.linked = slices.Concat(before.linked, out.linked)
	both.unseen = before.unseen || out.unseen
	return &both
}

// planter plants addresses in objects of one version of a kind.
type planter struct {
	table  *flow.Table
	kind   *flow.Kind
	schema *Schema // nil if none is known
	hints  map[string]string
	// below: only addresses that something may stand below are planted.
	below bool
}

var errNoText = errors.New("no spelling of the address is valid there")

// leaf is the schema at steps, nil if that is not known.
func (p *planter) leaf(steps []flow.Step) *Schema {
	if p.schema == nil {
		return nil
	}
	s, err := p.schema.Resolve(steps)
	if err != nil {
		return nil
	}
	return s
}

// pick is the first text that is valid at steps.
func (p *planter) pick(steps []flow.Step, texts ...string) (string, bool) {
	leaf := p.leaf(steps)
	for _, text := range texts {
		if leaf.accepts(text) {
			return text, true
		}
	}
	return "", false
}

// companion is the path of With[i], nil if there is none.
func (p *planter) companion(f *flow.Field, i int) []flow.Step {
	steps, relative := f.WithSteps(i)
	if steps == nil {
		return nil
	}
	if relative {
		n := 0
		for j, s := range f.Steps() {
			if s.List || s.Map && j+1 < len(f.Steps()) {
				n = j + 1
			}
		}
		steps = slices.Concat(f.Steps()[:n], steps)
	}
	return slices.Concat(p.kind.Steps(), steps)
}

// with adds a companion with the first text that is valid there, and returns that.
func (p *planter) with(out *plan, f *flow.Field, i int, texts ...string) string {
	steps := p.companion(f, i)
	if steps == nil {
		return ""
	}
	if leaf := p.leaf(steps); leaf != nil && (leaf.typ() == "integer" || leaf.typ() == "number") {
		out.values = append(out.values, value{steps, int64(7)})
		return "7"
	}
	text, ok := p.pick(steps, texts...)
	if ok {
		out.values = append(out.values, value{steps, text})
	}
	return text
}

// plant makes the plan for one row and one owner.
func (p *planter) plant(f *flow.Field, o owner) (*plan, error) {
	out := &plan{unseen: !f.InPolicy()}
	var texts []string
	at := slices.Concat(p.kind.Steps(), f.Steps())
	switch f.Form {
	case flow.Bucket:
		texts = p.bucket(out, f, o)
	case flow.Object:
		p.with(out, f, 0, "https://"+sharedS3, sharedS3)
		name := string(o) + "-gen"
		texts = []string{"s3://" + name + "/x", "s3://" + name, "https://" + sharedS3 + "/" + name + "/x", "gs://" + name + "/x", "https://" + o.host() + "/x"}
	case flow.Join:
		return p.join(out, f, o)
	case flow.Image:
		texts = []string{sharedRegistry + "/" + string(o) + "/app:1", sharedRegistry + "/" + string(o) + "/app"}
	case flow.Git:
		path := sharedGit + "/" + string(o) + "/apps"
		p.with(out, f, 0, "x", "./x", "/x")
		texts = []string{"https://" + path, "https://" + path + ".git", "ssh://git@" + path, "git@" + strings.Replace(path, "/", ":", 1), path}
	case flow.Store:
		if p.with(out, f, 0, string(o)+"/x", string(o)) != "" {
			texts = []string{"https://" + sharedVault, sharedVault}
		} else {
			texts = []string{"https://" + o.host(), o.host()}
		}
	case flow.Endpoint:
		p.with(out, f, 0, "6443")
		texts = []string{o.host(), "https://" + o.host()}
	case flow.Cluster:
		p.with(out, f, 0, Namespace)
		out.namespace = Namespace
		texts = []string{string(o) + "-cluster"}
	case flow.IP:
		texts = []string{o.ip(), o.host()}
	case flow.Alias:
		texts = p.aliases(f, o)
	case flow.Encoded:
		texts = []string{base64.StdEncoding.EncodeToString([]byte("host=" + o.host()))}
	case flow.Payload:
		return p.payload(out, f, o)
	case flow.Link:
		return p.link(out, f, o)
	default:
		texts = p.texts(f, o)
	}
	if spelt := p.spelt(f, o); spelt != "" {
		texts = append([]string{spelt}, texts...)
	}
	return out.end(p, at, texts)
}

// spelt is the text that a field is said to take, "" if nothing is said.
func (p *planter) spelt(f *flow.Field, o owner) string {
	return strings.NewReplacer("HOST", o.host(), "IP", o.ip(), "OWNER", string(o)).Replace(p.hints[f.Path])
}

// end puts the text of the row in its place.
func (out *plan) end(p *planter, at []flow.Step, texts []string) (*plan, error) {
	text, ok := p.pick(at, texts...)
	if !ok {
		return nil, errNoText
	}
	out.values = append(out.values, value{at, text})
	return out, nil
}

// texts are the spellings of free text, by the type of its address.
func (p *planter) texts(f *flow.Field, o owner) []string {
	h := o.host()
	var out []string
	switch f.Type {
	case address.CIDR:
		return append(out, o.ip(), o.ip()+"/32", h)
	case address.Registry:
		r := sharedRegistry + "/" + string(o)
		return append(out, r+"/app", "oci://"+r+"/app", "https://"+r+"/app", "docker://"+r+"/app:1", r+"/app:1")
	case address.Bucket:
		b := string(o) + "-gen"
		return append(out, "https://"+sharedS3+"/"+b, "s3://"+b, "gs://"+b, h)
	}
	out = append(out, h, h+":5432", "https://"+h, "https://"+h+"/x")
	for _, scheme := range []string{"http", "postgres", "postgresql", "mysql", "mongodb", "redis", "amqp", "nats", "kafka", "tcp", "udp", "grpc", "grpcs", "ldap", "ldaps",
		"oci", "s3", "ssh", "git", "docker", "nfs", "tls", "ws", "wss", "rsync", "smtp", "ftp", "docker-registry", "registry", "env", "clickhouse", "imageio"} {
		out = append(out, scheme+"://"+h+":5432/x", scheme+"://"+h+"/x", scheme+"://"+h)
	}
	return append(out, "git@"+h+":x/y.git", "user@"+h, "bak://x?url="+h, h+"/x", h+"/x:1", h+":5432/x", "*."+h, o.ip(), o.ip()+"/32")
}

// bucket adds what belongs to the name of a bucket.
func (p *planter) bucket(out *plan, f *flow.Field, o owner) []string {
	if p.with(out, f, 0, "https://"+sharedS3, sharedS3) == "" {
		p.with(out, f, 2, "aws", "AWS", "s3", "S3", "velero.io/aws", "gcp", "gcs", "GCS", "x")
	}
	return []string{string(o) + "-gen", string(o) + "-gen/x", "s3://" + string(o) + "-gen"}
}

// join plants one segment of an address, which is declared for its owner as it comes out.
func (p *planter) join(out *plan, f *flow.Field, o owner) (*plan, error) {
	if f.Type == flow.Namespace {
		return nil, errors.New("a namespace") // see namespaceRow
	}
	parts := []string{}
	if f.Const != "" {
		parts = append(parts, f.Const)
	}
	named := func(i int) bool { return p.companion(f, i) != nil }
	if named(0) {
		parts = append(parts, p.with(out, f, 0, "driver.gen.example", "gen", "aws", "x"))
	}
	at := slices.Concat(p.kind.Steps(), f.Steps())
	id := string(o) + "-7"
	text, ok := p.pick(at, cmp.Or(p.spelt(f, o), id), id, string(o)+"7", map[owner]string{production: "777788889999", staging: "111122223333", nobody: "444455556666"}[o],
		"arn:aws:iam::111122223333:role/"+id, "arn:aws:rds:eu-north-1:111122223333:snapshot:"+id,
		map[owner]string{production: "7f1c0000-1111-4222-8333-444455557777", staging: "7f1c0000-1111-4222-8333-444455551111", nobody: "7f1c0000-1111-4222-8333-444455554444"}[o],
		"projects/"+id+"/x", "https://"+o.host()+"/"+id, o.ip(), "/"+id)
	if !ok {
		return nil, errNoText
	}
	parts = append(parts, text)
	out.values = append(out.values, value{at, text})
	if named(1) {
		parts = append(parts, p.with(out, f, 1, "/export/"+id, "x"))
	}
	if slices.Contains(parts, "") {
		return nil, errNoText
	}
	out.declared = []skottv1.Address{{Type: skottv1.AddressType(f.Type), Value: address.Path(strings.ToLower(strings.Join(parts, "/")))}}
	return out, nil
}

// aliases are what the Guard knows by heart of a cluster: its name, what the Secret of Argo
// CD holds of its endpoint, and the name of that Secret.
func (p *planter) aliases(f *flow.Field, o owner) []string {
	if f.Const != "" {
		return []string{string(o) + "-cluster"}
	}
	endpoint := "https://" + o.host() + ":6443"
	out := []string{}
	for alias, key := range aliasesOf(o) {
		if strings.HasPrefix(alias, "cluster-") && "https://"+key == endpoint {
			out = append(out, alias)
		}
	}
	slices.Sort(out)
	encoded := base64.StdEncoding.EncodeToString([]byte(endpoint))
	if f.Path == "metadata.name" {
		return append(out, "other")
	}
	return []string{encoded}
}

// aliasesOf are the spellings that the Guard precomputes of what an owner has.
func aliasesOf(o owner) map[string]string {
	p := policy.New(policy.Snapshot{
		Environments: []skottv1.Environment{{Spec: skottv1.EnvironmentSpec{Stage: skottv1.StageProduction}}},
		Boundaries:   []skottv1.DataBoundary{{Spec: skottv1.DataBoundarySpec{BoundaryRule: skottv1.BoundaryRule{Action: skottv1.ActionDeny}}}},
		Locations:    []skottv1.DataLocation{{Spec: skottv1.DataLocationSpec{Addresses: o.owned()}}},
	})
	for _, g := range p.Guards(skottv1.GuardedCluster{}, nil, nil) {
		return g.Spec.Aliases
	}
	return nil
}
