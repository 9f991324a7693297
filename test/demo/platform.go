// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skott-dev/skott/test/testenv"
)

// cluster is one API server of the demo, by the name that the story uses.
type cluster struct {
	name string
	// management is the Management Cluster that a Workload Cluster is registered with, in
	// namespace.
	management, namespace string
}

// The reference topology, in small. Management Clusters have the names of config/samples.
var (
	managements = []string{"mc-sto2-prod", "mc-sto2-staging", "mc-osl2-prod"}
	workloads   = []cluster{
		{name: "vardhem-prod-9fq4d", management: "mc-sto2-prod", namespace: "cust-vardhem"},
		{name: "ske-stage-3hw8n", management: "mc-sto2-staging", namespace: "safespring-internal"},
		{name: "acme-prod-x7k2p", management: "mc-osl2-prod", namespace: "cust-acme"},
	}
)

type platform struct {
	env     *testenv.Env
	servers map[string]*testenv.Server
}

// startPlatform starts every control plane, Cluster API and the operator, and applies
// config/samples with kubectl. On an error the platform may be partly started.
func startPlatform(ctx context.Context, dir string, options ...testenv.Option) (*platform, error) {
	began := time.Now()
	env, err := testenv.Start(ctx, dir, options...)
	if err != nil {
		return nil, err
	}
	p := &platform{env: env, servers: map[string]*testenv.Server{}}
	wanted := []testenv.Options{{Name: "ops"}}
	for _, name := range managements {
		wanted = append(wanted, testenv.Options{Name: name})
	}
	for _, w := range workloads {
		wanted = append(wanted, testenv.Options{Name: w.name})
	}
	servers, err := env.NewServers(ctx, wanted...)
	if err != nil {
		return p, err
	}
	for _, s := range servers {
		p.servers[s.Name()] = s
	}
	fmt.Printf("%d API servers on one etcd after %s\n", len(servers), since(began))
	if err := p.installKinds(ctx); err != nil {
		return p, err
	}
	if err := p.startClusterAPI(ctx); err != nil {
		return p, err
	}
	fmt.Printf("Cluster API's core manager in %d Management Clusters after %s\n", len(managements), since(began))
	if err := p.startOperator(ctx); err != nil {
		return p, err
	}
	fmt.Printf("operator started and config/samples applied after %s\n", since(began))
	if err := p.waitForGuard(ctx); err != nil {
		return p, err
	}
	fmt.Printf("every guard proved after %s\n", since(began))
	return p, nil
}

func since(t time.Time) string { return time.Since(t).Round(100 * time.Millisecond).String() }

// installKinds puts the CRDs of the products that move data where they would run.
func (p *platform) installKinds(ctx context.Context) error {
	movers, err := testenv.CRDs(ctx, testenv.Velero, testenv.Snapshots, testenv.CloudNativePG, testenv.BarmanCloud, testenv.ExternalSecrets)
	if err != nil {
		return err
	}
	argoCD, err := testenv.CRDs(ctx, testenv.ArgoCD)
	if err != nil {
		return err
	}
	var group errgroup.Group
	for _, w := range workloads {
		group.Go(func() error { return p.servers[w.name].Install(ctx, movers...) })
	}
	group.Go(func() error { return p.servers["ops"].Install(ctx, argoCD...) })
	return group.Wait()
}

func (p *platform) startClusterAPI(ctx context.Context) error {
	var group errgroup.Group
	for _, name := range managements {
		group.Go(func() error { return p.servers[name].StartClusterAPI(ctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, w := range workloads {
		if err := p.servers[w.management].RegisterWorkload(ctx, w.namespace, w.name, p.servers[w.name]); err != nil {
			return err
		}
	}
	return nil
}

// startOperator installs the operator, hands it the kubeconfigs of the Management Clusters,
// and applies the samples, as a platform team would.
func (p *platform) startOperator(ctx context.Context) error {
	hub := p.servers["ops"]
	kubeconfig, err := p.env.InstallOperator(ctx, hub)
	if err != nil {
		return err
	}
	for _, name := range managements {
		if _, err := p.env.Kubectl(ctx, hub, "create", "secret", "generic", name, "--namespace=skott-system",
			"--from-file=value="+p.servers[name].KubeconfigFile()); err != nil {
			return err
		}
	}
	if _, err := p.env.StartOperator(ctx, "skott", kubeconfig, "--canary-interval=5s", "--boundary-grace=2s"); err != nil {
		return err
	}
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	_, err = p.env.Kubectl(ctx, hub, "apply", "-k", filepath.Join(root, "config/samples"))
	return err
}

func (p *platform) waitForGuard(ctx context.Context) error {
	for _, wait := range [][]string{
		{"--for=condition=Ready", "environment/production", "environment/staging"},
		{"--for=condition=Guarded", "managementcluster", "--all"},
		{"--for=condition=Enforced", "databoundary/customer-data"},
	} {
		if output, err := p.env.Kubectl(ctx, p.servers["ops"], append([]string{"wait", "--timeout=120s"}, wait...)...); err != nil {
			state, _ := p.env.Kubectl(ctx, p.servers["ops"], "get", "environments,managementclusters,databoundaries", "-o", "yaml")
			return fmt.Errorf("%w\n%s\n%s", err, output, state)
		}
	}
	return nil
}

// report prints what the API servers say of the platform.
func (p *platform) report(ctx context.Context) error {
	for _, show := range []struct {
		title, cluster string
		args           []string
	}{
		{"Environments, with their conditions", "ops", []string{"get", "environments", "-o", "custom-columns=NAME:.metadata.name,STAGE:.spec.stage,CONDITIONS:.status.conditions[*].type,STATUS:.status.conditions[*].status"}},
		{"ManagementClusters, with their conditions", "ops", []string{"get", "managementclusters", "-o", "custom-columns=NAME:.metadata.name,ENVIRONMENT:.spec.environmentRef.name,DATACENTER:.spec.datacenter,CONDITIONS:.status.conditions[*].type,STATUS:.status.conditions[*].status"}},
		{"DataBoundaries", "ops", []string{"get", "databoundaries"}},
		{"DataLocations", "ops", []string{"get", "datalocations"}},
		{"Clusters of mc-sto2-prod, with their labels", "mc-sto2-prod", clusterLabels},
		{"Clusters of mc-sto2-staging, with their labels", "mc-sto2-staging", clusterLabels},
		{"Clusters of mc-osl2-prod, with their labels", "mc-osl2-prod", clusterLabels},
		{"The guard of a staging cluster", "ske-stage-3hw8n", []string{"get", "guard"}},
		{"The guard of a production cluster", "vardhem-prod-9fq4d", []string{"get", "guard"}},
	} {
		output, err := p.env.Kubectl(ctx, p.servers[show.cluster], show.args...)
		if err != nil {
			return err
		}
		fmt.Printf("\n=== %s\n%s", show.title, output)
	}
	return nil
}

var clusterLabels = []string{"get", "clusters.cluster.x-k8s.io", "--all-namespaces", "-L",
	"skott.dev/environment,skott.dev/stage,skott.dev/datacenter,skott.dev/management-cluster,skott.dev/guarded"}

func (p *platform) printKubeconfigs() {
	fmt.Println("\n=== Kubeconfigs of the running clusters (make demo-down ends them)")
	for _, name := range append(append([]string{"ops"}, managements...), workloads[0].name, workloads[1].name, workloads[2].name) {
		fmt.Printf("%-20s export KUBECONFIG=%s\n", name, p.servers[name].KubeconfigFile())
	}
}

// indent makes an answer readable below its command.
func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}
