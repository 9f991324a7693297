// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/bench/load"
	"github.com/skott-dev/skott/test/guarded"
	"github.com/skott-dev/skott/test/testenv"
)

// list is what is to be refused: the addresses of a platform, and one that tells this list
// from the one before.
type list struct{ size, generation int }

func (l list) bucket() string { return fmt.Sprintf("list-%d", l.generation) }

const (
	markerEndpoint = "https://s3.list.example"
	// variantLabel says which variants act in a namespace.
	variantLabel  = "bench.skott.dev/"
	policiesLabel = variantLabel + "policies"
	webhookLabel  = variantLabel + "webhook"
)

func (l list) marker() skottv1.Address {
	return skottv1.Address{Type: "Bucket", Value: markerEndpoint + "/" + l.bucket()}
}

// snapshot is the list as Skott knows it.
func (l list) snapshot() policy.Snapshot { return load.Snapshot(l.size, l.marker()) }

// lines are the list as text, one address a line.
func (l list) lines() []string {
	var out []string
	for _, location := range l.snapshot().Locations {
		for _, a := range location.Spec.Addresses {
			_, value, found := strings.Cut(a.Value, "://")
			if !found {
				value = a.Value
			}
			out = append(out, value)
		}
	}
	return out
}

// bench is one API server with every variant in it.
type bench struct {
	*target
	env        *testenv.Env
	products   []*product
	generation int
	skott      *skott
	hook       *testenv.Guard
}

// skott publishes Guards for all of its variants at once: it is one product.
type skott struct {
	b         *bench
	published list
	parts     int
}

// refuse publishes the list, if that was not done yet, and removes the parts of a longer one.
func (s *skott) refuse(ctx context.Context, l list) error {
	if s.published == l {
		return nil
	}
	cluster := load.Staging
	cluster.TextNamespaces = policy.TextNamespaces([]string{"policies", "guarded"}) // in namespace text the webhook reads it alone
	guards := policy.New(l.snapshot()).Guards(cluster, nil, benchFamilies)
	if err := guarded.Publish(ctx, s.b.operator, guards...); err != nil {
		return err
	}
	for n := len(guards); n < s.parts; n++ {
		g := &unstructured.Unstructured{}
		g.SetAPIVersion(skottv1.GroupVersion.String())
		g.SetKind("Guard")
		g.SetName(fmt.Sprintf("%s-%d", guards[0].Name, n))
		if err := s.b.operator.Delete(ctx, g); err != nil {
			return err
		}
	}
	s.published, s.parts = l, len(guards)
	return nil
}

// setUp starts the server and installs every product.
func setUp(ctx context.Context, env *testenv.Env, hooks []string) (*bench, error) {
	server, err := env.NewServer(ctx, testenv.Options{Name: "admission", Flags: []string{"--profiling=true"}})
	if err != nil {
		return nil, err
	}
	t, err := newTarget(ctx, server)
	if err != nil {
		return nil, err
	}
	b := &bench{target: t, env: env}
	if err := b.namespaces(ctx, map[string][]string{"none": nil, "policies": {policiesLabel}, "guarded": {policiesLabel, webhookLabel}, "text": {policiesLabel, webhookLabel}}); err != nil {
		return nil, err
	}
	none := func(context.Context, list) error { return nil }
	gone := func(context.Context) error { return nil }
	b.products = []*product{{name: "none", namespace: "none", refuse: none, remove: gone, begin: nothing, end: nothing, pids: func() []int { return nil }}}
	if err := b.addSkott(ctx); err != nil {
		return nil, err
	}
	for _, with := range []bool{false, true} {
		p, err := b.bareWebhook(ctx, with)
		if err != nil {
			return nil, err
		}
		b.products = append(b.products, p)
	}
	for i, file := range hooks {
		namespace := fmt.Sprintf("product-%d", i)
		if err := b.namespaces(ctx, map[string][]string{namespace: nil}); err != nil {
			return nil, err
		}
		p, err := executable(env, server, file, namespace)
		if err != nil {
			return nil, err
		}
		b.products = append(b.products, p)
	}
	return b, nil
}

func (b *bench) namespaces(ctx context.Context, all map[string][]string) error {
	for name, labels := range all {
		set := map[string]string{}
		for _, l := range labels {
			set[l] = "true"
		}
		if err := b.server.Apply(ctx, testenv.Namespace(name, set)); err != nil {
			return err
		}
	}
	return nil
}

