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
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

const (
	// Path before the cluster that events are of: MANAGEMENTCLUSTER, or MANAGEMENTCLUSTER/NAMESPACE/NAME.
	Path = "/audit/"
	// maxBody bounds one text of events: an API server sends 400 of some kilobytes at a time.
	maxBody = 16 << 20
	// atOnce bounds how many texts are in memory at a time. More are asked to come back.
	atOnce = 4

	headerTime, requestTime, idleTime = 5 * time.Second, 30 * time.Second, 5 * time.Minute
)

// Source is the cluster that somebody sends events of.
type Source struct {
	ManagementCluster string
	// Namespace and Name of a Cluster under it; both empty for itself.
	Namespace, Name string
}

// String is MANAGEMENTCLUSTER or MANAGEMENTCLUSTER/NAMESPACE/NAME.
func (s Source) String() string {
	if s.Name == "" {
		return s.ManagementCluster
	}
	return s.ManagementCluster + "/" + s.Namespace + "/" + s.Name
}

// Receiver takes audit events over HTTP. Whatever it does not answer with 200 is to be sent
// again: nothing of it was kept.
type Receiver struct {
	// Authorize answers with a status of HTTP whether the bearer of a token may speak for a source.
	Authorize func(ctx context.Context, s Source, token string) int
	// Keep takes what was read. An error means that nothing of it was kept.
	Keep func(s Source, d Decoded) error
	Log  logr.Logger

	slots chan struct{}
}

// NewReceiver returns a Receiver.
func NewReceiver(authorize func(context.Context, Source, string) int, keep func(Source, Decoded) error, log logr.Logger) *Receiver {
	return &Receiver{Authorize: authorize, Keep: keep, Log: log, slots: make(chan struct{}, atOnce)}
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(w, "audit events are sent by POST", http.StatusMethodNotAllowed)
		return
	}
	source, ok := sourceOf(request.URL.Path)
	if !ok {
		http.Error(w, "the path is "+Path+"MANAGEMENTCLUSTER[/NAMESPACE/NAME]", http.StatusNotFound)
		return
	}
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	if status := r.Authorize(request.Context(), source, token); status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "as much as can be is being read", http.StatusTooManyRequests)
		return
	}
	if status, err := r.take(source, http.MaxBytesReader(w, request.Body, maxBody)); err != nil {
		r.Log.Error(err, "Cannot take audit events", "cluster", source.String())
		http.Error(w, err.Error(), status)
	}
}

// take reads and keeps one text of events. What was read of a broken one is not kept: it is
// sent again as a whole.
func (r *Receiver) take(source Source, body io.Reader) (int, error) {
	text, err := io.ReadAll(body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, err
	} else if err != nil {
		return http.StatusBadRequest, err
	}
	decoded, err := Decode(text)
	if err != nil {
		return http.StatusBadRequest, err
	}
	if decoded.Skipped > 0 {
		r.Log.Info("Passed by what is no audit event", "cluster", source.String(), "count", decoded.Skipped)
	}
	if err := r.Keep(source, decoded); err != nil {
		return http.StatusServiceUnavailable, err
	}
	return http.StatusOK, nil
}

func sourceOf(path string) (Source, bool) {
	rest, found := strings.CutPrefix(path, Path)
	parts := strings.Split(rest, "/")
	for _, p := range parts {
		if p == "" || len(p) > 253 {
			return Source{}, false
		}
	}
	switch {
	case !found:
	case len(parts) == 1:
		return Source{ManagementCluster: parts[0]}, true
	case len(parts) == 3:
		return Source{parts[0], parts[1], parts[2]}, true
	}
	return Source{}, false
}

// Listen serves a handler over HTTPS until the context ends, with tls.crt and tls.key of a
// folder, which are read again when they change.
func Listen(ctx context.Context, address, certificates string, handler http.Handler, log logr.Logger) error {
	watcher, err := certwatcher.New(filepath.Join(certificates, "tls.crt"), filepath.Join(certificates, "tls.key"))
	if err != nil {
		return fmt.Errorf("cannot read the certificate of the audit receiver: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen for audit events: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: requestTime + headerTime, IdleTimeout: idleTime,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate},
		ErrorLog:  stdlog.New(io.Discard, "", 0), // handshakes that fail are the other side's to tell
	}
	go func() {
		if err := watcher.Start(ctx); err != nil {
			log.Error(err, "Cannot watch the certificate of the audit receiver")
		}
	}()
	go func() {
		<-ctx.Done()
		_ = server.Close() // who is cut off sends again
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve audit events: %w", err)
	}
	return nil
}
