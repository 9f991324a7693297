// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/skott-dev/skott/internal/webhook"
)

// guardMode is the argument that makes the manager the guard webhook of one cluster.
const guardMode = "guard"

// runGuard runs the guard webhook.
func runGuard(arguments []string) error {
	var options webhook.Options
	flags := flag.NewFlagSet(guardMode, flag.ExitOnError)
	config.RegisterFlags(flags)
	flags.StringVar(&options.Namespace, "namespace", "skott-system", "Namespace of the Secret with the serving certificate.")
	flags.StringVar(&options.CertificateSecret, "certificate-secret", "skott-guard-tls", "Name of the Secret with the serving certificate, which is read again when it changes.")
	flags.StringVar(&options.KeySecret, "key-secret", "skott-guard-key", "Name of the Secret with the key of fingerprints, in the same namespace; it need not be there.")
	flags.StringVar(&options.BindAddress, "bind-address", ":9443", "Address of the webhook.")
	flags.StringVar(&options.MetricsAddress, "metrics-bind-address", ":8080", "Address of the metrics; 0 for none.")
	flags.StringVar(&options.ProbeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 for none.")
	flags.DurationVar(&options.Drain, "drain", 10*time.Second, "How long the webhook goes on answering, while it is not ready, after it was told to end.")
	log := zap.Options{}
	log.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&log)))
	options.Log = ctrl.Log.WithName(guardMode)
	var err error
	if options.Config, err = ctrl.GetConfig(); err != nil {
		return err
	}
	return webhook.Run(ctrl.SetupSignalHandler(), options)
}
