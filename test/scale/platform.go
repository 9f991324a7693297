// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/scale/simulator"
	"github.com/skott-dev/skott/test/testenv"
)

// perLocation is how many addresses a DataLocation takes.
const perLocation = 250

// platform is a hub with many clusters.
type platform struct {
	settings
	env        *testenv.Env
	ops        *testenv.Server
	hub        client.Client
	sim        *simulator.Simulator
	kubeconfig []byte

	managements []*simulator.Cluster
	workloads   []*workload
	reals       []*testenv.Server
	close       func()
}

// workload is a simulated Workload Cluster, and where it is registered.
type workload struct {
	*simulator.Cluster
	management *simulator.Cluster
	production bool
}

// start starts everything but the operator.
func start(ctx context.Context, s settings) (*platform, error) {
	dir, err := os.MkdirTemp("", "skott-scale-")
	if err != nil {
		return nil, err
	}
	p := &platform{settings: s}
	if p.env, err = testenv.Start(ctx, dir); err != nil {
		return nil, err
	}
	p.close = func() {
		_ = p.env.Stop()
		if p.sim != nil {
			p.sim.Close()
		}
		_ = os.RemoveAll(dir)
	}
	options := []testenv.Options{{Name: "ops"}}
	for i := range s.real {
		options = append(options, testenv.Options{Name: fmt.Sprintf("real-%d", i)})
	}
	servers, err := p.env.NewServers(ctx, options...)
	if err != nil {
		return p, err
	}
	p.ops, p.reals = servers[0], servers[1:]
	scheme := runtime.NewScheme()
	if err := skottv1.AddToScheme(scheme); err != nil {
		return p, err
	}
	if p.hub, err = client.New(p.ops.Config(), client.Options{Scheme: scheme}); err != nil {
		return p, err
	}
	if p.kubeconfig, err = p.env.InstallOperator(ctx, p.ops); err != nil {
		return p, err
	}
	if p.sim, err = simulator.New(); err != nil {
		return p, err
	}
	if err := p.declare(ctx); err != nil {
		return p, err
	}
	return p, p.register(ctx)
}

// declare writes the Environments, the boundary and the addresses.
func (p *platform) declare(ctx context.Context) error {
	snapshot := load.Snapshot(p.addresses)
	for i := range snapshot.Environments {
		if err := p.hub.Create(ctx, &snapshot.Environments[i]); err != nil {
			return err
		}
	}
	for i := range snapshot.Boundaries {
		if err := p.hub.Create(ctx, &snapshot.Boundaries[i]); err != nil {
			return err
		}
	}
	all := snapshot.Locations[0].Spec.Addresses
	for i := 0; i < len(all); i += perLocation {
		if err := p.hub.Create(ctx, location(fmt.Sprintf("book-%d", i/perLocation), all[i:min(i+perLocation, len(all))]...)); err != nil {
			return err
		}
	}
	return nil
}

func location(name string, addresses ...skottv1.Address) *skottv1.DataLocation {
	return &skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: skottv1.DataLocationSpec{EnvironmentRef: skottv1.EnvironmentReference{Name: "production"}, Addresses: addresses}}
}

// register makes Management Clusters with the Clusters under them, and tells the hub.
func (p *platform) register(ctx context.Context) error {
	for i := range p.settings.managements {
		name := fmt.Sprintf("mc-%d", i)
		mc, err := p.sim.Cluster(name, true)
		if err != nil {
			return err
		}
		mc.Put(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"platform"}}`)
		p.managements = append(p.managements, mc)
	}
	for i := range p.clusters {
		if _, err := p.workload(i); err != nil {
			return err
		}
	}
	for i, server := range p.reals {
		registerCluster(p.managements[0], server.Name(), fmt.Sprintf("real-%d.example", i), server.Config())
	}
	for i, mc := range p.managements {
		if err := p.manage(ctx, i, mc); err != nil {
			return err
		}
	}
	return nil
}

// workload adds the i-th Workload Cluster. Those under even Management Clusters are staging.
func (p *platform) workload(i int) (*workload, error) {
	name := fmt.Sprintf("wc-%d", i)
	c, err := p.sim.Cluster(name, false)
	if err != nil {
		return nil, err
	}
	at := i % len(p.managements)
	w := &workload{Cluster: c, management: p.managements[at], production: at%2 == 1}
	p.workloads = append(p.workloads, w)
	registerCluster(w.management, name, name+".example", c.Config())
	return w, nil
}

// registerCluster writes what Cluster API would have in a Management Cluster.
func registerCluster(mc *simulator.Cluster, name, host string, config *rest.Config) {
	mc.Put(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":"platform","labels":{"cluster.x-k8s.io/cluster-name":%q}},"type":"cluster.x-k8s.io/secret","data":{"value":%q}}`,
		name+"-kubeconfig", name, base64.StdEncoding.EncodeToString(testenv.KubeconfigFor(name, config))))
	cluster, _ := json.Marshal(map[string]any{ // maps of texts encode
		"spec": map[string]any{"controlPlaneEndpoint": map[string]any{"host": host, "port": 6443}},
		"status": map[string]any{"phase": "Provisioned", "initialization": map[string]any{"infrastructureProvisioned": true, "controlPlaneInitialized": true},
			"conditions": []any{map[string]any{"type": "ControlPlaneInitialized", "status": "True", "reason": "Initialized", "lastTransitionTime": "2026-01-01T00:00:00Z"}}},
	})
	mc.Put(fmt.Sprintf(`{"apiVersion":"cluster.x-k8s.io/v1beta2","kind":"Cluster","metadata":{"name":%q,"namespace":"platform"},%s`, name, cluster[1:]))
}

// manage tells the hub of a Management Cluster.
func (p *platform) manage(ctx context.Context, i int, mc *simulator.Cluster) error {
	environment, shard := map[int]string{0: "staging", 1: "production"}[i%2], map[bool]string{true: "a", false: "b"}[i/2%2 == 0]
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: skott-system}\ndata: {value: %s}\n",
		mc.Name, base64.StdEncoding.EncodeToString(testenv.KubeconfigFor(mc.Name, mc.Config())))
	if err := p.ops.ApplyYAML(ctx, []byte(secret)); err != nil {
		return err
	}
	return p.hub.Create(ctx, &skottv1.ManagementCluster{
		ObjectMeta: metav1.ObjectMeta{Name: mc.Name, Labels: map[string]string{"shard": shard}},
		Spec: skottv1.ManagementClusterSpec{
			EnvironmentRef: &skottv1.EnvironmentReference{Name: environment}, Datacenter: "sto2", Role: "Management",
			Connection: skottv1.Connection{KubeconfigSecretRef: &skottv1.KubeconfigSecretReference{SecretReference: skottv1.SecretReference{Namespace: "skott-system", Name: mc.Name}}},
		},
	})
}

// operator starts the operator.
func (p *platform) operator(ctx context.Context, name string, flags ...string) (*testenv.Operator, error) {
	return p.env.StartOperator(ctx, name, p.kubeconfig, append(flags, strings.Fields(p.flags)...)...)
}
