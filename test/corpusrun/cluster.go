// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/flow"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/guarded"
	"github.com/skott-dev/skott/test/testenv"
)

// patience bounds every wait for a change to act.
const patience = time.Minute

// compiling bounds the wait for the policies of every family to act, which the API server
// compiles one after the other.
const compiling = 5 * time.Minute

// cluster is the API server, which plays one cluster of the platform after the other.
type cluster struct {
	server   *testenv.Server
	operator client.Client
	kinds    []*flow.Kind
	families []flow.Family
	// crds and builtin are the schemas that the server has, by "group/resource".
	crds, builtin map[string]map[string]*corpus.Schema

	mu    sync.Mutex
	lives map[string]*unstructured.Unstructured
}

func key(group, resource string) string { return group + "/" + resource }

// start starts an API server that serves every kind of a table: of those whose CRD is
// published in a Go module that, of the others one without a schema.
func start(ctx context.Context, env *testenv.Env, table *flow.Table, only string) (*cluster, error) {
	server, err := env.NewServer(ctx, testenv.Options{Name: "guarded",
		// Without it the API server drops the namespace of a data source, and nothing crosses.
		Flags: []string{"--feature-gates=CrossNamespaceVolumeDataSource=true"}})
	if err != nil {
		return nil, err
	}
	c := &cluster{server: server, crds: map[string]map[string]*corpus.Schema{}, lives: map[string]*unstructured.Unstructured{}}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return nil, err
	}
	for _, k := range table.Kinds() {
		if wanted.MatchString(k.Kind) || wanted.MatchString(k.Group) && only != "" {
			c.kinds = append(c.kinds, k)
		}
	}
	if err := c.readBuiltin(ctx); err != nil {
		return nil, err
	}
	crds, err := c.install(ctx)
	if err != nil {
		return nil, err
	}
	if err := server.InstallParallel(ctx, crds...); err != nil {
		return nil, err
	}
	return c, c.guard(ctx)
}

// install chooses the CRDs that the kinds need.
func (c *cluster) install(ctx context.Context) ([]*unstructured.Unstructured, error) {
	catalogue, err := testenv.CatalogueCRDs()
	if err != nil {
		return nil, err
	}
	published, err := testenv.CRDs(ctx, testenv.Modules()...)
	if err != nil {
		return nil, err
	}
	byName := map[string]*unstructured.Unstructured{}
	for _, u := range slices.Concat(published, catalogue) {
		byName[u.GetName()] = u
	}
	var out []*unstructured.Unstructured
	var groups []string
	for _, k := range c.kinds {
		groups = append(groups, k.Group)
		if c.builtin[key(k.Group, k.Resource)] != nil {
			continue
		}
		u := byName[k.Resource+"."+k.Group]
		if u == nil {
			u = corpus.Schemaless(k)
		} else {
			c.crds[key(k.Group, k.Resource)] = corpus.Schemas(u)
		}
		out = append(out, u)
	}
	c.families = policy.BuiltinRules().Families(groups)
	return out, nil
}

// schemas are those of a resource.
func (c *cluster) schemas(group, resource string) map[string]*corpus.Schema {
	if schemas := c.crds[key(group, resource)]; schemas != nil {
		return schemas
	}
	return c.builtin[key(group, resource)]
}

// readBuiltin reads the schemas of the kinds that the server has itself.
func (c *cluster) readBuiltin(ctx context.Context) error {
	c.builtin = map[string]map[string]*corpus.Schema{}
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := c.get(ctx, "/openapi/v3", &index); err != nil {
		return err
	}
	resources := map[[2]string]string{} // by group and kind
	for _, k := range c.kinds {
		resources[[2]string{k.Group, k.Kind}] = k.Resource
	}
	for path, at := range index.Paths {
		if !strings.HasPrefix(path, "api/") && !strings.HasPrefix(path, "apis/") {
			continue
		}
		var document struct {
			Components struct{ Schemas map[string]any }
		}
		if err := c.get(ctx, at.ServerRelativeURL, &document); err != nil {
			return err
		}
		for name, definition := range document.Components.Schemas {
			group, version, kind, ok := identity(definition)
			if resource := resources[[2]string{group, kind}]; ok && resource != "" && strings.HasSuffix(path, version) {
				if c.builtin[key(group, resource)] == nil {
					c.builtin[key(group, resource)] = map[string]*corpus.Schema{}
				}
				c.builtin[key(group, resource)][version] = corpus.Definition(document.Components.Schemas, name)
			}
		}
	}
	return nil
}

// identity is the kind that a definition describes, if it describes one alone.
func identity(definition any) (group, version, kind string, ok bool) {
	d, _ := definition.(map[string]any)
	kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
	if len(kinds) != 1 {
		return "", "", "", false
	}
	k, _ := kinds[0].(map[string]any)
	group, _ = k["group"].(string)
	version, _ = k["version"].(string)
	kind, ok = k["kind"].(string)
	return group, version, kind, ok
}

func (c *cluster) get(ctx context.Context, path string, into any) error {
	httpClient, err := rest.HTTPClientFor(c.server.Config())
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.URL()+path, nil)
	if err != nil {
		return err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // only read
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %.200s", path, response.Status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// guard installs the policies and the namespaces.
func (c *cluster) guard(ctx context.Context) error {
	var err error
	if c.operator, err = guarded.Prepare(ctx, c.server); err != nil {
		return err
	}
	for name, environment := range map[string]string{corpus.Namespace: "", "preview": "staging", policy.Namespace: "",
		// Where the namespace of an object is the name of a cluster.
		"prod-cluster": "", "stage-cluster": "", "other-cluster": ""} {
		if err := c.server.Apply(ctx, guarded.Namespace(name, environment)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, p := range policy.BuiltinRules().Policies(c.families, true) {
		group.Go(func() error { return c.applyPolicy(ctx, guarded.Plain(p)) })
	}
	return group.Wait()
}

// slow is how long the API server may take to accept a policy before that is told.
const slow = 10 * time.Second

// applyPolicy applies a policy. An API server compiles it before it answers, and on a busy
// machine gives up.
func (c *cluster) applyPolicy(ctx context.Context, p *unstructured.Unstructured) error {
	begin := time.Now()
	for {
		err := c.server.Apply(ctx, p)
		took := time.Since(begin)
		if err == nil && took > slow {
			fmt.Fprintf(os.Stderr, "policy %s: accepted after %s\n", p.GetName(), took.Round(time.Second))
		}
		if !apierrors.IsTimeout(err) || took > 3*patience {
			return err
		}
	}
}

// publish makes the server the cluster of some Guards. The bindings come after the first
// ones: without a Guard they refuse everything.
func (c *cluster) publish(ctx context.Context, guards []*skottv1.Guard) error {
	if err := guarded.Publish(ctx, c.operator, guards...); err != nil {
		return err
	}
	return guarded.Bind(ctx, c.server, c.families, skottv1.ActionDeny)
}

// live is the stored object that a case changes, made when first asked for.
func (c *cluster) live(ctx context.Context, g *corpus.Generated) (*unstructured.Unstructured, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(g.OldObject)}
	id := fmt.Sprintf("%s %s/%s", u.GroupVersionKind(), u.GetNamespace(), u.GetName())
	if c.lives[id] == nil {
		if err := c.server.Client().Create(ctx, u); err != nil {
			return nil, err
		}
		c.lives[id] = u
	}
	return c.lives[id], nil
}
