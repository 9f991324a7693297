// SPDX-License-Identifier: Apache-2.0

package simulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// Simulator is many clusters.
type Simulator struct {
	ca          []byte
	certificate tls.Certificate
	// Author names the process at the other end of a connection; nil if nobody asks.
	Author func(remote net.Addr) string

	mu       sync.Mutex
	clusters []*Cluster
}

// Cluster is the API of one simulated cluster.
type Cluster struct {
	Name string
	sim  *Simulator
	// management: it serves Cluster API.
	management bool
	server     *http.Server
	listener   net.Listener

	// delay of every answer, and whether there is none at all.
	delay atomic.Int64
	down  atomic.Bool

	mu       sync.Mutex
	version  int64
	objects  map[key]*object
	watchers map[*watcher]bool
	requests map[string]int // by verb and resource
	bytesIn  int64
	authors  map[string]int // of requests that write, by process
	held     map[string]map[string]bool
	written  []Write
}

// Write is one write of a Guard, and what was held after it.
type Write struct {
	At    time.Time
	Name  string
	Bytes int
	after *object
}

// key of an object: the path of its collection without namespace, namespace and name.
type key struct{ collection, namespace, name string }

// New returns a simulator without clusters.
func New() (*Simulator, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "simulator"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	return &Simulator{
		ca:          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
	}, nil
}

// connection is the key of who connected in the context of a request.
type connection struct{}

// Cluster starts a cluster. management says that it serves Cluster API.
func (s *Simulator) Cluster(name string, management bool) (*Cluster, error) {
	c := &Cluster{
		Name: name, sim: s, management: management, objects: map[key]*object{}, watchers: map[*watcher]bool{},
		requests: map[string]int{}, authors: map[string]int{}, held: map[string]map[string]bool{},
	}
	for _, namespace := range []string{"kube-system", "default"} {
		c.Put(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"` + namespace + `"}}`)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start cluster %q: %w", name, err)
	}
	c.listener = listener
	c.server = &http.Server{
		Handler: c, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if s.Author == nil {
				return ctx
			}
			return context.WithValue(ctx, connection{}, s.Author(conn.RemoteAddr()))
		},
	}
	go c.server.ServeTLS(listener, "", "") //nolint:errcheck // it ends when it is closed
	s.mu.Lock()
	s.clusters = append(s.clusters, c)
	s.mu.Unlock()
	return c, nil
}

// Clusters are all clusters.
func (s *Simulator) Clusters() []*Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Cluster(nil), s.clusters...)
}

// Close ends every cluster.
func (s *Simulator) Close() {
	for _, c := range s.Clusters() {
		_ = c.server.Close()
	}
}

// Config leads to the cluster as its administrator.
func (c *Cluster) Config() *rest.Config {
	return &rest.Config{Host: "https://" + c.listener.Addr().String(), BearerToken: "simulated", TLSClientConfig: rest.TLSClientConfig{CAData: c.sim.ca}}
}

// Slow makes every answer late; zero ends that.
func (c *Cluster) Slow(by time.Duration) { c.delay.Store(int64(by)) }

// Down lets no request be answered any more, as when packets are lost; false ends that.
func (c *Cluster) Down(down bool) { c.down.Store(down) }

// Requests are the requests since the last call by verb and resource, and the bytes of
// their bodies.
func (c *Cluster) Requests() (requests map[string]int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests, bytes = c.requests, c.bytesIn
	c.requests, c.bytesIn = map[string]int{}, 0
	return requests, bytes
}

// Authors are how many writes each process has sent.
func (c *Cluster) Authors() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for k, v := range c.authors {
		out[k] = v
	}
	return out
}

// Writes of Guards since the last call.
func (c *Cluster) Writes() []Write {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.written
	c.written = nil
	return out
}
