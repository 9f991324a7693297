package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	// adminUser is the user of Config. Its group may do everything, so rules that bind it must come from admission.
	adminUser, adminGroup = "testenv-admin", "system:masters"
	// advertiseAddress is a documentation address (RFC 5737) that nobody listens on: an API server refuses to
	// advertise loopback, and without this flag it needs a default route.
	advertiseAddress = "192.0.2.1"
)

// AuditMetadata is an audit policy that records who did what to which object, with the annotations that admission
// added, and leaves out the objects themselves.
const AuditMetadata = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// nameRule keeps names usable as a file name, an etcd prefix and a kubeconfig context.
var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$`)

// Options describe one API server.
type Options struct {
	// Name is unique in the environment: lower case letters, digits and dashes.
	Name string
	// AuditPolicy is the YAML of an audit policy, for example AuditMetadata. When empty, nothing is audited.
	AuditPolicy string
	// Etcd holds the data of the server; nil for the one of the environment.
	Etcd *Etcd
	// Flags are added to the command line of kube-apiserver, after ours: a repeated flag wins.
	Flags []string
}

// Server is one kube-apiserver: one cluster without nodes and without controllers. Its port, certificates and data
// survive Stop and Restart.
type Server struct {
	env   *Env
	name  string
	dir   string
	port  int
	ca    *authority
	admin *rest.Config

	etcd    *Etcd
	client  client.Client
	process *process
	probe   *http.Client

	capiMu sync.Mutex
	capi   *clusterAPI // nil until StartClusterAPI
}

// newServer creates the files and the command line of a server; nothing runs yet.
func newServer(e *Env, options Options) (*Server, error) {
	if !nameRule.MatchString(options.Name) {
		return nil, fmt.Errorf("cannot create server %q: the name does not match %s", options.Name, nameRule)
	}
	s := &Server{env: e, name: options.Name, dir: filepath.Join(e.dir, options.Name), etcd: cmp.Or(options.Etcd, e.etcd)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	var err error
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := s.writeIdentity(); err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	flags, err := s.auditFlags(options.AuditPolicy)
	if err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	flags = append(append(s.flags(), flags...), options.Flags...)
	s.process = e.newProcess("kube-apiserver-"+s.name, e.Binaries.APIServer, flags...)
	if s.admin, err = s.ConfigFor(adminUser, adminGroup); err != nil {
		return nil, err
	}
	if s.probe, err = rest.HTTPClientFor(s.admin); err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	if s.client, err = client.New(s.admin, client.Options{}); err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	if err := os.WriteFile(s.KubeconfigFile(), s.Kubeconfig(), 0o600); err != nil {
		return nil, fmt.Errorf("cannot create server %q: %w", s.name, err)
	}
	return s, nil
}

// writeIdentity creates the authority, the serving certificate and the key that signs service account tokens.
func (s *Server) writeIdentity() (err error) {
	if s.ca, err = newAuthority("testenv-" + s.name); err != nil {
		return err
	}
	serving, err := s.ca.serving("kubernetes", "kubernetes.default", "kubernetes.default.svc")
	if err != nil {
		return err
	}
	signer, err := newKey()
	if err != nil {
		return err
	}
	signerPEM, err := encodeKey(signer)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"ca.crt":              s.ca.pem,
		"apiserver.crt":       serving.certificate,
		"apiserver.key":       serving.key,
		"service-account.key": signerPEM,
	} {
		if err := os.WriteFile(s.file(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) flags() []string {
	return []string{
		"--etcd-servers=" + s.etcd.url,
		"--etcd-prefix=/" + s.name,
		"--bind-address=" + loopback,
		fmt.Sprintf("--secure-port=%d", s.port),
		"--advertise-address=" + advertiseAddress,
		// All servers would write the same endpoint, and an address that two clusters share is a crossing.
		"--endpoint-reconciler-type=none",
		"--cert-dir=" + s.dir,
		"--client-ca-file=" + s.file("ca.crt"),
		"--tls-cert-file=" + s.file("apiserver.crt"),
		"--tls-private-key-file=" + s.file("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + s.file("service-account.key"),
		"--service-account-signing-key-file=" + s.file("service-account.key"),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC",
		// No controller creates default service accounts, without which this plugin refuses every pod.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--profiling=false",
	}
}

func (s *Server) auditFlags(policy string) ([]string, error) {
	if policy == "" {
		return nil, nil
	}
	file := s.file("audit-policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return nil, err
	}
	return []string{
		"--audit-policy-file=" + file,
		"--audit-log-path=" + s.AuditLog(),
		"--audit-log-mode=blocking", // an event is in the file before its request is answered
	}, nil
}

// Restart starts the server again, stopping it first if it runs, and waits until it serves.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	if err := s.process.startReady(ctx, s.serves); err != nil {
		return fmt.Errorf("cannot start server %q: %w", s.name, err)
	}
	return nil
}

// serves is nil when the server is ready and has created its default namespace, which happens a moment later.
func (s *Server) serves(ctx context.Context) error {
	return errors.Join(
		healthy(ctx, s.probe, s.URL()+"/readyz"),
		healthy(ctx, s.probe, s.URL()+"/api/v1/namespaces/"+corev1.NamespaceDefault),
	)
}

// Stop ends the server at once, as a crash would. Its port, certificates and data are kept for Restart.
func (s *Server) Stop() error {
	s.probe.CloseIdleConnections()
	return s.process.stop()
}

// Pause freezes the server: connections stay open and nothing answers.
func (s *Server) Pause() error { return s.process.signal(syscall.SIGSTOP) }

// Ready is nil while /readyz says so, which is what a load balancer asks.
func (s *Server) Ready(ctx context.Context) error { return healthy(ctx, s.probe, s.URL()+"/readyz") }

// Resume ends a Pause.
func (s *Server) Resume() error { return s.process.signal(syscall.SIGCONT) }

// Name is the name given in Options.
func (s *Server) Name() string { return s.name }

// Host is the address the server listens on.
func (s *Server) Host() string { return loopback }

// Port is the port the server listens on, the same after every Restart.
func (s *Server) Port() int { return s.port }

// URL is the address for clients.
func (s *Server) URL() string { return fmt.Sprintf("https://%s:%d", loopback, s.port) }

// CA is the PEM certificate of the authority that issued the serving certificate and all client certificates.
func (s *Server) CA() []byte { return append([]byte(nil), s.ca.pem...) }

// Serving issues a certificate and its key, as PEM, for a server on this machine. CA is its authority.
func (s *Server) Serving() (certificate, key []byte, err error) {
	issued, err := s.ca.serving()
	return issued.certificate, issued.key, err
}

// PID is the process number, or 0 when the server is stopped.
func (s *Server) PID() int { return s.process.pid() }

// LogFile is where kube-apiserver writes its log.
func (s *Server) LogFile() string { return s.process.logFile }

// AuditLog is the file of audit events, one JSON object a line. It exists only when an audit policy was given.
func (s *Server) AuditLog() string { return s.file("audit.log") }

// Config returns a client configuration for the administrator, without any limit worth noticing.
func (s *Server) Config() *rest.Config { return rest.CopyConfig(s.admin) }

// ConfigFor issues a client certificate for another identity, which has the rights that RBAC gives it.
func (s *Server) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	issued, err := s.ca.client(user, groups)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: s.URL(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   s.CA(),
			CertData: issued.certificate,
			KeyData:  issued.key,
		},
		QPS:   1000,
		Burst: 2000,
	}, nil
}

// Client returns an uncached client for the administrator that knows the built-in kinds, and every other kind as
// unstructured. It stays usable over Restart.
func (s *Server) Client() client.Client { return s.client }

// Kubeconfig is Config as a kubeconfig file.
func (s *Server) Kubeconfig() []byte { return KubeconfigFor(s.name, s.admin) }

// KubeconfigFile is the path of a file that holds Kubeconfig.
func (s *Server) KubeconfigFile() string { return s.file("kubeconfig") }

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// KubeconfigFor writes a client configuration as a kubeconfig whose cluster, user and context are called name. It
// knows client certificates and bearer tokens.
func KubeconfigFor(name string, config *rest.Config) []byte {
	user := map[string]any{}
	if config.BearerToken != "" {
		user["token"] = config.BearerToken
	}
	if len(config.CertData) > 0 {
		user["client-certificate-data"] = config.CertData
		user["client-key-data"] = config.KeyData
	}
	content, _ := yaml.Marshal(map[string]any{ // maps of strings and bytes always marshal
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{
			"server": config.Host, "certificate-authority-data": config.CAData,
		}}},
		"users": []any{map[string]any{"name": name, "user": user}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{
			"cluster": name, "user": name,
		}}},
	})
	return content
}
