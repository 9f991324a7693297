// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
)

// Certificate is the serving certificate. It is replaced while connections are open: those
// keep theirs, new ones get the new one.
type Certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// errNoCertificate ends a handshake before there is anything to show.
var errNoCertificate = errors.New("there is no serving certificate yet")

// Loaded reports whether there is a certificate.
func (c *Certificate) Loaded() bool { return c.current.Load() != nil }

// Set takes the pair of a Secret of type kubernetes.io/tls. A pair that cannot be used
// leaves the present one in place.
func (c *Certificate) Set(secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("cannot use the certificate of Secret %q: %w", secret.Name, err)
	}
	c.current.Store(&pair)
	return nil
}

// Config of a server with this certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Resumed sessions would go on with the old certificate; they are not worth it.
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if pair := c.current.Load(); pair != nil {
				return pair, nil
			}
			return nil, errNoCertificate
		},
	}
}
