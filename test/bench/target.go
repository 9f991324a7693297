// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/guarded"
	"github.com/skott-dev/skott/test/testenv"
)

// patience bounds every wait for a change to act.
const patience = 30 * time.Second

// target is one API server that is measured.
type target struct {
	label    string
	size     int
	server   *testenv.Server
	http     *http.Client
	operator client.Client
	bodies   map[string][]byte
}

// start starts a server without policies and one for each size of the address book.
func start(ctx context.Context, env *testenv.Env) ([]*target, error) {
	options := []testenv.Options{{Name: "none"}}
	for _, size := range load.Sizes {
		options = append(options, testenv.Options{Name: fmt.Sprintf("guarded-%d", size), Flags: []string{"--profiling=true"}})
	}
	servers, err := env.NewServers(ctx, options...)
	if err != nil {
		return nil, err
	}
	var targets []*target
	for i, server := range servers {
		t, err := newTarget(ctx, server)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			t.size = load.Sizes[i-1]
			t.label = fmt.Sprint(t.size)
			if err := t.guard(ctx); err != nil {
				return nil, err
			}
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// newTarget is a server that has the kinds of the objects.
func newTarget(ctx context.Context, server *testenv.Server) (*target, error) {
	crds, err := testenv.BackupStorageLocations(ctx)
	if err != nil {
		return nil, err
	}
	t := &target{label: "none", server: server, bodies: map[string][]byte{}}
	if t.http, err = rest.HTTPClientFor(server.Config()); err != nil {
		return nil, err
	}
	return t, server.Install(ctx, crds...)
}

// install installs the policies, which act once they are bound.
func (t *target) install(ctx context.Context) error {
	var err error
	if t.operator, err = guarded.Prepare(ctx, t.server); err != nil {
		return err
	}
	objects := []*unstructured.Unstructured{testenv.Namespace(policy.Namespace, nil)}
	for _, p := range policy.BuiltinRules().Policies(benchFamilies, true) {
		objects = append(objects, guarded.Plain(p))
	}
	return t.server.Apply(ctx, objects...)
}

// guard installs the policies and a Guard, and waits until every family acts.
func (t *target) guard(ctx context.Context) error {
	if err := t.install(ctx); err != nil {
		return err
	}
	guards := policy.New(load.Snapshot(t.size)).Guards(load.Staging, nil, benchFamilies)
	for _, g := range guards {
		encoded, err := json.Marshal(g)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "Guard %s of %d addresses: %d KB\n", g.Name, t.size, len(encoded)>>10)
	}
	if err := guarded.Publish(ctx, t.operator, guards...); err != nil {
		return err
	}
	if err := guarded.Bind(ctx, t.server, benchFamilies, skottv1.ActionDeny); err != nil {
		return err
	}
	return guarded.Prove(ctx, t.server, guards, patience)
}

// change adds an address to the Guard, and says how long the write took and how long it
// was, from its begin, until the address was refused.
func (t *target) change(ctx context.Context, i int) (write, denial time.Duration, err error) {
	bucket := fmt.Sprintf("added-%d", i)
	guards := policy.New(load.Snapshot(t.size, skottv1.Address{Type: "Bucket", Value: "https://s3.sto2.example/" + bucket})).Guards(load.Staging, nil, benchFamilies)
	object := load.Object{Name: bucket, Path: load.Objects()[0].Path, Content: load.Location("https://s3.sto2.example", bucket)}
	if _, err := t.admitted(ctx, object); err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := guarded.Publish(ctx, t.operator, guards...); err != nil {
		return 0, 0, err
	}
	write = time.Since(begin)
	err = poll(ctx, func() (bool, error) {
		status, _, err := t.create(ctx, object)
		return status == http.StatusForbidden, err
	})
	return write, time.Since(begin), err
}

// poll asks again and again, without a pause, until done.
func poll(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// admitted times one dry-run create, which must succeed.
func (t *target) admitted(ctx context.Context, object load.Object) (time.Duration, error) {
	begin := time.Now()
	status, body, err := t.create(ctx, object)
	took := time.Since(begin)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("%s on server %s: %d: %.500s", object.Name, t.label, status, body)
	}
	return took, err
}

func (t *target) create(ctx context.Context, object load.Object) (status int, body []byte, err error) {
	content, ok := t.bodies[object.Name]
	if !ok {
		if content, err = json.Marshal(object.Content); err != nil {
			return 0, nil, err
		}
		t.bodies[object.Name] = content
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.server.URL()+object.Path+"?dryRun=All", bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := t.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// profile writes a CPU profile of the server to a file.
func (t *target) profile(ctx context.Context, d time.Duration, file string) {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", t.server.URL(), int(d.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	response, err := t.http.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil {
		err = os.WriteFile(file, content, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// benchFamilies are the policies that the measured cluster holds.
var benchFamilies = policy.BuiltinRules().Families([]string{"velero.io"})
