// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"context"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/config/crd"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/testenv"
)

// The role that docs/operations.md gives a ManagementCluster's kubeconfig is enough to guard
// a cluster, and the commands there remove everything again.
func TestCredentialsAndRemoval(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	page := read(t, "docs/operations.md")
	env, err := testenv.Start(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = env.Stop() }()
	server, err := env.NewServer(ctx, testenv.Options{Name: "documented"})
	if err != nil {
		t.Fatal(err)
	}

	role := blocks(section(t, page, "## Credentials of a ManagementCluster"), "yaml")[0]
	f := guarded(ctx, t, server, role)
	f.Disengage("mc-sto2-staging")

	removal := blocks(strings.ReplaceAll(section(t, page, "## Removing Skott from a cluster"), "\n   ", "\n"), "sh")[0]
	for command := range strings.SplitSeq(strings.TrimSpace(removal), "\n") {
		kubectl(ctx, t, env, server, command+" --wait=false")
	}
	left, err := env.Kubectl(ctx, server, "get", "validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings",
		"-l", "app.kubernetes.io/managed-by=skott", "-o", "name")
	if err != nil || strings.TrimSpace(left) != "" {
		t.Errorf("what is left: %q, %v", left, err)
	}
}

// guarded engages the server with a role and nothing else, and waits for its proof.
func guarded(ctx context.Context, t *testing.T, server *testenv.Server, role string) *fleet.Fleet {
	t.Helper()
	definition := &rbacv1.ClusterRole{}
	if err := yaml.UnmarshalStrict([]byte(role), definition); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: definition.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: definition.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "given"}},
	}
	for _, o := range []any{definition, binding} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Client().Create(ctx, &unstructured.Unstructured{Object: content}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := server.ConfigFor("given")
	if err != nil {
		t.Fatal(err)
	}
	guard, err := crd.Guard()
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(fleet.Options{GuardCRD: guard})
	t.Cleanup(f.Close)
	p := platform(t, "")
	families := policy.BuiltinRules().Families(nil) // the server has no kinds but those of every cluster
	cluster := clusters["mc-sto2-staging"]
	cluster.Name = cluster.ManagementCluster
	f.Publish(func(c fleet.Cluster) (fleet.Desired, bool) {
		guards := p.Guards(cluster, c.Namespaces, families)
		d := fleet.Desired{Revision: policy.Revision(guards), Guards: guards, Policies: policy.BuiltinRules().Policies(families, p.Denies()), Bindings: policy.Bindings(families, p.Actions()...)}
		for _, canary := range policy.Canaries(guards) {
			d.Canaries = append(d.Canaries, fleet.Canary(canary))
		}
		return d, true
	})
	target := fleet.Target{
		Name: "mc-sto2-staging", Environment: "staging", Stage: "staging", Datacenter: "sto2", Role: skottv1.RoleManagement, Config: config,
	}
	if err := f.Engage(ctx, target); err != nil {
		t.Fatal(err)
	}
	for {
		state := f.State()[0]
		if state.Self.Guard.Phase == fleet.Enforced {
			return f
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not proved: reachable %t %s %s, guard %+v", state.Reachable, state.Reason, state.Message, state.Self.Guard)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// kubectl runs a documented command, again while a policy that was just removed still acts.
func kubectl(ctx context.Context, t *testing.T, env *testenv.Env, server *testenv.Server, command string) {
	t.Helper()
	words := strings.Fields(strings.TrimPrefix(command, "kubectl "))
	var err error
	for range 20 {
		if _, err = env.Kubectl(ctx, server, words...); err == nil {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Errorf("%s: %v", command, err)
}
