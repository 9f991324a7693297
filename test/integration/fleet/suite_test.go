// SPDX-License-Identifier: Apache-2.0

// Package fleet_test runs a fleet against real API servers and the real Cluster API core
// manager, with a policy of its own that is as small as a policy can be.
package fleet_test

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/config/crd"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

const namespace = "skott-system"

var (
	env                      *testenv.Env
	management, alpha, bravo *testenv.Server
	// legacy serves no admission policies.
	legacy *testenv.Server
)

func TestFleet(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Fleet Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	// Each of the plugins waits for the API that is off.
	withoutPolicies := testenv.Options{Name: "legacy", Flags: []string{
		"--runtime-config=admissionregistration.k8s.io/v1=false",
		"--disable-admission-plugins=ServiceAccount,ValidatingAdmissionPolicy,MutatingAdmissionPolicy," +
			"ValidatingAdmissionWebhook,MutatingAdmissionWebhook",
	}}
	env, servers = suite.Start(ctx, "fleet", append(suite.Named("management", "alpha", "bravo"), withoutPolicies)...)
	management, alpha, bravo, legacy = servers[0], servers[1], servers[2], servers[3]
	Expect(management.StartClusterAPI(ctx)).To(Succeed())
})

// observer records what a fleet reports.
type observer struct {
	mu       sync.Mutex
	restored []string
	admitted []string
	denied   int
	changed  int
}

func (o *observer) Restored(cluster, kind, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.restored = append(o.restored, cluster+" "+kind+" "+name)
}

func (o *observer) CanaryAdmitted(cluster, family string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.admitted = append(o.admitted, cluster+" "+family)
}

func (o *observer) Canary(_, _ string, denied bool, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if denied {
		o.denied++
	}
}

func (o *observer) Changed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changed++
}

func (o *observer) restorations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.restored)
}

// start returns a fleet that is closed after the spec.
func start(change ...func(*fleet.Options)) (*fleet.Fleet, *observer) {
	guard, err := crd.Guard()
	Expect(err).NotTo(HaveOccurred())
	o := &observer{}
	options := fleet.Options{
		GuardCRD: guard, CanaryInterval: 3 * time.Second, ProbeInterval: time.Second, Timeout: 5 * time.Second, Observer: o,
	}
	for _, c := range change {
		c(&options)
	}
	f := fleet.New(options)
	DeferCleanup(f.Close)
	return f, o
}

func engage(f *fleet.Fleet, name string, config *rest.Config) fleet.Target {
	t := fleet.Target{
		Name: name, Environment: "staging", Stage: "staging", Datacenter: "sto2",
		Role: skottv1.RoleManagement, Config: config,
	}
	ExpectWithOffset(1, f.Engage(ctrllog.IntoContext(context.Background(), GinkgoLogr), t)).To(Succeed())
	return t
}

// member returns the state of a member, empty when it is not one.
func member(f *fleet.Fleet, name string) fleet.Member {
	for _, m := range f.State() {
		if m.Name == name {
			return m
		}
	}
	return fleet.Member{}
}

// cluster returns the state of a Cluster of a member, empty when it has none of that name.
func cluster(f *fleet.Fleet, name, of string) fleet.Cluster {
	for _, c := range member(f, of).Clusters {
		if c.Name == name {
			return c
		}
	}
	return fleet.Cluster{}
}

// publish makes every cluster hold the least that can be proved: one policy that refuses
// ConfigMaps naming the revision.
func publish(f *fleet.Fleet, revision string) {
	f.Publish(func(c fleet.Cluster) (fleet.Desired, bool) {
		return fleet.Desired{
			Revision: revision,
			Guards:   []*skottv1.Guard{guardFor(c, revision)},
			Policies: []*admissionv1.ValidatingAdmissionPolicy{policy()},
			Bindings: []*admissionv1.ValidatingAdmissionPolicyBinding{binding()},
			Canaries: []fleet.Canary{{Family: "config", Object: configMap(revision), Want: revision}},
		}, true
	})
}

func configMap(revision string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": namespace, "name": "canary"},
		"data":     map[string]any{"canary": revision},
	}}
}

// guardFor is a Guard with nothing in it but the revision.
func guardFor(c fleet.Cluster, revision string) *skottv1.Guard {
	guard := &skottv1.Guard{
		ObjectMeta: metav1.ObjectMeta{Name: "skott", Labels: map[string]string{skottv1.LabelAction: "Deny"}},
		Spec: skottv1.GuardSpec{
			Cluster: skottv1.GuardedCluster{Name: c.Key(), ManagementCluster: c.ManagementCluster, Role: string(c.Role),
				Environment: "staging", Class: skottv1.ClassNonProduction, Datacenter: "sto2"},
			Action: skottv1.ActionDeny, Revision: revision,
		},
	}
	// Its maps and lists are required, empty or not.
	for _, field := range reflect.ValueOf(&guard.Spec).Elem().Fields() {
		switch {
		case field.Kind() == reflect.Map && field.IsNil():
			field.Set(reflect.MakeMap(field.Type()))
		case field.Kind() == reflect.Slice && field.IsNil():
			field.Set(reflect.MakeSlice(field.Type(), 0, 0))
		}
	}
	return guard
}

func policy() *admissionv1.ValidatingAdmissionPolicy {
	reason := metav1.StatusReasonForbidden
	return &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "skott-config"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			ParamKind: &admissionv1.ParamKind{APIVersion: skottv1.GroupVersion.String(), Kind: "Guard"},
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
				},
			}}},
			Validations: []admissionv1.Validation{{
				Expression:        "!has(object.data) || !('canary' in object.data) || object.data['canary'] != params.spec.revision",
				MessageExpression: "'refused at revision ' + params.spec.revision",
				Reason:            &reason,
			}},
		},
	}
}

func binding() *admissionv1.ValidatingAdmissionPolicyBinding {
	deny := admissionv1.DenyAction
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "skott-config-deny"},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName:        "skott-config",
			ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			ParamRef: &admissionv1.ParamRef{
				Selector:                &metav1.LabelSelector{MatchLabels: map[string]string{skottv1.LabelAction: "Deny"}},
				ParameterNotFoundAction: &deny,
			},
		},
	}
}
