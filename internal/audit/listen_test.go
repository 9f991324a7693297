// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// certify writes a certificate of its own into a folder, and returns what trusts it.
func certify(t *testing.T, folder string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool, certificate := x509.NewCertPool(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	pool.AppendCertsFromPEM(certificate)
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// listen serves a Receiver that takes everything, and returns its address.
func listen(t *testing.T, folder string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	r := NewReceiver(func(context.Context, Source, string) int { return http.StatusOK }, func(Source, Decoded) error { return nil }, logr.Discard())
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{Address: address, Certificates: folder, Handler: r, Log: logr.Discard(), Listening: func() { close(ready) }}
	go func() { done <- s.Run(ctx) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return address
}

// A certificate that was replaced is served without a restart.
func TestServerTakesUpCertificates(t *testing.T) {
	folder := t.TempDir()
	certify(t, folder)
	address := listen(t, folder)
	pool := certify(t, folder)
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
		var response *http.Response
		if response, err = client.Post("https://"+address+"/audit/mc", "application/json", strings.NewReader("")); err == nil {
			if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response.Status, err)
			}
			return
		}
	}
	t.Errorf("the new certificate is not served: %v", err)
}

// Who sends no end is cut off, by either version of HTTP, and so is who says nothing at all.
func TestServerCutsOffTheSlow(t *testing.T) {
	folder := t.TempDir()
	pool := certify(t, folder)
	address := listen(t, folder)
	t.Run("Silent", func(t *testing.T) {
		t.Parallel()
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(4 * headerTime))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("it is not cut off")
		}
	})
	for version, second := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			body, end := io.Pipe()
			defer end.Close()
			client := &http.Client{Timeout: 4 * bodyTime, Transport: &http.Transport{ForceAttemptHTTP2: second, TLSClientConfig: &tls.Config{RootCAs: pool}}}
			began := time.Now()
			response, err := client.Post("https://"+address+"/audit/"+strings.ToLower(version), "application/json", body)
			if err == nil {
				if err := response.Body.Close(); err != nil || response.StatusCode == http.StatusOK {
					t.Error(response.Status, err)
				}
			}
			if took := time.Since(began); took > bodyTime+headerTime {
				t.Errorf("it is cut off after %s only", took)
			}
		})
	}
}
