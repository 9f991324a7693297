// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/address"
)

func TestParsePath(t *testing.T) {
	for path, want := range map[string][]Step{
		"":                             nil,
		"spec":                         {{Name: "spec"}},
		"spec.a.b":                     {{Name: "spec"}, {Name: "a"}, {Name: "b"}},
		"spec.list[name].value":        {{Name: "spec"}, {Name: "list", List: true, Key: "name"}, {Name: "value"}},
		"a[*].b[*]":                    {{Name: "a", List: true, Key: "*"}, {Name: "b", List: true, Key: "*"}},
		"data{*}":                      {{Name: "data", Map: true}},
		"annotations{example.com/x}":   {{Name: "annotations"}, {Name: "example.com/x"}},
		"annotations{example.com/x}.y": {{Name: "annotations"}, {Name: "example.com/x"}, {Name: "y"}},
	} {
		got, err := parsePath(path)
		if err != nil {
			t.Errorf("parsePath(%q): %v", path, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("parsePath(%q):\n%s", path, diff)
		}
	}
}

// An error says where in the path it is.
func TestParsePathErrors(t *testing.T) {
	for path, want := range map[string]string{
		".a":      `path ".a": empty step at position 0`,
		"a..b":    `path "a..b": empty step at position 2`,
		"a.[x]":   `path "a.[x]": empty step at position 2`,
		"a[name":  `path "a[name": no "]" after position 1`,
		"a.b{x":   `path "a.b{x": no "}" after position 3`,
		"a.":      `path "a.": ends with a dot at position 1`,
		"a[].b":   `path "a[].b": nothing in the brackets at position 1`,
		"a[x]b":   `path "a[x]b": expected "." at position 4`,
		"a{x}{y}": `path "a{x}{y}": expected "." at position 4`,
	} {
		if _, err := parsePath(path); err == nil || err.Error() != want {
			t.Errorf("parsePath(%q): %v, want %s", path, err, want)
		}
	}
}

// The table is well formed: what package policy compiles has no other shapes.
func TestTable(t *testing.T) {
	resources, rows := map[string]bool{}, map[string]string{}
	for _, k := range Builtin().Kinds() {
		resource := k.Group + "/" + k.Resource
		if resources[resource] || k.Kind == "" || k.Family == "" || len(k.Fields) == 0 && k.Hidden == "" {
			t.Errorf("%s: is there twice, or says too little", resource)
		}
		resources[resource] = true
		if Builtin().Lookup(k.Group, k.Resource) != k {
			t.Errorf("Lookup does not find %s", resource)
		}
		paths := ""
		for i := range k.Fields {
			f := &k.Fields[i]
			paths += f.Path + "\n"
			checkField(t, resource, f)
		}
		name := string(k.Family) + "/" + k.Rows
		if before, ok := rows[name]; ok && before != paths {
			t.Errorf("%s: rows %q of the family are not the same fields everywhere", resource, k.Rows)
		}
		rows[name] = paths
		for _, s := range k.Steps() {
			if s.List || s.Map {
				t.Errorf("%s: root %q walks a list or a map", resource, k.Root)
			}
		}
		if !k.Moves("") || k.Moves("exec") {
			t.Errorf("%s: moves by what is no subresource of it, or not at all", resource)
		}
	}
	if Builtin().Lookup("apps", "pods") != nil || Builtin().Lookup("", "deployments") != nil {
		t.Error("Lookup finds a resource in another group")
	}
}

func checkField(t *testing.T, resource string, f *Field) {
	t.Helper()
	if len(f.With) > len(companions[f.Form]) {
		t.Errorf("%s %s: form %s has %d companions", resource, f.Path, f.Form, len(f.With))
	}
	if f.Direction != From && f.Direction != To && f.Direction != Names || f.Type == "" {
		t.Errorf("%s %s: has no direction or no type", resource, f.Path)
	}
	if f.Type != Namespace && !slices.Contains(addressTypes, f.Type) {
		t.Errorf("%s %s: is of no type of address: %q", resource, f.Path, f.Type)
	}
}

var addressTypes = []address.Type{
	address.Bucket, address.Host, address.CIDR, address.Volume, address.Snapshot, address.ClusterEndpoint,
	address.Registry, address.Git, address.SecretPath, address.Project, address.Credential,
}

// said is what Walk finds, as "path: key" or "path: text".
func said(t *testing.T, group, resource, object string, create bool) []string {
	t.Helper()
	var content map[string]any
	if err := json.Unmarshal([]byte(object), &content); err != nil {
		t.Fatal(err)
	}
	var out []string
	Walk(Builtin().Lookup(group, resource), content, create, func(r *Reference) {
		out = append(out, r.Path()+": "+r.Key+r.Text)
	})
	return out
}

func TestWalk(t *testing.T) {
	for name, c := range map[string]struct {
		reason, group, resource, object string
		update                          bool
		want                            []string
	}{
		"Bucket": {
			reason: "a bucket is put together from endpoint, name and prefix", group: "velero.io", resource: "backupstoragelocations",
			object: `{"spec":{"provider":"aws","objectStorage":{"bucket":"B","prefix":"p"},"config":{"s3Url":"https://s3.example:443","region":"x"}}}`,
			want:   []string{"spec.objectStorage.bucket: s3.example/b/p", `spec.config["region"]: x`, `spec.config["s3Url"]: https://s3.example:443`},
		},
		"BucketOfProvider": {
			reason: "without an endpoint the provider says where", group: "velero.io", resource: "backupstoragelocations",
			object: `{"spec":{"provider":"velero.io/GCP","objectStorage":{"bucket":"b"}}}`, want: []string{"spec.objectStorage.bucket: gcs/b"},
		},
		"Elements": {
			reason: "elements are told by their names, below the root", group: "apps", resource: "deployments",
			object: `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"r.example/a:v1","env":[{"name":"X","value":"db.example"},{"name":"Y"}],"args":["a","b"]}]}}}}`,
			want: []string{
				`spec.template.spec.containers["app"].image: r.example/a`, `spec.template.spec.containers["app"].env["X"].value: db.example`,
				`spec.template.spec.containers["app"].args[*]: a`, `spec.template.spec.containers["app"].args[*]: b`,
			},
		},
		"Companion": {
			reason: "a companion is that of the same element", group: "", resource: "pods",
			object: `{"spec":{"volumes":[{"name":"a","nfs":{"server":"n.example","path":"/x"}},{"name":"b","nfs":{"path":"/y"}},{"name":"c","nfs":{"server":"n.example"}}]}}`,
			want: []string{
				`spec.volumes["a"].nfs.server: nfs/n.example/x`, `spec.volumes["a"].nfs.server: n.example`, `spec.volumes["c"].nfs.server: n.example`,
			},
		},
		"Number": {
			reason: "a port is a number", group: "cluster.x-k8s.io", resource: "clusters", update: true,
			object: `{"metadata":{"name":"c","namespace":"ns"},"spec":{"controlPlaneEndpoint":{"host":"api.example","port":6443}}}`,
			want:   []string{"spec.controlPlaneEndpoint.host: api.example:6443"},
		},
		"CreateOnly": {
			reason: "a new Cluster is judged by its name", group: "cluster.x-k8s.io", resource: "clusters",
			object: `{"metadata":{"name":"c","namespace":"ns"}}`, want: []string{"metadata.name: cluster/ns/c"},
		},
		"Fallback": {
			reason: "the name of the entry stands for the name of the server", group: "postgresql.cnpg.io", resource: "clusters",
			object: `{"spec":{"externalClusters":[{"name":"old","barmanObjectStore":{"destinationPath":"s3://b/x","endpointURL":"https://s3.example"}}]}}`,
			want: []string{
				`spec.externalClusters["old"].barmanObjectStore.destinationPath: s3.example/b/x/old`,
				`spec.externalClusters["old"].barmanObjectStore.endpointURL: https://s3.example`,
			},
		},
		"Lines": {
			reason: "a name breaks no line of a message", group: "", resource: "configmaps",
			object: `{"data":{"a\nb\tc":"x"}}`, want: []string{`data["a b c"]: x`},
		},
		"WrongTypes": {
			reason: "wrong types name nothing", group: "", resource: "pods",
			object: `{"spec":{"containers":[7,null,"x",{"name":7,"image":["x"],"env":{"name":"x"},"args":"x"}],"volumes":"x"}}`,
		},
		"Null": {reason: "null names nothing", group: "", resource: "services", object: `{"spec":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, said(t, c.group, c.resource, c.object, !c.update)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// What stands beside a text below the value of a map is that of the same value.
func TestWalkBelowMap(t *testing.T) {
	k, err := newKind(&skottv1.MovementKindSpec{Kind: "Backup", Resource: "backups", Fields: []skottv1.MovementField{
		{Path: "storages{*}.s3.bucket", Form: Bucket, With: map[string]string{"endpoint": "storages{*}.s3.url"}},
		{Path: "storages{*}.hosts[*]"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{"storages": map[string]any{
		"a": map[string]any{"s3": map[string]any{"bucket": "x", "url": "https://one.example"}},
		"b": map[string]any{"s3": map[string]any{"bucket": "y"}, "hosts": []any{"h.example"}},
		"c": "s3", "d": nil,
	}}
	var got []string
	Walk(k, object, true, func(r *Reference) { got = append(got, r.Path()+": "+r.Key+r.Text) })
	want := []string{`storages["a"].s3.bucket: one.example/x`, `storages["b"].s3.bucket: aws/y`, `storages["b"].hosts[*]: h.example`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range k.Fields {
		if !k.Fields[i].InPolicy() {
			t.Errorf("%s: no policy reads it", k.Fields[i].Path)
		}
	}
}

// TestOwnName: the name of an element stands where only the element knows it.
func TestOwnName(t *testing.T) {
	field := func(path, endpoint string) skottv1.MovementKindSpec {
		f := skottv1.MovementField{Path: path, Form: Bucket, Direction: From}
		if endpoint != "" {
			f.With = map[string]string{"endpoint": endpoint}
		}
		return skottv1.MovementKindSpec{Group: "a.example", Kind: "A", Resource: "as", Versions: []string{"v1"}, Fields: []skottv1.MovementField{f}}
	}
	pods := skottv1.MovementKindSpec{Group: "a.example", Kind: "A", Resource: "as", Versions: []string{"v1"}, PodSpecs: []string{"spec.x{[name]}"}}
	for name, c := range map[string]struct {
		spec skottv1.MovementKindSpec
		want string
	}{
		"in a companion elsewhere":         {field("spec.repos[name].bucket", "spec.global{[name]-path}"), ""},
		"in a companion without a list":    {field("spec.bucket", "spec.global{[name]-path}"), ""},
		"in the path itself":               {field("spec.global{[name]-path}", ""), "path: a name in brackets inside braces is for with alone"},
		"in a companion of the element":    {field("spec.repos[name].bucket", "spec.repos[name].x{[name]}"), "with.endpoint: a name in brackets is for a map outside of the element"},
		"in the path of the spec of a pod": {pods, "podSpecs[0]: a name in brackets inside braces is for with alone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := Builtin().Merge([]skottv1.MovementKindSpec{c.spec})
			got := ""
			if errs[0] != nil {
				got = errs[0].Error()
			}
			if !strings.HasSuffix(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzWalk holds that no object, of whatever shape, makes the reading fail, and that what is
// read fits one line.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"spec":[]}`, `{"spec":{"containers":{"a":1}},"data":["x"],"metadata":{"name":[1]}}`,
		`{"metadata":{"name":"a\tb","namespace":"x"},"data":{"server":"aGVsbG8=","x":"s3://b/c"},"spec":{"externalName":"db.example","externalIPs":["192.0.2.1",7,null]}}`,
		`{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"r.example/x@sha256:1","env":[{"name":"N","value":"db.example"}]}]}}}}`,
		`{"spec":{"provider":"gcp","objectStorage":{"bucket":"b","prefix":1e300},"config":{"s3Url":"https://s3.example","x":null}}}`,
		`{"spec":{"externalClusters":[{"name":"a","barmanObjectStore":{"destinationPath":"s3://b","serverName":3}}],"sources":[{"repoURL":"git@g.example:a/b"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var object map[string]any
		if json.Unmarshal(content, &object) != nil {
			return
		}
		for _, k := range Builtin().Kinds() {
			Walk(k, object, true, func(r *Reference) {
				if path := r.Path(); path == "" || strings.ContainsAny(path, "\t\n") {
					t.Fatalf("%s: path %q", k.Resource, path)
				}
				if r.Key == "" && r.Text == "" && r.Node == nil || r.Key != "" && r.Text != "" || strings.ContainsAny(r.Key, "\t\n") {
					t.Fatalf("%s: %s names %q, %q", k.Resource, r.Path(), r.Key, r.Text)
				}
				if r.Key != "" && r.Key != address.Path(r.Key) {
					t.Fatalf("%s: %s is no clean path: %q", k.Resource, r.Path(), r.Key)
				}
			})
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	var object map[string]any
	if err := json.Unmarshal([]byte(`{"spec":{"provider":"aws","objectStorage":{"bucket":"b","prefix":"p"},"config":{"s3Url":"https://s3.example","region":"x"}}}`), &object); err != nil {
		b.Fatal(err)
	}
	k := Builtin().Lookup("velero.io", "backupstoragelocations")
	b.ReportAllocs()
	for b.Loop() {
		Walk(k, object, true, func(*Reference) {})
	}
}
