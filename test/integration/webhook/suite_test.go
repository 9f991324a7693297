// SPDX-License-Identifier: Apache-2.0

// Package webhook_test runs the guard webhook as a process beside a real API server, with the
// account and the certificate that a real fleet gives it, and takes it away in every way.
package webhook_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	skottv1 "github.com/skott-dev/skott/api/v1alpha1"
	"github.com/skott-dev/skott/config/crd"
	"github.com/skott-dev/skott/internal/fleet"
	"github.com/skott-dev/skott/internal/policy"
	"github.com/skott-dev/skott/test/corpus"
	"github.com/skott-dev/skott/test/suite"
	"github.com/skott-dev/skott/test/testenv"
)

const (
	namespace = "skott-system"
	// life of a certificate: it is followed by another every ten seconds or so.
	life = 24 * time.Second
)

var (
	env *testenv.Env
	// staging is guarded by the fleet of this test, deployed by a real operator in hub.
	staging, deployed, hub *testenv.Server
	// cluster is staging, as its administrator.
	cluster  client.Client
	platform *corpus.Platform
	// service is where the API server finds the webhook.
	service *balancer
	guarded *fleet.Fleet
	seen    = &observer{}
)

func TestWebhook(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Webhook Suite")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var servers []*testenv.Server
	env, servers = suite.Start(ctx, "webhook", suite.Named("staging", "deployed", "hub")...)
	staging, deployed, hub = servers[0], servers[1], servers[2]
	cluster = clientOf(staging.Config())
	var err error
	platform, err = corpus.ReadPlatform()
	Expect(err).NotTo(HaveOccurred())
	declare()
	service, err = newBalancer()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(service.close)
}, NodeTimeout(4*time.Minute))

func clientOf(config *rest.Config) client.Client {
	GinkgoHelper()
	c, err := testenv.ClientOf(config)
	Expect(err).NotTo(HaveOccurred())
	return c
}

// observer remembers what a fleet put back.
type observer struct {
	mu       sync.Mutex
	restored []string
}

func (o *observer) Restored(_, kind, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.restored = append(o.restored, kind+" "+name)
}

func (o *observer) restorations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.restored...)
}

func (*observer) CanaryAdmitted(string, string)              {}
func (*observer) Canary(string, string, bool, time.Duration) {}
func (*observer) Changed()                                   {}

// startFleet guards staging as the operator does, with a webhook that the platform runs.
func startFleet(ctx context.Context, life time.Duration) {
	GinkgoHelper()
	definition, err := crd.Guard()
	Expect(err).NotTo(HaveOccurred())
	guarded = fleet.New(fleet.Options{
		GuardCRD: definition, CanaryInterval: time.Second, ProbeInterval: time.Second, Timeout: 10 * time.Second,
		CertificateLife: life, Observer: seen,
	})
	p := policy.New(platform.Snapshot)
	guarded.Publish(func(c fleet.Cluster) (fleet.Desired, bool) {
		rules := p.Rules()
		families := rules.Families(c.Groups)
		guards := p.Guards(platform.Clusters["staging"].GuardedCluster, c.Namespaces, families)
		d := fleet.Desired{
			Revision: policy.Revision(guards), Guards: guards, Policies: rules.Policies(families, true),
			Bindings: policy.Bindings(families, p.Actions()...), Webhook: &fleet.Webhook{URL: service.url(), Reads: rules.Reads(false), Key: key},
		}
		for _, canary := range policy.Canaries(guards) {
			d.Canaries = append(d.Canaries, fleet.Canary(canary))
		}
		d.Webhook.Configuration, d.Webhook.Probe = rules.Webhooks(nil, true)
		acts, answers := policy.WebhookCanaries(guards)
		d.Webhook.Answers = fleet.Canary(answers)
		for _, canary := range acts {
			d.Webhook.Acts = append(d.Webhook.Acts, fleet.Canary(canary))
		}
		return d, true
	})
	Expect(guarded.Engage(ctrllog.IntoContext(ctx, GinkgoLogr), fleet.Target{
		Name: "mc", Environment: "staging", Stage: "staging", Datacenter: "sto2", Role: skottv1.RoleManagement, Config: staging.Config(),
	})).To(Succeed())
}

// state of the fleet's only member.
func state() fleet.Cluster {
	for _, m := range guarded.State() {
		return m.Self
	}
	return fleet.Cluster{}
}

// account is a configuration that works as the webhook.
func account(ctx context.Context) *rest.Config {
	GinkgoHelper()
	return accountIn(ctx, staging, cluster)
}

// accountIn is account in another cluster, of which it is given an administrator.
func accountIn(ctx context.Context, server *testenv.Server, admin client.Client) *rest.Config {
	GinkgoHelper()
	request := &authenticationv1.TokenRequest{}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "skott-guard"}}
	Expect(admin.SubResource("token").Create(ctx, sa, request)).To(Succeed())
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = request.Status.Token
	return config
}

// balancer plays the part of a Service: connections go to the processes that say they are
// ready.
type balancer struct {
	listener net.Listener
	mu       sync.Mutex
	guards   map[*testenv.Guard]bool // ready or not
	next     atomic.Int64
	stop     chan struct{}
}

func newBalancer() (*balancer, error) {
	port, err := testenv.FreePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	b := &balancer{listener: listener, guards: map[*testenv.Guard]bool{}, stop: make(chan struct{})}
	go b.look()
	go b.accept()
	return b, nil
}

func (b *balancer) url() string { return "https://" + b.listener.Addr().String() }

func (b *balancer) close() {
	close(b.stop)
	_ = b.listener.Close()
}

func (b *balancer) add(g *testenv.Guard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.guards[g] = false
}

// look asks every process whether it is ready, as a kubelet does, and more often.
func (b *balancer) look() {
	for {
		select {
		case <-b.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		b.mu.Lock()
		var all []*testenv.Guard
		for g := range b.guards {
			all = append(all, g)
		}
		b.mu.Unlock()
		for _, g := range all {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			ready := g.Ready(ctx) == nil
			cancel()
			b.mu.Lock()
			b.guards[g] = ready
			b.mu.Unlock()
		}
	}
}

func (b *balancer) ready() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ports []int
	for g, ready := range b.guards {
		if ready {
			ports = append(ports, g.Port)
		}
	}
	return ports
}

func (b *balancer) accept() {
	for {
		from, err := b.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			ports := b.ready()
			if len(ports) == 0 {
				return
			}
			to, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[int(b.next.Add(1))%len(ports)]))
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}

// The objects of this suite name what production has in the corpus, or nothing of it.
const (
	foreignHost   = "db.prod.example"
	foreignBucket = "endpoint: https://s3.sto2.example/prod-backups"
	innocent      = "endpoint: https://s3.sto2.example/staging-backups"
)

func named(in, name string) metav1.ObjectMeta {
	if strings.HasSuffix(name, "-") {
		return metav1.ObjectMeta{Namespace: in, GenerateName: name}
	}
	return metav1.ObjectMeta{Namespace: in, Name: name}
}

// secret holds a text that is base64 to everybody but the webhook.
func secret(in, name, text string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: named(in, name), Data: map[string][]byte{"config.yaml": []byte("backup:\n  " + text + "\n")}}
}

// large holds a text behind so much prose that no policy reads it.
func large(in, name, text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: named(in, name), Data: map[string]string{"text": strings.Repeat("Some ordinary prose. ", 500<<10/21) + text}}
}

// encoded is base64 within base64.
func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
