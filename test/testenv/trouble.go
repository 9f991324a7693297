// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// Trouble stands in front of an API server and ends TLS: it delays requests, answers them itself, or lets them hang.
type Trouble struct {
	server    *httptest.Server
	delay     atomic.Int64
	status    atomic.Int64
	hanging   atomic.Bool
	turned    atomic.Int64
	forwarded http.Handler
}

// NewTrouble stands in front of a server, and lets everything pass at first.
func NewTrouble(s *Server) (*Trouble, error) {
	target, err := url.Parse(s.URL())
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(s.CA()) {
		return nil, errors.New("cannot read the authority of the server")
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	forward.FlushInterval = -1 // watches are streams
	forward.ErrorLog = log.New(io.Discard, "", 0)
	t := &Trouble{forwarded: forward}
	t.server = httptest.NewUnstartedServer(t)
	t.server.EnableHTTP2 = true
	t.server.Config.ErrorLog = forward.ErrorLog
	t.server.StartTLS()
	return t, nil
}

// ServeHTTP implements http.Handler.
func (t *Trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if t.hanging.Load() {
		t.turned.Add(1)
		<-r.Context().Done()
		return
	}
	if status := int(t.status.Load()); status != 0 {
		t.turned.Add(1)
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	select {
	case <-time.After(time.Duration(t.delay.Load())):
		t.forwarded.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

// Delay every request from now on.
func (t *Trouble) Delay(d time.Duration) { t.delay.Store(int64(d)) }

// Answer every request with a status from now on; 0 forwards them again.
func (t *Trouble) Answer(status int) { t.status.Store(int64(status)) }

// Hang leaves every request from now on without an answer, and cuts those that are under way.
func (t *Trouble) Hang(on bool) {
	t.hanging.Store(on)
	if on {
		t.server.CloseClientConnections()
	}
}

// Turned is how many requests were not forwarded.
func (t *Trouble) Turned() int64 { return t.turned.Load() }

// Close ends it with all its connections.
func (t *Trouble) Close() {
	t.server.CloseClientConnections()
	t.server.Close()
}

// Kubeconfig leads through it, with a token: a certificate would end here.
func (t *Trouble) Kubeconfig(token string) []byte {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.server.Certificate().Raw})
	return KubeconfigFor("slow", &rest.Config{Host: t.server.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca}})
}
