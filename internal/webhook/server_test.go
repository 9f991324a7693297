// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
)

// selfSigned is a Secret with a certificate for loopback, and the pool that trusts it.
func selfSigned(t *testing.T, serial int64) (*corev1.Secret, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return &corev1.Secret{Data: map[string][]byte{
		corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}}, pool
}

func get(t *testing.T, client *http.Client, url string) (int, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// A certificate is replaced without a new listener, and a broken one replaces none.
func TestCertificate(t *testing.T) {
	s := &server{options: Options{Log: logr.Discard()}, guards: NewGuards(), certificate: &Certificate{}}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	one, err := s.listen(t.Context(), address, http.NotFoundHandler(), true, make(chan error, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	clientOf := func(pool *x509.CertPool) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	}
	first, firstPool := selfSigned(t, 1)
	second, secondPool := selfSigned(t, 2)
	if _, err := get(t, clientOf(firstPool), "https://"+address); err == nil {
		t.Error("it serves without a certificate")
	}
	open := clientOf(firstPool)
	for _, step := range []struct {
		secret *corev1.Secret
		ok     bool
		client *http.Client
	}{
		{first, true, open}, {second, true, clientOf(secondPool)},
		{&corev1.Secret{Data: map[string][]byte{corev1.TLSCertKey: []byte("x")}}, false, clientOf(secondPool)},
		{second, true, open}, // what is open stays open
	} {
		if err := s.certificate.Set(step.secret); (err == nil) != step.ok {
			t.Fatalf("Set: %v", err)
		}
		if status, err := get(t, step.client, "https://"+address); status != http.StatusNotFound {
			t.Errorf("status %d: %v", status, err)
		}
	}
	if _, err := get(t, clientOf(firstPool), "https://"+address); err == nil {
		t.Error("a new connection got the old certificate")
	}
}

// It is ready when it can decide and be reached, and no longer when it is to end.
func TestReadiness(t *testing.T) {
	s := &server{guards: NewGuards(), certificate: &Certificate{}}
	probes := httptest.NewServer(s.probes())
	defer probes.Close()
	secret, _ := selfSigned(t, 1)
	for _, step := range []struct {
		do   func()
		want int
	}{
		{func() {}, http.StatusServiceUnavailable},
		{func() { s.guards.Set(platform(t)["staging"][0]); s.guards.Synced() }, http.StatusServiceUnavailable},
		{func() { _ = s.certificate.Set(secret) }, http.StatusOK},
		{func() { s.ending.Store(true) }, http.StatusServiceUnavailable},
	} {
		step.do()
		if status, err := get(t, probes.Client(), probes.URL+"/readyz"); status != step.want {
			t.Errorf("status %d, want %d: %v", status, step.want, err)
		}
		if status, err := get(t, probes.Client(), probes.URL+"/healthz"); status != http.StatusOK {
			t.Errorf("health %d: %v", status, err)
		}
	}
}
