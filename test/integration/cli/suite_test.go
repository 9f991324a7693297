// SPDX-License-Identifier: Apache-2.0

// Package cli_test holds kubectl skott to real API servers: what it says by the hub, by an
// exported snapshot and by the Guards of a cluster is what the cluster itself answers.
package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/cli"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/guarded"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

// root is the top of the repository, seen from this folder.
const root = "../../.."

var (
	hub, workload *testenv.Server
	folder        string
	warnings      = &recorder{}
	sender        client.Client // an administrator of the guarded cluster, whose warnings are recorded
)

// recorder keeps the warnings of an API server.
type recorder struct {
	mu   sync.Mutex
	said []string
}

// HandleWarningHeader records one.
func (r *recorder) HandleWarningHeader(_ int, _, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
}

// take returns what was recorded, and forgets it.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.said
	r.said = nil
	return out
}

func TestCLI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "CLI Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	env, servers := suite.Start(ctx, "cli", suite.Named("hub", "guarded")...)
	folder = env.Dir()
	hub, workload = servers[0], servers[1]
	fillHub(ctx)

	config := workload.Config()
	config.WarningHandler = warnings
	var err error
	sender, err = client.New(config, client.Options{})
	Expect(err).NotTo(HaveOccurred())
})

// fillHub makes the first server a hub that holds what internal/cli is tested with.
func fillHub(ctx context.Context) {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	var crds []*unstructured.Unstructured
	for _, file := range files {
		if !strings.HasSuffix(file, "_guards.yaml") {
			crds = append(crds, documents(file)...)
		}
	}
	Expect(hub.Install(ctx, crds...)).To(Succeed())
	for _, o := range documents(filepath.Join(root, "internal/cli/testdata/hub.yaml")) {
		if o.GroupVersionKind().Group != skottv1.GroupVersion.Group {
			continue
		}
		o.SetUID("")
		status, observed := o.Object["status"]
		Expect(hub.Apply(ctx, o)).To(Succeed())
		if observed {
			Expect(hub.Client().Get(ctx, client.ObjectKeyFromObject(o), o)).To(Succeed())
			o.Object["status"] = status
			Expect(hub.Client().Status().Update(ctx, o)).To(Succeed())
		}
	}
}

// documents are the objects of a YAML file, those of Lists included.
func documents(file string) []*unstructured.Unstructured {
	GinkgoHelper()
	content, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	var out []*unstructured.Unstructured
	for text := range strings.SplitSeq("\n"+string(content), "\n---\n") {
		o := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(text), &o.Object)).To(Succeed())
		if o.Object == nil {
			continue
		}
		if !o.IsList() {
			out = append(out, o)
			continue
		}
		Expect(o.EachListItem(func(item runtime.Object) error {
			out = append(out, item.(*unstructured.Unstructured))
			return nil
		})).To(Succeed())
	}
	return out
}

// answer is what a command line did.
type answer struct {
	code     int
	out, err string
}

// skott runs a command line.
func skott(ctx context.Context, stdin string, args ...string) answer {
	var out, err bytes.Buffer
	code := cli.Run(ctx, args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &err})
	return answer{code: code, out: out.String(), err: err.String()}
}

// verdict is what is said of one object: the codes of refusals and of warnings.
type verdict struct{ denied, warned []string }

// judged are the verdicts of check, by kind and name.
func judged(ctx context.Context, file string, args ...string) map[string]verdict {
	GinkgoHelper()
	a := skott(ctx, "", append([]string{"check", "-f", file, "-o", "json"}, args...)...)
	Expect(a.code).To(Equal(1), a.err)
	var result struct {
		Findings []struct{ Kind, Name, Action, Code string }
	}
	Expect(json.Unmarshal([]byte(a.out), &result)).To(Succeed())
	out := map[string]verdict{}
	for _, f := range result.Findings {
		v := out[f.Kind+"/"+f.Name]
		if f.Action == "Deny" {
			v.denied = append(v.denied, f.Code)
		} else {
			v.warned = append(v.warned, f.Code)
		}
		out[f.Kind+"/"+f.Name] = v.sorted()
	}
	return out
}

func (v verdict) sorted() verdict {
	return verdict{slices.Compact(slices.Sorted(slices.Values(v.denied))), slices.Compact(slices.Sorted(slices.Values(v.warned)))}
}

// answered are the verdicts of the guarded API server itself, by dry runs.
func answered(ctx context.Context, file string) map[string]verdict {
	GinkgoHelper()
	out := map[string]verdict{}
	for _, o := range documents(file) {
		if o.GetNamespace() == "" && o.GetKind() != "Namespace" && o.GetKind() != "PersistentVolume" {
			o.SetNamespace("default")
		}
		warnings.take()
		err := sender.Create(ctx, o.DeepCopy(), client.DryRunAll)
		var v verdict
		if err != nil {
			v.denied = codes(err.Error())
			Expect(v.denied).NotTo(BeEmpty(), "%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		for _, w := range warnings.take() {
			v.warned = append(v.warned, codes(w)...)
		}
		if len(v.denied)+len(v.warned) > 0 {
			out[o.GetKind()+"/"+o.GetName()] = v.sorted()
		}
	}
	return out
}

// guard makes the second server a guarded cluster: its policies, and these Guards.
func guard(ctx context.Context, guards []*skottv1.Guard, actions []skottv1.Action) {
	GinkgoHelper()
	operator, err := guarded.Prepare(ctx, workload)
	Expect(err).NotTo(HaveOccurred())
	families := policy.BuiltinRules().Families(nil)
	for _, p := range policy.BuiltinRules().Policies(families, true) {
		Expect(workload.Apply(ctx, guarded.Plain(p))).To(Succeed(), p.Name)
	}
	Expect(guarded.Publish(ctx, operator, guards...)).To(Succeed())
	Expect(guarded.Bind(ctx, workload, families, actions...)).To(Succeed())
}

// kubeconfig of a user without any rights.
func kubeconfigOfNobody(server *testenv.Server) string {
	GinkgoHelper()
	config, err := server.ConfigFor("nobody")
	Expect(err).NotTo(HaveOccurred())
	return writeKubeconfig(server.Name()+"-nobody", config)
}

func writeKubeconfig(name string, config *rest.Config) string {
	GinkgoHelper()
	file := filepath.Join(folder, name+".kubeconfig")
	Expect(os.WriteFile(file, testenv.KubeconfigFor(name, config), 0o600)).To(Succeed())
	return file
}

const timeout = 2 * time.Minute

// resolved is the policy of the hub, as the operator makes it, and the cluster that the
// second server is.
func resolved(ctx context.Context) (*policy.Policy, skottv1.GuardedCluster) {
	GinkgoHelper()
	var s policy.Snapshot
	for _, list := range []struct {
		kind string
		into any
	}{{"Environment", &s.Environments}, {"DataBoundary", &s.Boundaries}, {"DataLocation", &s.Locations}} {
		found := &unstructured.UnstructuredList{}
		found.SetAPIVersion(skottv1.GroupVersion.String())
		found.SetKind(list.kind + "List")
		Expect(hub.Client().List(ctx, found)).To(Succeed())
		raw, err := json.Marshal(found.Items)
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal(raw, list.into)).To(Succeed())
	}
	return policy.New(s), skottv1.GuardedCluster{
		Name: "safespring/ske-stage", ManagementCluster: "mc-sto2-staging", Role: "Workload", Environment: "staging", Datacenter: "sto2",
	}
}
