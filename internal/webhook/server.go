// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"

	"github.com/skott-dev/skott/internal/metrics"
)

// Options of a webhook server.
type Options struct {
	// Config leads to the API server of the cluster.
	Config *rest.Config
	// Namespace and CertificateSecret name the Secret with the serving certificate, KeySecret
	// the one with the key of fingerprints, which need not be there.
	Namespace, CertificateSecret, KeySecret string
	// BindAddress of the webhook. MetricsAddress and ProbeAddress may be "0" for none.
	BindAddress, MetricsAddress, ProbeAddress string
	// Drain is how long the server goes on answering after it was told to end, while it says
	// that it is not ready: nobody sends it anything new when it ends.
	Drain time.Duration
	Log   logr.Logger
}

// Path is where reviews are sent to.
const Path = "/review"

const (
	// The API server waits five seconds at most.
	readTime, writeTime, headerTime = 10 * time.Second, 15 * time.Second, 5 * time.Second
	idleTime                        = 5 * time.Minute
	// finishTime is how long requests that are under way may take in the end.
	finishTime = 15 * time.Second
)

// server is the webhook with all it listens on.
type server struct {
	options     Options
	guards      *Guards
	certificate *Certificate
	ending      atomic.Bool
}

// Run serves until the context ends, and then drains.
func Run(ctx context.Context, options Options) error {
	s := &server{options: options, guards: NewGuards(), certificate: &Certificate{}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	recorder := metrics.New(registry)
	w, err := newWatcher(options)
	if err != nil {
		return err
	}
	handler := NewHandler(s.guards, w.labels, recorder)
	handler.Log, handler.Lookup = options.Log, w.lookup
	reviews := http.NewServeMux()
	reviews.Handle(Path, handler)
	scrapes := http.NewServeMux()
	scrapes.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	// What watches and serves outlives ctx: it is needed while the server drains.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 4)
	var servers []*http.Server
	for _, l := range []struct {
		address string
		handler http.Handler
		secure  bool
	}{{options.BindAddress, reviews, true}, {options.MetricsAddress, scrapes, false}, {options.ProbeAddress, s.probes(), false}} {
		if l.address == "0" {
			continue
		}
		one, err := s.listen(working, l.address, l.handler, l.secure, failed)
		if err != nil {
			return err
		}
		defer one.Close()
		servers = append(servers, one)
	}
	go func() {
		if err := w.run(working, s.guards, s.certificate); err != nil {
			failed <- err
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	return s.drain(servers)
}

// listen serves one address in the background.
func (s *server) listen(ctx context.Context, address string, handler http.Handler, secure bool, failed chan<- error) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadTimeout: readTime, WriteTimeout: writeTime, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		ErrorLog: stdlog.New(logWriter{s.options.Log}, "", 0),
	}
	go func() {
		var err error
		if secure {
			server.TLSConfig = s.certificate.Config()
			err = server.ServeTLS(listener, "", "")
		} else {
			err = server.Serve(listener)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("cannot serve %s: %w", address, err)
		}
	}()
	return server, nil
}

// logWriter writes what net/http has to say, such as failed handshakes, where few look.
type logWriter struct{ log logr.Logger }

func (w logWriter) Write(line []byte) (int, error) {
	w.log.V(1).Info("Serving", "message", string(line))
	return len(line), nil
}

// drain says that the server is not ready, goes on answering until everybody has heard of
// that, and ends when it has answered what is under way.
func (s *server) drain(servers []*http.Server) error {
	s.ending.Store(true)
	s.options.Log.Info("Ending", "after", s.options.Drain.String())
	time.Sleep(s.options.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	var errs []error
	for _, one := range servers {
		errs = append(errs, one.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// probes serves /healthz and /readyz.
func (s *server) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := s.missing(); missing != "" {
			http.Error(w, missing, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok, by revision " + s.guards.Revision()))
	})
	return mux
}

// missing is what keeps the server from being ready.
func (s *server) missing() string {
	switch {
	case s.ending.Load():
		return "ending"
	case !s.guards.Loaded():
		return "no Guard was read yet"
	case !s.certificate.Loaded():
		return "there is no serving certificate yet"
	}
	return ""
}
