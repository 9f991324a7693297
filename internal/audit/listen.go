// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"path/filepath"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

const (
	// maxConnections bounds what those may hold open who have no token, so that the operator has
	// files left for its own.
	maxConnections = 4096
	// maxHeader bounds the header of a request.
	maxHeader = 16 << 10
)

// Server serves a Receiver over HTTPS.
type Server struct {
	Address string
	// Certificates is the folder of tls.crt and tls.key, which are read again when they change.
	Certificates string
	Handler      http.Handler
	Log          logr.Logger
	// Listening is called once requests are taken.
	Listening func()
}

// Run serves until the context ends, or until it cannot.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher, err := certwatcher.New(filepath.Join(s.Certificates, "tls.crt"), filepath.Join(s.Certificates, "tls.key"))
	if err != nil {
		return fmt.Errorf("cannot read the certificate of the audit receiver: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("cannot listen for audit events: %w", err)
	}
	server := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime + headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		TLSConfig:      &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate},
		ErrorLog:       stdlog.New(io.Discard, "", 0), // handshakes that fail are the other side's to tell
	}
	go func() {
		if err := watcher.Start(ctx); err != nil {
			s.Log.Error(err, "Cannot watch the certificate of the audit receiver")
		}
	}()
	go func() {
		<-ctx.Done()
		_ = server.Close() // who is cut off sends again
	}()
	s.Listening()
	if err := server.ServeTLS(netutil.LimitListener(listener, maxConnections), "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve audit events: %w", err)
	}
	return nil
}