// addSkott installs the policies, and the guard webhook as a process.
func (b *bench) addSkott(ctx context.Context) error {
	if err := b.install(ctx); err != nil {
		return err
	}
	s := &skott{b: b}
	b.skott = s
	if err := s.refuse(ctx, list{10, 0}); err != nil {
		return err
	}
	for _, binding := range policy.Bindings(benchFamilies, skottv1.ActionDeny) {
		if binding.Spec.ParamRef != nil {
			binding.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{policiesLabel: "true"}}}
		}
		if err := b.server.Apply(ctx, guarded.Plain(binding)); err != nil {
			return err
		}
	}
	certificate, key, err := b.server.Serving()
	if err != nil {
		return err
	}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "skott-guard-tls", "namespace": policy.Namespace},
		"stringData": map[string]any{"tls.crt": string(certificate), "tls.key": string(key)},
	}}
	if err := b.server.Apply(ctx, secret); err != nil {
		return err
	}
	port, err := testenv.FreePort()
	if err != nil {
		return err
	}
	config, err := b.server.ConfigFor("system:serviceaccount:skott-system:skott-guard", "system:masters")
	if err != nil {
		return err
	}
	if b.hook, err = b.env.NewGuard(ctx, "guard", testenv.KubeconfigFor("guard", config), port, "--drain=0s"); err != nil {
		return err
	}
	if err := b.hook.Start(ctx); err != nil {
		return err
	}
	configuration, _ := policy.BuiltinRules().Webhooks(nil, true)
	url := fmt.Sprintf("https://127.0.0.1:%d/review", port)
	for i := range configuration.Webhooks {
		w := &configuration.Webhooks[i]
		w.ClientConfig = admissionv1.WebhookClientConfig{URL: &url, CABundle: b.server.CA()}
		w.NamespaceSelector.MatchLabels = map[string]string{webhookLabel: "true"}
	}
	if err := b.server.Apply(ctx, guarded.Plain(configuration)); err != nil {
		return err
	}
	gone := func(context.Context) error { return nil }
	b.products = append(b.products,
		&product{name: "Skott, policies", namespace: "policies", refuse: s.refuse, remove: gone, begin: nothing, end: nothing, pids: func() []int { return nil }},
		&product{name: "Skott, policies and webhook", namespace: "guarded", refuse: s.refuse, remove: gone, begin: b.hook.Begin, end: b.hook.Stop, pids: func() []int { return []int{b.hook.PID()} }},
		&product{name: "Skott, text by the webhook", namespace: "text", refuse: s.refuse, remove: gone, begin: nothing, end: nothing, pids: func() []int { return []int{b.hook.PID()} }})
	return nil
}

// bareWebhook starts the least that a webhook can be, as a process of this program.
func (b *bench) bareWebhook(ctx context.Context, looksUp bool) (*product, error) {
	name := "bare webhook"
	namespace := "bare"
	if looksUp {
		name, namespace = "bare webhook, looks up", "bare-lookup"
	}
	if err := b.namespaces(ctx, map[string][]string{namespace: nil}); err != nil {
		return nil, err
	}
	certificate, key, err := b.server.Serving()
	if err != nil {
		return nil, err
	}
	file := func(kind string) string { return filepath.Join(b.env.Dir(), namespace+"."+kind) }
	for kind, content := range map[string][]byte{"crt": certificate, "key": key} {
		if err := os.WriteFile(file(kind), content, 0o600); err != nil {
			return nil, err
		}
	}
	port, err := testenv.FreePort()
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	args := []string{bareCommand, "-address=" + address, "-certificate=" + file("crt"), "-key=" + file("key")}
	p := &product{name: name, namespace: namespace, remove: func(context.Context) error { return nil }}
	if looksUp {
		args = append(args, "-list="+file("list"))
	}
	child := &child{args: args}
	p.begin, p.end, p.pids = child.begin, child.end, child.pids
	p.refuse = func(_ context.Context, l list) error {
		if !looksUp {
			return nil
		}
		if err := os.WriteFile(file("list"), []byte(strings.Join(l.lines(), "\n")), 0o600); err != nil {
			return err
		}
		if err := child.end(); err != nil {
			return err
		}
		return child.begin()
	}
	if looksUp {
		if err := os.WriteFile(file("list"), []byte("list.example"), 0o600); err != nil {
			return nil, err
		}
	}
	if err := child.begin(); err != nil {
		return nil, err
	}
	fail, none, url, timeout := admissionv1.Fail, admissionv1.SideEffectClassNone, "https://"+address+"/", int32(30)
	configuration := &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: "bench-" + namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: namespace + ".bench.skott.dev", FailurePolicy: &fail, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionv1.WebhookClientConfig{URL: &url, CABundle: b.server.CA()},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"", "apps", "velero.io"}, APIVersions: []string{"*"}, Resources: []string{"configmaps", "deployments", "backupstoragelocations"}},
			}},
		}},
	}
	return p, b.server.Apply(ctx, guarded.Plain(configuration))
}

// child is a process of this program itself.
type child struct {
	args    []string
	command *exec.Cmd
}

func (c *child) begin() error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	c.command = exec.Command(own, c.args...)
	c.command.Stderr = os.Stderr
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c.command.Start()
}

func (c *child) end() error {
	if err := c.command.Process.Kill(); err != nil {
		return err
	}
	_ = c.command.Wait() // it was killed
	return nil
}

func (c *child) pids() []int { return []int{c.command.Process.Pid} }

// patienceForList is how long a list may take until it acts.
const patienceForList = 60 * time.Second
