// SPDX-License-Identifier: Apache-2.0

// Package suite is how suites on real control planes begin, and what several of them ask. It fails the running story
// where testenv returns an error.
package suite

import (
	"context"
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/test/testenv"
)

// Start starts an environment, in a folder of its own, with servers until the suite ends.
func Start(ctx context.Context, name string, options ...testenv.Options) (*testenv.Env, []*testenv.Server) {
	GinkgoHelper()
	ctrllog.SetLogger(GinkgoLogr) // warnings of API servers belong to the story that caused them
	dir, err := os.MkdirTemp("", "skott-"+name+"-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	env, err := testenv.Start(ctx, dir)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return env.Stop() })
	servers, err := env.NewServers(ctx, options...)
	Expect(err).NotTo(HaveOccurred())
	return env, servers
}

// Named are the options of servers that are told apart by their names alone.
func Named(names ...string) (options []testenv.Options) {
	for _, name := range names {
		options = append(options, testenv.Options{Name: name})
	}
	return options
}

// Install makes a server the Ops Cluster. It returns a client of its administrator and a kubeconfig of the operator.
func Install(ctx context.Context, env *testenv.Env, ops *testenv.Server) (client.Client, []byte) {
	GinkgoHelper()
	hub, err := ops.HubClient(0)
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := env.InstallOperator(ctx, ops)
	Expect(err).NotTo(HaveOccurred())
	return hub, kubeconfig
}

// Conditioned is an object of Skott's kinds.
type Conditioned interface {
	client.Object
	GetConditions() []metav1.Condition
}

// Says is STATUS/REASON: MESSAGE of a condition, or "none".
func Says(o Conditioned, kind string) string {
	c := meta.FindStatusCondition(o.GetConditions(), kind)
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s/%s: %s", c.Status, c.Reason, c.Message)
}

// Asks reads an object of a hub anew and is what it Says.
func Asks(ctx context.Context, hub client.Client, o Conditioned, kind string) string {
	if err := hub.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err.Error()
	}
	return Says(o, kind)
}

// Environment of a name, to be read.
func Environment(name string) *skottv1.Environment {
	return &skottv1.Environment{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// ManagementCluster of a name, to be read.
func ManagementCluster(name string) *skottv1.ManagementCluster {
	return &skottv1.ManagementCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// DataBoundary of a name, to be read.
func DataBoundary(name string) *skottv1.DataBoundary {
	return &skottv1.DataBoundary{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// DataLocation of a name, to be read.
func DataLocation(name string) *skottv1.DataLocation {
	return &skottv1.DataLocation{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// Explain adds to a story that failed what a user would look at first: the conditions in the Ops Cluster, and how the
// operator's log ends. The operator may be nil.
func Explain(ctx context.Context, env *testenv.Env, ops *testenv.Server, operator *testenv.Operator) {
	if !CurrentSpecReport().Failed() {
		return
	}
	state, _ := env.Kubectl(ctx, ops, "get", "environments,managementclusters,databoundaries,datalocations", "-o",
		`go-template={{range .items}}{{.kind}} {{.metadata.name}}{{"\n"}}{{range .status.conditions}}  {{.type}}={{.status}}/{{.reason}} {{.message}}{{"\n"}}{{end}}{{end}}`)
	AddReportEntry("state", state)
	if operator != nil {
		log, _ := os.ReadFile(operator.LogFile())
		AddReportEntry("end of the operator's log", string(log[max(0, len(log)-6000):]))
	}
}
