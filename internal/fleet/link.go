// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/client-go/util/connrotation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	userAgent = "skott"
	qps       = 50
	burst     = 100
)

// link is the way to one API server: connections of its own that are closed with it.
type link struct {
	options Options
	dialer  *connrotation.Dialer
	// admin works with the given credentials.
	admin     client.Client
	discovery discovery.DiscoveryInterface
	// anonymous brings one connection, for everything that adds a token of its own.
	anonymous *rest.Config
	// account is Skott's own account there.
	account *account
}

// newLink prepares the clients; it does not connect.
func newLink(given *rest.Config, inCluster bool, options Options) (*link, error) {
	l := &link{options: options}
	l.dialer = connrotation.NewDialer((&net.Dialer{Timeout: options.Timeout, KeepAlive: 30 * time.Second}).DialContext)
	admin := rest.CopyConfig(given)
	admin.UserAgent, admin.Timeout, admin.Dial = userAgent, options.Timeout, l.dialer.DialContext
	admin.QPS, admin.Burst, admin.RateLimiter, admin.WarningHandler = qps, burst, nil, rest.NoWarnings{}

	httpClient, err := rest.HTTPClientFor(admin)
	if err != nil {
		return nil, fmt.Errorf("cannot use the given credentials: %s", brief(err))
	}
	if l.admin, err = client.New(admin, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper}); err != nil {
		return nil, fmt.Errorf("cannot use the given credentials: %s", brief(err))
	}
	if l.discovery, err = discovery.NewDiscoveryClientForConfigAndClient(admin, httpClient); err != nil {
		return nil, fmt.Errorf("cannot use the given credentials: %s", brief(err))
	}
	if l.anonymous, err = withoutCredentials(admin); err != nil {
		return nil, err
	}
	own := rest.CopyConfig(l.anonymous)
	if inCluster {
		own = admin
	}
	l.account, err = newAccount(l, own, inCluster)
	return l, err
}

// withoutCredentials settles TLS in a transport, so that every copy of the configuration
// uses the same connection.
func withoutCredentials(config *rest.Config) (*rest.Config, error) {
	plain := rest.AnonymousClientConfig(config)
	base, err := rest.TransportFor(plain)
	if err != nil {
		return nil, fmt.Errorf("cannot use the given credentials: %s", brief(err))
	}
	host, _, err := rest.DefaultServerUrlFor(plain)
	if err != nil {
		return nil, errors.New("cannot use the given credentials: the server is not a valid URL")
	}
	return &rest.Config{Host: host.String(), Transport: inPieces{base}, QPS: qps, Burst: burst, UserAgent: userAgent, WarningHandler: rest.NoWarnings{}}, nil
}

// withToken adds a token to every request of a configuration. Without a timeout it is fit
// for watches.
func withToken(config *rest.Config, source *tokenSource, timeout time.Duration) *rest.Config {
	config = rest.CopyConfig(config)
	config.Timeout = timeout
	config.Wrap(transport.TokenSourceWrapTransport(source))
	return config
}

// close ends every connection, so that none outlives what it was for.
func (l *link) close() { l.dialer.CloseAll() }

// clusterUID identifies the API server.
func (l *link) clusterUID(ctx context.Context) (types.UID, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := l.admin.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return "", fmt.Errorf("cannot get namespace %q: %w", metav1.NamespaceSystem, err)
	}
	return ns.UID, nil
}

// version of Kubernetes that the API server states.
func (l *link) version(ctx context.Context) (string, error) {
	body, err := l.discovery.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("cannot get the version: %w", err)
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return "", fmt.Errorf("cannot read the version: %w", err)
	}
	return v.GitVersion, nil
}

// asked answers what the API server serves: as Skott's own account once there is one, so that
// the given credentials may expire.
func (l *link) asked() discovery.DiscoveryInterface {
	if l.account.operatorToken() != "" {
		return l.account.discovery
	}
	return l.discovery
}

// discover reads one document of the API server's discovery.
func discover(ctx context.Context, d discovery.DiscoveryInterface, path string, into runtime.Object) error {
	if err := d.RESTClient().Get().AbsPath(path).Do(ctx).Into(into); err != nil {
		return fmt.Errorf("cannot discover %s: %w", path, err)
	}
	return nil
}

// fingerprint is equal for two configurations that lead to the same server in the same way
// with the same credentials. Limits and timeouts do not count: they are ours.
func fingerprint(c *rest.Config) [sha256.Size]byte {
	var b bytes.Buffer
	t, token := c.TLSClientConfig, c.BearerToken
	if c.BearerTokenFile != "" {
		token = "" // it is what the file held once, and is read again
	}
	for _, part := range [][]byte{
		[]byte(c.Host), []byte(c.APIPath), []byte(c.Username), []byte(c.Password),
		[]byte(token), []byte(c.BearerTokenFile), []byte(c.Impersonate.UserName),
		fmt.Append(nil, t.Insecure), []byte(t.ServerName),
		[]byte(t.CAFile), t.CAData, []byte(t.CertFile), t.CertData, []byte(t.KeyFile), t.KeyData,
	} {
		fmt.Fprintf(&b, "%d:", len(part)) // so that no two lists of parts run together alike
		b.Write(part)
	}
	return sha256.Sum256(b.Bytes())
}

// endpoint is host:port of a configuration.
func endpoint(c *rest.Config) string {
	u, _, err := rest.DefaultServerUrlFor(c)
	if err != nil {
		return ""
	}
	return hostPort(u)
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "http" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return net.JoinHostPort(u.Hostname(), "443")
}
