// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/skott-dev/skott/internal/audit"
)

// auditMode is the argument that makes the manager follow the audit log of one API server.
const auditMode = "audit"

// runAudit sends the denials in an audit log to the operator.
func runAudit(arguments []string) error {
	var authority string
	sender, follower := &audit.Sender{}, &audit.Follower{Poll: time.Second}
	flags := flag.NewFlagSet(auditMode, flag.ExitOnError)
	flags.StringVar(&follower.Path, "log", "/var/log/kubernetes/audit/audit.log", "Audit log of the API server, one event in a line.")
	flags.StringVar(&follower.Checkpoint, "checkpoint", "/var/lib/skott/audit.checkpoint", "File that remembers how far the log was read.")
	flags.StringVar(&sender.URL, "url", "", "Where the operator takes events of this cluster: https://HOST:PORT/audit/MANAGEMENTCLUSTER[/NAMESPACE/NAME].")
	flags.StringVar(&sender.TokenFile, "token-file", "/etc/skott/audit/token", "File with the bearer token of the ManagementCluster.")
	flags.StringVar(&authority, "certificate-authority", "", "PEM file of the authority of the operator's certificate; empty for those of the system.")
	log := zap.Options{}
	log.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&log)))
	logger := ctrl.Log.WithName(auditMode)
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if authority != "" {
		pem, err := os.ReadFile(authority)
		if err != nil {
			return fmt.Errorf("cannot read the authority: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("cannot read the authority: %q holds no certificate", authority)
		}
	}
	sender.Client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}}
	follower.Lost = func(what string) { logger.Info("Losing part of the log", "reason", what) }
	follower.Handle = sender.Send
	follower.Failed = func(err error) { logger.Error(err, "Sending denials again later") }
	return follower.Run(ctrl.SetupSignalHandler())
}
